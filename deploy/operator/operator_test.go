package operator

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"k8s.io/client-go/rest"
)

// TestServedEnds ends while an API server does not answer.
func TestServedEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var asked sync.Once
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked.Do(cancel)
		<-r.Context().Done()
	}))
	defer silent.Close()
	if err := (&Operator{Config: &rest.Config{Host: silent.URL}}).served(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
}
