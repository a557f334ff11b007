package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
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
	// Namespaces of the repositories' images, by URL; see
	// [pipeline.Pipeline.Namespace].
	Namespaces map[string]string
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
//
// before is the commit that the plan is explained against; empty is nothing.
func (c *Carrier) Carry(ctx context.Context, source Source, run Run, before layers.Commit, progress Progress) (Verdict, error) {
	verdict := Verdict{Run: run.ID}
	err := c.carry(ctx, source, run, before, progress, &verdict)
	var wrong *mistake
	switch {
	case err == nil:
		return verdict, nil
	case errors.As(err, &wrong):
		verdict.State, verdict.Reason = Failed, wrong.Error()
		return verdict, nil
	case errors.Is(err, errGone):
		verdict.State, verdict.Reason = Superseded, err.Error()
		return verdict, nil
	}
	return Verdict{}, err
}

// errGone says that the remote let a commit go before it was read.
var errGone = errors.New("the commit is no longer in the repository")

func (c *Carrier) carry(ctx context.Context, source Source, run Run, before layers.Commit, progress Progress, verdict *Verdict) error {
	commit := run.Move.New
	if err := source.Fetch(ctx, run.Move.Ref, commit); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: %w", commit, errGone)
		}
		return err
	}
	plan, cfg, err := c.Plan(ctx, source, commit)
	if err != nil {
		return err
	}
	tags, covered := cfg.TagsFor(run.Move.Ref, commit)
	if !covered {
		verdict.State, verdict.Reason = Cancelled, fmt.Sprintf("nothing to do: no rule of %s covers %s", layers.ConfigFile, run.Move.Ref)
		return nil
	}
	if err := c.explain(ctx, source, before, plan); err != nil {
		return err
	}
	images := c.Images(source)
	have, err := images.Images(ctx, plan)
	if err != nil {
		return err
	}
	progress.plan(run, plan)
	result := images.Execute(ctx, plan, have, progress.Build)
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	verdict.Plan, verdict.Outcomes = plan, result.Outcomes
	if err := judge(result, verdict); err != nil {
		return err
	}
	verdict.Snapshot = c.snapshot(run, result)
	tagged, err := images.Tag(ctx, result, tags)
	if err != nil && !errors.Is(err, pipeline.ErrTagTaken) {
		return err
	}
	if err != nil { // a Git tag was moved: its images keep the tag that people trust
		verdict.State = Failed
		verdict.Reason = strings.TrimPrefix(verdict.Reason+"; ", "; ") + strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	for _, t := range tagged {
		tag := Tag{Layer: t.Layer, Repository: t.Repository, Name: t.Name, Digest: t.Image.Digest, Ref: run.Move.Ref}
		if tags.TTL > 0 {
			tag.Expires = c.Now().Add(tags.TTL)
		}
		verdict.Tags = append(verdict.Tags, tag)
	}
	return nil
}

// Images is the pipeline for a repository's images.
func (c *Carrier) Images(source Source) *pipeline.Pipeline {
	return c.Pipeline.Within(c.Namespaces[source.URL()])
}

// Plan reads a commit's configuration and plans it. A mistake in the
// configuration is returned as an error for which [IsMistake] holds.
func (c *Carrier) Plan(ctx context.Context, source Source, commit layers.Commit) (*layers.Plan, *layers.Config, error) {
	tree, err := source.Tree(ctx, commit)
	if err != nil {
		return nil, nil, err
	}
	cfg, err := c.Planner.Config(tree)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, &mistake{fmt.Errorf("there is no %s at the repository's root: write one with \"lab-layers init\"", layers.ConfigFile)}
	case errors.Is(err, layers.ErrTooLarge), errors.As(err, new(layers.Faults)):
		return nil, nil, &mistake{err}
	case err != nil:
		return nil, nil, err
	}
	plan, err := c.Planner.Plan(ctx, tree, cfg)
	if err != nil {
		return nil, nil, err
	}
	plan.Repo, plan.To = source.URL(), commit
	return plan, cfg, nil
}

// IsMistake reports whether only a new commit can mend an error.
func IsMistake(err error) bool {
	var wrong *mistake
	return errors.As(err, &wrong)
}

// explain gives a plan its reasons, against an earlier commit. They are for
// people: where that commit cannot be read any more, everything is new.
func (c *Carrier) explain(ctx context.Context, source Source, old layers.Commit, plan *layers.Plan) error {
	var before *layers.Plan
	if old != "" {
		var err error
		if before, _, err = c.Plan(ctx, source, old); err != nil {
			before = nil
		}
	}
	return c.Planner.Compare(ctx, before, plan)
}

// judge turns outcomes into a state. Its error is the infrastructure's.
func judge(result pipeline.Result, verdict *Verdict) error {
	var failed []string
	for _, out := range result.Outcomes {
		var wrong *pipeline.BuildError
		switch {
		case out.Error == nil:
		case errors.As(out.Error, &wrong):
			failed = append(failed, fmt.Sprintf("%s: %v", out.Layer, out.Error))
		case out.State == pipeline.Blocked:
			failed = append(failed, fmt.Sprintf("%s: %v", out.Layer, out.Error))
		default:
			return fmt.Errorf("build %s: %w", out.Layer, out.Error)
		}
	}
	verdict.State = Succeeded
	if len(failed) > 0 {
		verdict.State, verdict.Reason = Failed, strings.Join(failed, "; ")
	}
	return nil
}

// snapshot is what a result leaves to trace; nil if no layer has an image.
func (c *Carrier) snapshot(run Run, result pipeline.Result) *Snapshot {
	s := &Snapshot{
		Repository: run.Move.Repository, URL: run.Move.URL, Commit: run.Move.New,
		Complete: true, Images: map[layers.Name]pipeline.Image{}, Taken: c.Now(),
	}
	for _, out := range result.Outcomes {
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
