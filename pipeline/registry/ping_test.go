package registry

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestPing(t *testing.T) {
	status := http.StatusUnauthorized
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Basic realm="lab"`)
		w.WriteHeader(status)
	}))
	c, err := New(Options{Patience: -1})
	if err != nil {
		t.Fatal(err)
	}
	host := strings.TrimPrefix(server.URL, "http://")
	for _, registry := range []string{host, host + "/lab"} {
		if err := c.Ping(t.Context(), registry); err != nil {
			t.Errorf("one that wants a password: %v", err)
		}
	}
	status = http.StatusBadGateway
	if err := c.Ping(t.Context(), host); err == nil {
		t.Error("one that fails answers")
	}
	server.Close()
	if err := c.Ping(t.Context(), host); err == nil || !strings.Contains(err.Error(), host) {
		t.Errorf("one that is gone: %v", err)
	}
}
