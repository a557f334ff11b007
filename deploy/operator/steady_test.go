package operator

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// TestSteady tells each problem of an object once, however often it is tried.
func TestSteady(t *testing.T) {
	problems := map[string]error{}
	var log bytes.Buffer
	s := newSteady(reconcile.Func(func(_ context.Context, r ctrl.Request) (ctrl.Result, error) {
		return ctrl.Result{}, problems[r.Name]
	}), slog.New(slog.NewTextHandler(&log, nil)), "LabEnvironment")
	for _, step := range []struct {
		name string
		err  error
		want string
	}{
		{"bert", nil, ""},
		{"bert", taken{"Deployment"}, "level=WARN"},
		{"bert", taken{"Deployment"}, ""},
		{"unet", taken{"Deployment"}, "level=WARN"},
		{"bert", taken{"Deployment"}, ""},
		{"bert", errors.New("no"), "problem=no"},
		{"bert", nil, "level=INFO"},
		{"bert", nil, ""},
		{"bert", errors.New("no"), "problem=no"},
	} {
		log.Reset()
		problems[step.name] = step.err
		if _, err := s.Reconcile(t.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Namespace: "vision", Name: step.name}}); err != step.err {
			t.Errorf("%s: %v, want %v, to be tried again", step.name, err, step.err)
		}
		if got := log.String(); step.want == "" && got != "" || !strings.Contains(got, step.want) || strings.Count(got, "\n") > 1 {
			t.Errorf("%s, %v: %q is to have %q", step.name, step.err, got, step.want)
		}
	}
}
