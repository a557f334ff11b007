package deploy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/workqueue"
)

// Engine keeps the environments of a cluster at the images that they should
// run. Its fields are set once, before Serve.
type Engine struct {
	Client kubernetes.Interface
	Store  Store
	// Repositories that environments may follow, by the names that annotations use.
	Repositories Repositories
	// Registry is HOST/PREFIX as nodes reach it.
	Registry string
	// Namespaces to look after; none is all.
	Namespaces []string
	// Gates are asked before an environment gets an image, in their order.
	Gates []Gate
	// Tests are gates that put a load on the cluster: they are asked once all else
	// lets it.
	Tests []Gate
	// Last are gates about the moment: they are asked last, when all is ready.
	Last []Gate
	// Settings are what the gates read of annotations; nil is nothing.
	Settings Settings
	// Parallel is how many rollouts go on at once; 0 is no limit.
	Parallel int
	// Canary has one of the environments on a base get a release first.
	Canary bool
	// Identify fails where the records are another cluster's: nothing is done then.
	// Nil asks nobody.
	Identify func(context.Context) error
	// Progress is told of rollouts.
	Progress Progress
	Now      func() time.Time
	Log      *slog.Logger

	// watching is the cluster while this engine is the one that deploys.
	watching atomic.Pointer[cluster]
}

// reconcilers is how many environments are looked at side by side. The API
// server is kept from overload by the client's own rate limits.
const reconcilers = 4

// Serve deploys while this process is the one that may, and waits while another
// does, until the context ends.
func (e *Engine) Serve(ctx context.Context) {
	told := ""
	for failures := 0; ctx.Err() == nil; {
		var led time.Duration
		err := e.identify(ctx)
		if err == nil {
			err = e.Store.Lead(ctx, func(ctx context.Context) error {
				began := e.Now()
				defer func() { led = e.Now().Sub(began) }()
				return e.lead(ctx)
			})
		}
		if led > time.Minute {
			failures, told = 0, ""
		}
		if ctx.Err() != nil {
			return
		}
		failures++
		if err != nil && err.Error() != told {
			told = err.Error()
			e.Log.Warn("deploying is interrupted", "error", err)
		}
		pause(ctx, min(time.Duration(failures)*time.Second, 15*time.Second))
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// identify fails where the records are another cluster's.
func (e *Engine) identify(ctx context.Context) error {
	if e.Identify == nil {
		return nil
	}
	return e.Identify(ctx)
}

// lead deploys until the context ends, or the records turn out to be another's.
func (e *Engine) lead(ctx context.Context) error {
	if err := e.identify(ctx); err != nil { // it may have waited for long
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	watched, err := newCluster(ctx, e.Client, e.Namespaces, e.Now, e.Log)
	if err != nil {
		return err
	}
	e.watching.Store(watched)
	defer e.watching.Store(nil)
	l := &leader{
		Engine: e, cluster: watched, stop: stop,
		queue: workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[Environment](250*time.Millisecond, time.Minute)),
		book:  newBook(),
		sent:  map[Environment]sent{}, clocks: map[Environment]progressClock{},
		turns:    newTurns(e.Parallel),
		holdings: newHoldings(e.Now), pulls: &pulls{made: map[types.NamespacedName]time.Time{}},
		heldBy:      &holds{told: map[Environment]heldBy{}},
		canaries:    canaries{chosen: map[group]Environment{}, aside: map[Environment]int64{}},
		corrections: newCorrections(),
	}
	defer l.queue.ShutDown()
	hints, err := e.Store.ListenReleases(ctx)
	if err != nil {
		return err
	}
	if err := l.book.load(ctx, e.Store); err != nil {
		return err
	}
	if err := l.holdings.load(ctx, e.Store); err != nil {
		return err
	}
	if err := l.handle(); err != nil {
		return err
	}
	var group sync.WaitGroup
	defer group.Wait()
	defer stop(nil)
	began := make(chan struct{})
	group.Go(func() { watched.run(ctx, func() { close(began) }) })
	select {
	case <-began:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	e.Log.Info("this agent deploys")
	l.lookAtAll()
	for range reconcilers {
		group.Go(func() { l.work(ctx) })
	}
	group.Go(func() {
		<-ctx.Done()
		l.queue.ShutDown()
	})
	for range hints {
		if err := l.book.refresh(ctx, e.Store); err != nil && ctx.Err() == nil {
			return err
		}
		l.canaries.forget()
		l.lookAtAll()
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

// lookAtAll has every environment looked at: those that there are, and those that
// there were.
func (l *leader) lookAtAll() {
	for _, environment := range l.cluster.environments() {
		l.queue.Add(environment)
	}
	l.lookAtKnown()
}

// InStep is when all that is watched of the cluster was last known as it is; zero
// if that was never. deploys says whether this engine is the one that deploys: the
// others watch nothing.
func (e *Engine) InStep() (at time.Time, deploys bool) {
	watched := e.watching.Load()
	if watched == nil {
		return time.Time{}, false
	}
	return watched.inStep(), true
}

// work looks at environments until the queue is shut down.
func (l *leader) work(ctx context.Context) {
	for {
		environment, ended := l.queue.Get()
		if ended {
			return
		}
		after, err := l.reconcile(ctx, environment)
		switch {
		case ctx.Err() != nil:
		case errors.Is(err, ErrMoved):
			l.stop(fmt.Errorf("%s: %w", environment, err))
		case err != nil:
			l.queue.AddRateLimited(environment)
		default:
			l.queue.Forget(environment)
			if after > 0 {
				l.queue.AddAfter(environment, after)
			}
		}
		l.queue.Done(environment)
	}
}
