package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

// Carrier carries out one run: it turns a move into a verdict. It keeps no
// state of its own, so a run can be replayed at any time; what was made before
// is found again by its key.
type Carrier struct {
	Planner  *layers.Planner
	Pipeline *pipeline.Pipeline
	Records  Records
	// Config counts for every commit in place of its own, if it is not nil.
	Config *layers.Config
	// Namespaces of the repositories' images, by URL; see
	// [pipeline.Pipeline.Namespace].
	Namespaces map[string]string
	// Trust says which runs are given secrets.
	Trust Trust
	// PlanLimit is the longest that planning a commit may take; 0 is no limit.
	PlanLimit time.Duration
	// Salt is what [layers.Settings.Salt] answers at a time, to tell why keys
	// differ. It may be nil.
	Salt func(time.Time) string
	// Now is the clock, for expiry dates.
	Now func() time.Time
}

// mistake is an error that only a new commit mends.
type mistake struct{ err error }

func (m *mistake) Error() string { return m.err.Error() }
func (m *mistake) Unwrap() error { return m.err }

// Carry does the work of a run. An error is the infrastructure's, and the run
// is to be tried again; everything that the repository's people can mend is
// part of the verdict.
func (c *Carrier) Carry(ctx context.Context, task Task) (Verdict, error) {
	verdict, err := c.carry(ctx, task)
	switch {
	case IsMistake(err):
		return Verdict{State: Failed, Reason: err.Error()}, nil
	case errors.Is(err, errGone):
		return Verdict{State: Superseded, Reason: err.Error()}, nil
	}
	return verdict, err
}

// errGone says that the remote let a commit go before it was read.
var errGone = errors.New("the commit is no longer in the repository")

func (c *Carrier) carry(ctx context.Context, task Task) (Verdict, error) {
	source, run, trunk := task.Source, task.Run, task.Trunk
	commit := run.Move.New
	if err := source.Fetch(ctx, run.Move.Ref, commit); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return Verdict{}, fmt.Errorf("%s: %w", commit, errGone)
		}
		return Verdict{}, err
	}
	_, cfg, err := c.config(ctx, source, commit)
	if err != nil {
		return Verdict{}, err
	}
	tags, covered, err := c.Tags(ctx, source, run.Move, trunk, cfg)
	if err != nil {
		return Verdict{}, err
	}
	if !covered {
		reason := fmt.Sprintf("%s: no rule of %s covers %s", nothingToDo, layers.ConfigFile, run.Move.Ref)
		return Verdict{State: Cancelled, Reason: reason}, nil
	}
	plan, _, err := c.Plan(ctx, source, commit)
	if err != nil {
		return Verdict{}, err
	}
	if err := c.explain(ctx, source, run, trunk, plan); err != nil {
		return Verdict{}, err
	}
	verdict, err := c.Make(ctx, task, plan, tags, c.Grant(source, run.Move.Ref, trunk))
	if err != nil {
		return Verdict{}, err
	}
	verdict.Snapshot = c.snapshot(run, verdict.Outcomes)
	return verdict, nil
}

// Tags says which tags a move gives; covered is false for a ref that is not
// built. The rules are main's: by its own a branch could take main's tags. Only
// where main has no sound configuration do those of the commit count.
func (c *Carrier) Tags(ctx context.Context, source Source, move Move, trunk Trunk, own *layers.Config) (tags layers.TagSet, covered bool, err error) {
	rules := own
	if trunk.Commit != "" && trunk.Ref != move.Ref && trunk.Commit != move.New {
		if err := source.Fetch(ctx, trunk.Ref, trunk.Commit); err != nil {
			return tags, false, err
		}
		_, cfg, err := c.config(ctx, source, trunk.Commit)
		switch {
		case err == nil:
			rules = cfg
		case !IsMistake(err):
			return tags, false, err
		}
	}
	tags, covered = rules.TagsFor(move.Ref, move.New)
	return tags, covered, nil
}

