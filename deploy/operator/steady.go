package operator

import (
	"context"
	"log/slog"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lab-layers/lab-layers/deploy"
)

// steady tells why an object is not in step, each problem once, and has it tried
// again with growing pauses. What the watch is about to tell anyhow is no news.
type steady struct {
	reconcile.Reconciler
	log  *slog.Logger
	kind string

	mu   sync.Mutex
	told map[types.NamespacedName]string // of objects that are not in step
}

func newSteady(r reconcile.Reconciler, log *slog.Logger, kind string) *steady {
	return &steady{Reconciler: r, log: log, kind: kind, told: map[types.NamespacedName]string{}}
}

// Reconcile brings one object in step.
func (s *steady) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	result, err := s.Reconciler.Reconcile(ctx, request)
	if ctx.Err() != nil || apierrors.IsConflict(err) {
		return result, err
	}
	problem := ""
	if err != nil {
		problem = deploy.Problem(err)
	}
	switch was := s.note(request.NamespacedName, problem); {
	case problem != "" && problem != was:
		s.log.Warn("not in step for now", "kind", s.kind, "object", request.NamespacedName, "problem", problem)
	case problem == "" && was != "":
		s.log.Info("in step again", "kind", s.kind, "object", request.NamespacedName)
	}
	return result, err
}

// note keeps what is the matter with an object, if something is, and returns what was.
func (s *steady) note(object types.NamespacedName, problem string) (was string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was = s.told[object]
	if problem == "" {
		delete(s.told, object)
	} else {
		s.told[object] = problem
	}
	return was
}
