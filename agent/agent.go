package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Times of the agent's loop.
const (
	// Lease is how long a claim on a run lasts without a sign of life: so long
	// a killed agent's run waits for the next.
	Lease = 20 * time.Second
	// leastPause is between two looks at a remote, however often it is woken, but
	// for looksAtOnce: a wake after a rest is answered at once, and so are a few
	// pushes in a row. Wakes that come during a pause are answered by one look.
	leastPause  = 200 * time.Millisecond
	looksAtOnce = 5
	// fetchLimit bounds each look at a remote.
	fetchLimit = 10 * time.Minute
	// recordLimit bounds writing a final state, also while shutting down.
	recordLimit = 30 * time.Second
)

// Agent watches repositories and works off the runs that their moves give. Its
// fields are set once, before Serve.
type Agent struct {
	Store   Store
	Carrier *Carrier
	Sources []Source
	// Interval between two looks at a repository.
	Interval time.Duration
	// FirstBranches is how many branches of a repository that is seen for the first
	// time get a run, besides main: where there are more, none does before it moves.
	// 0 is no limit.
	FirstBranches int
	// Workers is how many runs go on at once; 0 is 1.
	Workers int
	// Limit is the longest that one attempt at a run may take; 0 is no limit.
	Limit time.Duration
	// Due is when everything on main was last due to be built anew, zero if never.
	// It may be nil.
	Due func() time.Time
	// Stopping is closed when the agent is to take up nothing new, and to end
	// when the runs under way have. It may be nil.
	Stopping <-chan struct{}
	// Owner names this agent in its claims.
	Owner string
	// Progress is told of runs as they go.
	Progress Progress
	Log      *slog.Logger

	work   chan struct{}
	hung   sync.Once
	bells  map[string]*bell // by the repositories' URLs
	pushed *pushed
	news   news
}

// Serve polls and works until the context ends, or a.Stopping is closed and
// the runs under way have come to their end. Runs that are under way as the
// context ends go back to the queue.
func (a *Agent) Serve(ctx context.Context) error {
	a.work = make(chan struct{}, 1)
	open, stop := context.WithCancel(ctx)
	defer stop()
	var listening, group sync.WaitGroup
	hearing, deafen := context.WithCancel(ctx)
	listening.Go(func() { a.listen(hearing) }) // runs under way may be cancelled
	defer listening.Wait()
	defer deafen()
	for _, source := range a.Sources {
		looked := make(chan struct{})
		group.Go(func() { a.watch(open, source, sync.OnceFunc(func() { close(looked) })) })
		group.Go(func() { a.inspectOnce(open, source, looked) })
	}
	a.hang()
	group.Go(func() { a.heed(open) })
	group.Go(func() { a.rebuild(open) })
	for range max(1, a.Workers) {
		group.Go(func() { a.worker(open, ctx) })
	}
	group.Go(func() {
		select {
		case <-a.Stopping:
			stop()
		case <-ctx.Done():
		}
	})
	group.Wait()
	return nil
}

// listen passes on what other agents on the same records, and people, have
// changed there. Without it the workers find out by themselves, a little later.
func (a *Agent) listen(ctx context.Context) {
	for failures := 1; ctx.Err() == nil; failures++ {
		hints, err := a.Store.Listen(ctx)
		if err == nil {
			for range hints {
				a.news.tell()
				signal(a.work)
			}
		} else if ctx.Err() == nil {
			a.Log.Warn("cannot listen to the records", "error", err)
		}
		wait(ctx, backoff(time.Second, failures), nil)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // one is waiting already
	}
}

// watch looks at one repository again and again; seen is called when that has
// gone well.
func (a *Agent) watch(ctx context.Context, source Source, seen func()) {
	bell := a.bell(source.URL())
	limit := rate.NewLimiter(rate.Every(min(a.Interval, leastPause)), looksAtOnce)
	failures := 0
	for limit.Wait(ctx) == nil {
		bell.begin()
		runs, err := a.look(ctx, source)
		bell.end(runs, err)
		if ctx.Err() == nil {
			a.Progress.look(source.URL(), err)
		}
		switch {
		case err == nil:
			seen()
			failures = 0
		case ctx.Err() == nil:
			failures++
			a.Log.Warn("cannot look after the repository", "repository", source.URL(), "error", err, "failures", failures)
		}
		// Jitter keeps many repositories from being asked in one moment.
		pause := backoff(a.Interval, failures)
		pause += time.Duration(rand.Int64N(int64(pause)/10 + 1))
		wait(ctx, pause, bell.rung)
	}
}

// longestPause is how long after an outage ends it may go unnoticed.
const longestPause = time.Minute

// backoff doubles an interval for each failure, up to the longest pause.
func backoff(interval time.Duration, failures int) time.Duration {
	return backoffTo(interval, failures, max(interval, longestPause))
}

// wait ends with the pause, a wake-up or the context; a nil wake never comes.
func wait(ctx context.Context, pause time.Duration, wake <-chan struct{}) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-wake:
	case <-timer.C:
	}
}

// Look compares the refs of a repository with where they were last seen, and
// records the moves with their runs.
func (a *Agent) Look(ctx context.Context, source Source) error {
	_, err := a.look(ctx, source)
	return err
}