// Make makes the images that a plan lacks and points tags at them. An error is
// the infrastructure's; what the repository's people can mend is part of the
// verdict, which has no snapshot.
func (c *Carrier) Make(ctx context.Context, task Task, plan *layers.Plan, tags layers.TagSet, grant pipeline.Grant) (Verdict, error) {
	run, images := task.Run, c.Images(task.Source)
	images.Turn = task.Turn
	dated, moving := split(tags, run.Move.New)
	have, standing, err := images.Images(ctx, plan, moving)
	if err != nil {
		return Verdict{}, err
	}
	task.Progress.plan(run, plan)
	ahead := images.TagAhead(ctx, plan, have, dated)
	result := images.Execute(ctx, plan, have, grant, func(e pipeline.Event) { task.Progress.build(run, e) })
	already := append(standing, ahead()...)
	if ctx.Err() != nil {
		return Verdict{}, context.Cause(ctx)
	}
	verdict := Verdict{Plan: plan, Outcomes: result.Outcomes}
	if verdict.State, verdict.Reason, err = judge(result.Outcomes, run.Doubted); err != nil {
		return Verdict{}, err
	}
	if err := task.hold(ctx); err != nil {
		return Verdict{}, err
	}
	tagged, err := images.Tag(ctx, result, tags, already...)
	switch {
	case errors.Is(err, pipeline.ErrTagTaken):
		// A Git tag was moved: its images keep the tag that people trust.
		taken := strings.ReplaceAll(err.Error(), "\n", "; ")
		if verdict.State == Failed {
			taken = verdict.Reason + "; " + taken
		}
		verdict.State, verdict.Reason = Failed, taken
	case err != nil:
		return Verdict{}, err
	}
	for _, t := range tagged {
		tag := Tag{Layer: t.Layer, Repository: t.Repository, Name: t.Name, Digest: t.Image.Digest, Ref: run.Move.Ref}
		if tags.TTL > 0 {
			tag.Expires = c.Now().Add(tags.TTL)
		}
		verdict.Tags = append(verdict.Tags, tag)
	}
	return verdict, nil
}

// split tells the tags of a set that name the commit from those that move.
func split(set layers.TagSet, commit layers.Commit) (dated, moving layers.TagSet) {
	dated, moving = set, set
	dated.Names, moving.Names = nil, nil
	for _, name := range set.Names {
		if strings.Contains(name, commit.Short()) {
			dated.Names = append(dated.Names, name)
		} else {
			moving.Names = append(moving.Names, name)
		}
	}
	return dated, moving
}

// Images is the pipeline for a repository's images.
func (c *Carrier) Images(source Source) *pipeline.Pipeline {
	return c.Pipeline.Within(c.Namespaces[source.URL()])
}

// Plan reads a commit's configuration and plans it. A mistake in the
// configuration is returned as an error for which [IsMistake] holds, and so is
// a layer whose Dockerfile the commit does not have: what its children say
// after FROM would mean an image from outside, and planning that takes too long.
func (c *Carrier) Plan(ctx context.Context, source Source, commit layers.Commit) (*layers.Plan, *layers.Config, error) {
	ctx, cancel := c.limited(ctx)
	defer cancel()
	plan, cfg, err := c.checked(ctx, source, commit)
	if err != nil && slow(ctx) {
		err = &mistake{fmt.Errorf("planning was not done after %v and was cut off: narrow the build contexts with .dockerignore, and what COPY selects of them", c.PlanLimit)}
	}
	return plan, cfg, err
}

// errSlow is the cause with which planning that takes too long is cut off. To
// try it again would hold up others again.
var errSlow = errors.New("planning took too long")

func (c *Carrier) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.PlanLimit <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, c.PlanLimit, errSlow)
}

func slow(ctx context.Context) bool { return errors.Is(context.Cause(ctx), errSlow) }

// checked plans without a limit.
func (c *Carrier) checked(ctx context.Context, source Source, commit layers.Commit) (*layers.Plan, *layers.Config, error) {
	plan, cfg, err := c.plan(ctx, source, commit)
	if cfg == nil || err == nil && !slices.ContainsFunc(plan.Layers, func(l *layers.PlannedLayer) bool { return l.Step == layers.Absent }) {
		return plan, cfg, err
	}
	// Where an image outside cannot be asked for, that may be why.
	if tree, treeErr := source.Tree(ctx, commit); treeErr == nil {
		faults, checkErr := layers.Check(ctx, tree, cfg)
		if checkErr != nil {
			return nil, nil, checkErr
		}
		if len(faults) > 0 {
			return nil, nil, &mistake{faults}
		}
	}
	return plan, cfg, err
}

