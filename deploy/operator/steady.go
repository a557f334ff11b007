package operator

import (
	"context"
	"log/slog"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lab-layers/lab-layers/deploy"
)

// steady tells why an object is not in step, and has it tried again with growing
// pauses. What the watch is about to tell anyhow is no news.
type steady struct {
	reconcile.Reconciler
	log  *slog.Logger
	kind string
}

// Reconcile brings one object in step.
func (s steady) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	result, err := s.Reconciler.Reconcile(ctx, request)
	if err != nil && ctx.Err() == nil && !apierrors.IsConflict(err) {
		s.log.Warn("not in step for now", "kind", s.kind, "object", request.NamespacedName, "problem", deploy.Problem(err))
	}
	return result, err
}
