package agent

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/lab-layers/lab-layers/layers"
)

// Times of telling.
const (
	// tellLimit bounds one attempt at telling one target of one run.
	tellLimit = time.Minute
	// tellLease is how long such an attempt keeps others from making one. It is
	// longer than the attempt, so that two never overlap.
	tellLease = 90 * time.Second
	// tellInterval is the longest time between two looks at the records.
	tellInterval = 15 * time.Second
	// longestSilence bounds the pauses after failures.
	longestSilence = 10 * time.Minute
)

// Target is somebody who is told how runs go: a forge, a webhook.
type Target interface {
	// Name tells the target from others in the records. It holds no secret.
	Name() string
	// Tell tells of a run in its present state. Telling the same again does no
	// harm. An error that is no [Unheard] may pass soon, and concerns the target
	// as a whole.
	Tell(context.Context, Report) error
}

// Unheard says that a target was not told, and when another attempt may help.
type Unheard struct {
	Err error
	// After is how long the target asked to wait; 0 if it did not say.
	After time.Duration
	// Alone says that it is about this one run: others may be heard.
	Alone bool
}

func (u *Unheard) Error() string { return u.Err.Error() }
func (u *Unheard) Unwrap() error { return u.Err }

// Tellings are the records of which target was told what. What is left to tell
// follows from the runs themselves, so nothing is lost with an agent.
type Tellings interface {
	// Untold takes, until the lease ends, a run of some repositories, given by
	// their URLs, that ended within the last day and of whose end a target was
	// not told. With waiting it is one that waits in the queue for a while and of
	// which nothing was told. It returns nil if there is none. Of one ref one run
	// at a time is taken, and the oldest first.
	Untold(ctx context.Context, target string, lease time.Duration, waiting bool, urls ...string) (*Report, error)
	// Telling takes a run that goes on, likewise; nil if it has ended or is
	// taken.
	Telling(ctx context.Context, target string, lease time.Duration, run RunID) (*Report, error)
	// Told records that a target was told that a run is in a state.
	Told(ctx context.Context, target string, run RunID, state State) error
	// Unheard gives back a run of which a target could not be told, not to be
	// taken before a while.
	Unheard(ctx context.Context, target string, run RunID, after time.Duration) error
	// Estimates are the medians, in seconds, of a repository's builds of layers.
	Estimates(ctx context.Context, repository RepositoryID) (map[layers.Name]float64, error)
}

// Herald tells targets how runs and rollouts go. The end of each is told at least
// once, also if this agent or another one was killed in between; a second time only
// in the same words. That a run waits or builds, or a rollout has begun, is told as
// well as can be, and never after its end.
type Herald struct {
	Records Tellings
	// Rollouts are told of, too, to targets that are a [RolloutTarget]; nil is none.
	Rollouts RolloutTellings
	Targets  []Target
	// Repositories whose runs are told, by their URLs.
	Repositories []string
	// Patience is how long a run builds before that is told: most end sooner.
	Patience time.Duration
	Log      *slog.Logger

	once  sync.Once
	posts []*post
}

// Serve tells until the context ends. A target that does not answer holds up
// neither others nor runs.
func (h *Herald) Serve(ctx context.Context) {
	h.prepare()
	var group sync.WaitGroup
	for _, p := range h.posts {
		group.Go(func() { p.serve(ctx) })
	}
	group.Wait()
}

// Progress is to be told to the herald.
func (h *Herald) Progress() Progress {
	h.prepare()
	each := func(do func(*post)) {
		for _, p := range h.posts {
			do(p)
		}
	}
	return Progress{
		Plan:  func(run Run, plan *layers.Plan) { each(func(p *post) { p.plan(run, plan) }) },
		Again: func(run Run, _ error) { each(func(p *post) { p.drop(run.ID) }) },
		End: func(run Run, _ Verdict) {
			each(func(p *post) {
				p.drop(run.ID)
				signal(p.wake)
			})
		},
	}
}

// Wake has it look soon for what is to be told. It returns at once.
func (h *Herald) Wake() {
	h.prepare()
	for _, p := range h.posts {
		signal(p.wake)
	}
}

func (h *Herald) prepare() {
	h.once.Do(func() {
		for _, t := range h.Targets {
			h.posts = append(h.posts, &post{
				Herald: h, target: t, log: h.Log.With("target", t.Name()), wake: make(chan struct{}, 1), plans: map[RunID]heldPlan{},
				// Forges count what is written: GitHub takes 500 an hour. Most of
				// it is kept for ends.
				spare: rate.NewLimiter(rate.Every(20*time.Second), 20),
			})
		}
	})
}

// post tells one target.
type post struct {
	*Herald
	target Target
	log    *slog.Logger
	wake   chan struct{}
	spare  *rate.Limiter
	grumbled
	failures int

	mu    sync.Mutex
	plans map[RunID]heldPlan // of runs that build here and were not told of yet
}