func (a *Agent) look(ctx context.Context, source Source) ([]Run, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchLimit)
	defer cancel()
	id, err := a.Store.Repository(ctx, source.URL())
	if err != nil {
		return nil, err
	}
	seen, err := a.Store.Refs(ctx, id)
	if err != nil {
		return nil, err
	}
	now, err := source.Refs(ctx)
	if err != nil {
		return nil, err
	}
	moves := movesBetween(id, source.URL(), seen, now, a.FirstBranches)
	if len(moves) == 0 {
		return nil, nil
	}
	runs, err := a.Store.Record(ctx, moves)
	if err != nil {
		return nil, err
	}
	for _, run := range runs {
		a.Log.Info("a ref moved", "run", run.ID, "repository", source.URL(), "ref", run.Move.Ref, "old", run.Move.Old.Short(), "new", run.Move.New.Short())
	}
	if quiet := len(moves) - len(runs); len(seen) == 0 && quiet > 0 {
		a.Log.Info("a repository is seen for the first time: tags, and branches where there are many, are built when they next move",
			"repository", source.URL(), "refs", len(moves), "left_alone", quiet)
	}
	signal(a.work)
	return runs, nil
}

// worker takes up runs while the agent is open, and brings the last to its end
// unless the context ends before.
func (a *Agent) worker(open, ctx context.Context) {
	for open.Err() == nil {
		worked, err := a.Work(ctx)
		if err != nil && ctx.Err() == nil {
			a.Log.Error("cannot work off a run", "error", err)
		}
		if !worked {
			wait(open, time.Second+rand.N(time.Second), a.work)
		}
	}
}

// source finds a watched repository by its URL.
func (a *Agent) source(url string) Source {
	i := slices.IndexFunc(a.Sources, func(s Source) bool { return s.URL() == url })
	return a.Sources[i]
}

// Work claims one run and carries it out; worked is false if there was none.
// Like Look it works without Serve. Runs of repositories that this agent does
// not watch are left for others on the same records.
func (a *Agent) Work(ctx context.Context) (worked bool, err error) {
	if len(a.Sources) == 0 {
		return false, nil
	}
	var urls []string
	for _, source := range a.Sources {
		urls = append(urls, source.URL())
	}
	run, err := a.Store.Claim(ctx, a.Owner, Lease, urls...)
	if err != nil || run == nil {
		return false, err
	}
	signal(a.work) // there may be more for others
	log := a.Log.With("run", run.ID, "repository", run.Move.URL, "ref", run.Move.Ref, "commit", run.Move.New.Short())
	log.Info("run started", "attempt", run.Attempt)
	verdict, err := a.carry(ctx, a.source(run.Move.URL), *run)
	if err == nil {
		err = a.finish(ctx, *run, verdict)
	}
	var end CutOff
	switch {
	case err == nil:
		log.Info("run ended", "state", verdict.State, "reason", verdict.Reason)
		return true, nil
	case errors.As(err, &end):
		log.Info("run was cut off", "state", end.State, "reason", end.Reason)
		err := a.finish(ctx, *run, Verdict{State: end.State, Reason: end.Reason})
		if err != nil {
			a.Progress.again(*run, err) // it goes on elsewhere once the claim has lapsed
		}
		return true, err
	case errors.Is(err, ErrLost):
		log.Warn("another agent has taken the run over")
		a.Progress.again(*run, err)
		return true, nil
	case ctx.Err() != nil:
		return true, a.release(ctx, *run, 0, errors.New("the agent was stopped"))
	}
	pause := backoff(2*time.Second, run.Attempt-1)
	log.Warn("run failed for now", "error", err, "again_in", pause)
	return true, a.release(ctx, *run, pause, err)
}

// carry carries a run out under its claim. Where that was cut off, the error is
// the cause.
func (a *Agent) carry(ctx context.Context, source Source, run Run) (Verdict, error) {
	trunk, err := FindTrunk(ctx, a.Store, run.Move.Repository)
	if err != nil {
		return Verdict{}, err
	}
	if a.Limit > 0 {
		var stop context.CancelFunc
		tooLong := CutOff{Failed, fmt.Sprintf("the run was not done after %v and was cut off", a.Limit)}
		ctx, stop = context.WithTimeoutCause(ctx, a.Limit, tooLong)
		defer stop()
	}
	ctx, cut := context.WithCancelCause(ctx)
	claim := claim{a.Store, run}
	var keeper sync.WaitGroup
	keeper.Go(func() { claim.keep(ctx, &a.news, cut) })
	defer keeper.Wait()
	defer cut(nil)
	verdict, err := a.Carrier.Carry(ctx, Task{Run: run, Source: source, Trunk: trunk, Hold: claim.hold, Turn: claim.turn, Progress: a.Progress})
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return verdict, err
}

// finish records a verdict, also when the agent is about to stop.
func (a *Agent) finish(ctx context.Context, run Run, verdict Verdict) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordLimit)
	defer cancel()
	if err := a.Store.Finish(ctx, run, verdict); err != nil {
		return fmt.Errorf("record the end of run %d: %w", run.ID, err)
	}
	a.Progress.end(run, verdict)
	return nil
}

// release gives a run back, also when the agent is about to stop. A claim that
// was lost meanwhile needs no giving back.
func (a *Agent) release(ctx context.Context, run Run, pause time.Duration, why error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordLimit)
	defer cancel()
	a.Progress.again(run, why)
	err := a.Store.Release(ctx, run, Delay{For: pause, Reason: why.Error(), Doubtful: errors.As(why, new(doubt))})
	if errors.Is(err, ErrLost) {
		return nil
	}
	return err
}