// plan lets layers be absent. With a configuration and an error, the planning
// failed.
func (c *Carrier) plan(ctx context.Context, source Source, commit layers.Commit) (*layers.Plan, *layers.Config, error) {
	tree, cfg, err := c.config(ctx, source, commit)
	if err != nil {
		return nil, nil, err
	}
	plan, err := c.Planner.Plan(ctx, tree, cfg)
	if err != nil {
		return nil, cfg, err
	}
	plan.Repo, plan.To = source.URL(), commit
	return plan, cfg, nil
}

// config reads a commit's configuration, unless there is one for all.
func (c *Carrier) config(ctx context.Context, source Source, commit layers.Commit) (layers.Tree, *layers.Config, error) {
	tree, err := source.Tree(ctx, commit)
	if err != nil {
		return tree, nil, err
	}
	if c.Config != nil {
		return tree, c.Config, nil
	}
	cfg, err := c.Planner.Config(tree)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = &mistake{fmt.Errorf("there is no %s at the repository's root: write one with \"lab-layers init\"", layers.ConfigFile)}
	case errors.Is(err, layers.ErrTooLarge), errors.As(err, new(layers.Faults)):
		err = &mistake{err}
	}
	return tree, cfg, err
}

// IsMistake reports whether only a new commit can mend an error.
func IsMistake(err error) bool {
	var wrong *mistake
	return errors.As(err, &wrong)
}

// doubtfulAttempts is how many attempts a run has at instructions that may not be
// to blame: what keeps being killed would otherwise be tried for ever. Those that
// an outage ended are not among them.
const doubtfulAttempts = 5

// doubt is the failure of an instruction that may not be to blame.
type doubt struct{ error }

func (d doubt) Unwrap() error { return d.error }

// judge turns outcomes of an attempt into a state, after a number of attempts that
// ended in doubt. Its error is the infrastructure's, or a doubt if there is no
// other reason to try again.
func judge(outcomes []pipeline.Outcome, doubted int) (State, string, error) {
	var failed []string
	var doubts error
	for _, out := range outcomes {
		if out.Error == nil {
			continue
		}
		var wrong *pipeline.BuildError
		blamed := errors.As(out.Error, &wrong)
		switch {
		case !blamed && out.State != pipeline.Blocked:
			return "", "", fmt.Errorf("build %s: %w", out.Layer, out.Error)
		case !blamed || !wrong.Doubtful:
			failed = append(failed, fmt.Sprintf("%s: %v", out.Layer, out.Error))
		case doubted+1 >= doubtfulAttempts:
			failed = append(failed, fmt.Sprintf("%s, for the %dth time: %v", out.Layer, doubted+1, out.Error))
		case doubts == nil:
			err := fmt.Errorf("build %s: %w", out.Layer, out.Error)
			if n := len(wrong.Tail); n > 0 {
				err = fmt.Errorf("%w; its last line: %s", err, wrong.Tail[n-1])
			}
			doubts = doubt{err}
		}
	}
	switch {
	case doubts != nil:
		return "", "", doubts
	case len(failed) > 0:
		return Failed, strings.Join(failed, "; "), nil
	}
	return Succeeded, "", nil
}

// snapshot is what a run leaves to trace; nil if no layer has an image.
func (c *Carrier) snapshot(run Run, outcomes []pipeline.Outcome) *Snapshot {
	s := &Snapshot{
		Repository: run.Move.Repository, URL: run.Move.URL, Commit: run.Move.New,
		Complete: true, Images: map[layers.Name]pipeline.Image{}, Taken: c.Now(),
	}
	for _, out := range outcomes {
		switch {
		case out.Image != nil:
			s.Images[out.Layer] = *out.Image
		case out.State != pipeline.NotThere:
			s.Complete = false
		}
	}
	if len(s.Images) == 0 {
		return nil
	}
	return s
}