type heldPlan struct {
	layers []ReportedLayer
	due    time.Time
}

// plan holds a plan until it is worth telling. One with nothing to build never
// is.
func (p *post) plan(run Run, plan *layers.Plan) {
	if plan.Builds() == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plans[run.ID] = heldPlan{planned(plan), time.Now().Add(p.Patience)}
	time.AfterFunc(p.Patience, func() { signal(p.wake) })
}

func (p *post) drop(run RunID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.plans, run)
}

// due takes a plan that is worth telling by now.
func (p *post) due() (run RunID, plan []ReportedLayer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, held := range p.plans {
		if !time.Now().Before(held.due) && (run == 0 || id < run) {
			run, plan = id, held.layers
		}
	}
	delete(p.plans, run)
	return run, plan
}

func (p *post) serve(ctx context.Context) {
	for ctx.Err() == nil {
		told, pause := p.step(ctx)
		switch {
		case pause > 0:
			wait(ctx, pause, nil)
		case !told:
			wait(ctx, tellInterval, p.wake)
		}
	}
}

// step tells of one run or rollout, ends of runs before all else. told is false if there was none
// to tell of; the pause is for the target as a whole.
func (p *post) step(ctx context.Context) (told bool, pause time.Duration) {
	next, err := p.next(ctx)
	if err != nil {
		p.grumble(ctx, p.log, "cannot read what is to be told", err)
		p.failures++
		return false, p.silence(0)
	}
	if next == nil {
		return false, 0
	}
	limited, cancel := context.WithTimeout(ctx, tellLimit)
	err = next.tell(limited)
	cancel()
	// What was said is noted also when the agent is about to stop.
	noting, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordLimit)
	defer cancel()
	if err == nil {
		p.failures = 0
		if err := next.told(noting); err != nil {
			p.grumble(ctx, p.log, "cannot record what was told", err)
		}
		return true, 0
	}
	var unheard *Unheard
	alone := errors.As(err, &unheard) && unheard.Alone
	after := time.Duration(0)
	if unheard != nil {
		after = unheard.After
	}
	p.grumble(ctx, p.log, "cannot tell of a "+next.of, err, next.of, next.id)
	pause = time.Second
	again := max(min(after, time.Hour), backoffTo(time.Minute, next.attempt-1, time.Hour))
	if !alone {
		p.failures++
		pause = p.silence(after)
		again = pause
	}
	if err := next.unheard(noting, again); err != nil {
		p.grumble(ctx, p.log, "cannot record what was not told", err)
	}
	return true, pause
}

// silence is how long to leave the target alone after failures in a row.
func (p *post) silence(asked time.Duration) time.Duration {
	return max(min(asked, time.Hour), backoffTo(time.Second, p.failures, longestSilence))
}

// backoffTo doubles a pause for each failure, up to a bound.
func backoffTo(pause time.Duration, failures int, bound time.Duration) time.Duration {
	for range min(failures, 32) {
		pause = min(2*pause, bound)
	}
	return pause
}

// next takes what is to be told next: ends first.
func (p *post) next(ctx context.Context) (*telling, error) {
	name := p.target.Name()
	report, err := p.Records.Untold(ctx, name, tellLease, false, p.Repositories...)
	if report != nil {
		return p.ofRun(report), nil
	}
	if err != nil {
		return nil, err
	}
	rollout, err := p.nextRollout(ctx)
	if rollout != nil || err != nil || p.spare.Tokens() < 1 {
		return rollout, err
	}
	if run, plan := p.due(); run != 0 {
		report, err := p.Records.Telling(ctx, name, tellLease, run)
		if report == nil || err != nil {
			return nil, err
		}
		p.spare.Allow()
		report.Layers = plan
		estimates, err := p.Records.Estimates(ctx, report.Run.Move.Repository)
		if err != nil {
			p.grumble(ctx, p.log, "cannot estimate builds", err)
		}
		for i, l := range report.Layers {
			report.Layers[i].Estimate = estimates[l.Name]
		}
		return p.ofRun(report), nil
	}
	report, err = p.Records.Untold(ctx, name, tellLease, true, p.Repositories...)
	if report == nil || err != nil {
		return nil, err
	}
	p.spare.Allow()
	return p.ofRun(report), nil
}

// grumbled keeps one complaint from being made again and again.
type grumbled struct {
	last string
	at   time.Time
}

// grumble logs an error, the same one once an hour.
func (g *grumbled) grumble(ctx context.Context, log *slog.Logger, what string, err error, args ...any) {
	if ctx.Err() != nil || g.last == err.Error() && time.Since(g.at) < time.Hour {
		return
	}
	g.last, g.at = err.Error(), time.Now()
	log.Warn(what, append(args, "error", err)...)
}
