package deploy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"
)

// reachLimit is how long a cluster may take to give a sign of life.
const reachLimit = 5 * time.Second

// Reach knows whether a cluster answers: it asks from time to time, so that nobody
// who wants to know waits for one that does not.
type Reach struct {
	client kubernetes.Interface
	every  time.Duration
	log    *slog.Logger

	mu    sync.Mutex
	asked bool
	err   error
}

// NewReach prepares to ask a cluster, with a pause after each answer. The client is
// for that alone: one that does other work may have many requests wait.
func NewReach(client kubernetes.Interface, every time.Duration, log *slog.Logger) *Reach {
	return &Reach{client: client, every: every, log: log}
}

// Serve asks until the context ends. It tells of a cluster that ceases to answer,
// and that answers again, once.
func (r *Reach) Serve(ctx context.Context) {
	for ctx.Err() == nil {
		err := r.ask(ctx)
		if ctx.Err() != nil {
			return
		}
		was := r.note(err)
		switch {
		case err != nil && was == nil:
			r.log.Warn("the cluster cannot be reached: nothing is rolled", "error", err)
		case err == nil && was != nil:
			r.log.Info("the cluster answers again")
		}
		pause(ctx, r.every)
	}
}

// note returns what was known before; nil before the first answer.
func (r *Reach) note(err error) (was error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	was, r.asked, r.err = r.err, true, err
	return was
}

// ask fails where the API server does not answer, is not ready, or does not know
// us. It need not let us ask: it answers then, too.
func (r *Reach) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reachLimit)
	defer cancel()
	err := r.client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	if err == nil || apierrors.IsForbidden(err) || apierrors.IsNotFound(err) {
		return nil
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the API server does not answer within %v", reachLimit)
	}
	return errors.New(Problem(err))
}

// Check is what the last look found.
func (r *Reach) Check(context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.asked {
		return errors.New("the API server was not asked yet")
	}
	return r.err
}
