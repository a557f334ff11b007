package agent

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lab-layers/lab-layers/layers"
)

// idle is a store without work, to which each look is a new push.
type idle struct {
	Store
	runs atomic.Int64
	tags chan error // lets an inspection go on
}

func (*idle) Repository(context.Context, string) (RepositoryID, error)        { return 1, nil }
func (*idle) Refs(context.Context, RepositoryID, ...layers.Ref) (refs, error) { return nil, nil }
func (s *idle) Tags(ctx context.Context, _ RepositoryID) (map[layers.Ref][]Tag, error) {
	select {
	case err := <-s.tags:
		return nil, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
func (*idle) Claim(context.Context, string, time.Duration, ...string) (*Run, error) {
	return nil, nil
}
func (*idle) Listen(ctx context.Context) (<-chan struct{}, error) {
	hints := make(chan struct{})
	context.AfterFunc(ctx, func() { close(hints) })
	return hints, nil
}
func (s *idle) Record(context.Context, []Move) ([]Run, error) {
	return []Run{{ID: RunID(s.runs.Add(1))}}, nil
}

// gate is a repository whose refs are told when the test lets them.
type gate struct {
	Source
	asked atomic.Int64
	tell  chan error
}

func (*gate) URL() string { return "watched" }

func (g *gate) Refs(ctx context.Context) (refs, error) {
	g.asked.Add(1)
	select {
	case err := <-g.tell:
		return refs{"refs/heads/main": "a"}, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// served runs a test with an agent that watches a gate, once an hour.
func served(t *testing.T, test func(*testing.T, *Agent, *gate)) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{tell: make(chan error)}
		a := &Agent{Store: &idle{tags: make(chan error)}, Sources: []Source{g}, Interval: time.Hour, Log: slog.New(slog.DiscardHandler)}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- a.Serve(ctx) }()
		synctest.Wait() // until the agent waits for the gate
		test(t, a, g)
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestWakesDuringALook(t *testing.T) {
	served(t, func(t *testing.T, a *Agent, g *gate) {
		looks := func(want int64) {
			t.Helper()
			synctest.Wait()
			if got := g.asked.Load(); got != want {
				t.Fatalf("%d looks, want %d", got, want)
			}
		}
		looks(1)
		for range 100 {
			if !a.Wake("watched") {
				t.Fatal("the repository is not watched")
			}
		}
		looks(1)
		g.tell <- errors.New("no route") // its pause is cut short, too
		looks(2)
		g.tell <- nil
		looks(2)
		a.Wake("watched")
		looks(3)
		a.Wake("watched")
		g.tell <- nil
		looks(4)
		g.tell <- nil
		looks(4)
		if a.Wake("another") {
			t.Error("a repository that nobody watches was woken")
		}
		time.Sleep(2 * time.Hour) // of the test's own clock
		looks(5)
	})
}

// busy is a repository that is pushed to; it notes the pushes that looks saw.
type busy struct {
	Source
	asked, pushed, seen atomic.Int64
}

func (*busy) URL() string { return "watched" }

func (b *busy) Refs(context.Context) (refs, error) {
	b.asked.Add(1)
	b.seen.Store(b.pushed.Load())
	return refs{"refs/heads/main": "a"}, nil
}

// TestManyWakes holds that a storm of pushes makes few looks and loses none, and
// that a push after a rest, and some more right after it, are seen at once.
func TestManyWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &busy{}
		a := &Agent{Store: &idle{tags: make(chan error)}, Sources: []Source{b}, Interval: time.Hour, Log: slog.New(slog.DiscardHandler)}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- a.Serve(ctx) }()
		push := func() {
			b.pushed.Add(1)
			a.Wake("watched")
			synctest.Wait()
		}
		for range 3 {
			pass(10 * time.Second) // of the test's own clock
			for range looksAtOnce {
				if push(); b.seen.Load() != b.pushed.Load() {
					t.Fatalf("push %d after a rest is not seen at once", b.pushed.Load())
				}
			}
		}
		pass(10 * time.Second)
		before := b.asked.Load()
		const pushes, pause = 9000, 5 * time.Millisecond
		for range pushes {
			push()
			pass(pause)
		}
		pass(leastPause)
		if seen := b.seen.Load(); seen != b.pushed.Load() {
			t.Errorf("%d of %d pushes are seen", seen, b.pushed.Load())
		}
		looks, most := b.asked.Load()-before, int64(pushes*pause/leastPause)+looksAtOnce
		if looks < most/2 || looks > most+1 {
			t.Errorf("%d looks for %d pushes, want %d at the most", looks, pushes, most)
		}
		pass(time.Minute)
		if more := b.asked.Load() - before - looks; more != 0 {
			t.Errorf("%d looks at rest", more)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestWaitForALook(t *testing.T) {
	served(t, func(t *testing.T, a *Agent, g *gate) {
		type answer struct {
			runs []Run
			err  error
		}
		answers := make(chan answer, 1)
		ask := func(ctx context.Context) {
			go func() {
				runs, err := a.WakeAndWait(ctx, "watched")
				answers <- answer{runs, err}
			}()
			synctest.Wait()
		}
		// The look under way may have read the refs before the push; both count.
		ask(t.Context())
		g.tell <- nil
		synctest.Wait()
		if len(answers) > 0 {
			t.Fatal("a look that began before the wake answers it")
		}
		g.tell <- nil
		if got := <-answers; got.err != nil || len(got.runs) != 2 || got.runs[0].ID != 1 || got.runs[1].ID != 2 {
			t.Errorf("%+v", got)
		}

		ask(t.Context())
		g.tell <- errors.New("no route")
		if got := <-answers; got.err == nil || len(got.runs) != 0 {
			t.Errorf("a look that failed: %+v", got)
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		ask(ctx)
		if got := <-answers; !errors.Is(got.err, context.DeadlineExceeded) {
			t.Errorf("a look that does not end: %+v", got)
		}
		if waiting := a.bell("watched").waiting; len(waiting) != 0 {
			t.Errorf("%d who gave up are kept", len(waiting))
		}
		if runs, err := a.WakeAndWait(t.Context(), "another"); runs != nil || err != nil {
			t.Errorf("a repository that nobody watches: %v, %v", runs, err)
		}
	})
}

// TestLooksDuringAnInspection holds that pushes are seen while the images of a
// repository are inspected, and that an inspection that fails is made again.
func TestLooksDuringAnInspection(t *testing.T) {
	served(t, func(t *testing.T, a *Agent, g *gate) {
		store := a.Store.(*idle)
		asked := func() bool {
			synctest.Wait()
			select {
			case store.tags <- errors.New("no registry"):
				return true
			default:
				return false
			}
		}
		if asked() {
			t.Error("it is inspected before it was looked at")
		}
		g.tell <- nil
		for want := int64(2); want < 4; want++ { // the inspection goes on
			a.Wake("watched")
			synctest.Wait()
			if got := g.asked.Load(); got != want {
				t.Fatalf("%d looks, want %d", got, want)
			}
			g.tell <- nil
		}
		if !asked() || asked() {
			t.Error("it is not inspected, or twice at a time")
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		store.tags <- nil
		time.Sleep(2 * time.Hour)
		if asked() {
			t.Error("it is inspected again after it went well")
		}
	})
}
