package deploy

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// watch is one resource of one namespace, or of all.
type watch struct {
	cache.SharedIndexInformer
	now func() time.Time
	// denied is closed once the API server refused it.
	denied chan struct{}

	mu      sync.Mutex
	problem string
	// refused is true from when the API server refused it until it is had.
	refused bool
	// lost is since when it is tried to be had again; zero while it is had.
	lost time.Time
}

// typed is what a typed client does with one resource.
type typed[L runtime.Object] interface {
	List(context.Context, metav1.ListOptions) (L, error)
	Watch(context.Context, metav1.ListOptions) (apiwatch.Interface, error)
}

// watchOf prepares a watch of a resource for a cluster. It notes while the watch is
// had: client-go does not tell of an API server that refuses connections.
func watchOf[L runtime.Object](c *cluster, of typed[L], object runtime.Object, indexers cache.Indexers) (*watch, error) {
	w := &watch{now: c.now, denied: make(chan struct{})}
	c.watches = append(c.watches, w)
	w.SharedIndexInformer = cache.NewSharedIndexInformer(cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return of.List(ctx, o) },
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (apiwatch.Interface, error) {
			w.begins()
			stream, err := of.Watch(ctx, o)
			if err == nil {
				w.has()
			}
			return stream, err
		},
	}, c.client), object, 0, indexers)
	if err := w.SetTransform(slim); err != nil {
		return nil, err
	}
	return w, w.SetWatchErrorHandlerWithContext(func(ctx context.Context, _ *cache.Reflector, err error) {
		if ctx.Err() == nil {
			w.failed(err, c.log)
		}
	})
}

func (w *watch) begins() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lost.IsZero() {
		w.lost = w.now()
	}
}

func (w *watch) has() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lost, w.refused = time.Time{}, false
}

// inStep is when the watch was last had, with all that there was when it began;
// zero if that was never. One that is refused does not count: it is done without.
func (w *watch) inStep(now time.Time) (at time.Time, counts bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.refused:
		return time.Time{}, false
	case !w.HasSynced():
		return time.Time{}, true
	case !w.lost.IsZero():
		return w.lost, true
	}
	return now, true
}

// failed tells of a watch that cannot be had, once; it is tried again with
// growing pauses. What is refused is done without meanwhile.
func (w *watch) failed(err error, log *slog.Logger) {
	problem := Problem(err)
	w.mu.Lock()
	defer w.mu.Unlock()
	if !apierrors.IsForbidden(err) {
		if w.problem != problem && !apierrors.IsResourceExpired(err) && !errors.Is(err, io.EOF) {
			log.Warn("cannot watch the cluster for now", "problem", problem)
		}
		w.problem = problem
		return
	}
	if w.problem != problem {
		log.Warn("may not watch the cluster", "problem", problem)
	}
	w.problem, w.refused = problem, true
	select {
	case <-w.denied:
	default:
		close(w.denied)
	}
}

// why is what keeps a watch from being had.
func (w *watch) why() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return cmp.Or(w.problem, "the API server has not told of it yet")
}
