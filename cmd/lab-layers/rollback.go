package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lab-layers/lab-layers/agent/postgres"
	"github.com/lab-layers/lab-layers/deploy"
)

func newRollback() *cobra.Command {
	var flags recordFlags
	var snapshot string
	cmd := &cobra.Command{
		Use:   "rollback ENVIRONMENT | rollback [ENVIRONMENT] --snapshot COMMIT",
		Short: "Take environments back, and keep them there",
		Long: `rollback pins an environment, NAMESPACE/KIND/NAME or NAMESPACE/NAME, by digest:
to the last healthy images before those that it has, or out of a rollout that has
not ended well to what was there before. With --snapshot it is the images of a
commit; without an environment then all that run layers of that commit's
repository and that the commit has images for. A pinned environment follows no
release until it is resumed. With a * at the end of a name these are all whose names
begin so, such as those of the students of a LabEnvironment.`,
		Example: `  lab-layers rollback vision/deployment/resnet50
  lab-layers rollback 'vision/resnet50-*'      those of a LabEnvironment's students
  lab-layers rollback vision/resnet50 --snapshot 2d6a1f0c9b1e
  lab-layers rollback --snapshot 2d6a1f0c9b1e`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && snapshot == "" {
				return inputf("name an environment, or a commit with --snapshot")
			}
			if snapshot != "" && (len(snapshot) < 6 || strings.Trim(snapshot, "0123456789abcdef") != "") {
				return inputf("--snapshot %s: give at least 6 digits of a commit", snapshot)
			}
			store, closeStore, err := flags.open(cmd.Context())
			if err != nil {
				return err
			}
			defer closeStore()
			listed, err := environmentsNamed(cmd.Context(), store, args...)
			if err != nil {
				return err
			}
			b := rollback{store: store, out: cmd.OutOrStdout(), faulty: map[deploy.Environment]string{}}
			for _, e := range listed {
				if e.State == deploy.Faulty {
					b.faulty[e.Environment] = oneLine(e.Reason)
				}
			}
			if snapshot != "" {
				err = b.toSnapshot(cmd.Context(), listed, snapshot, len(args) > 0)
			} else {
				err = b.back(cmd.Context(), listed)
			}
			if errors.As(err, new(postgres.Refusal)) {
				return inputError{err}
			}
			if err != nil {
				return err
			}
			return tellUnlessLed(cmd, store, notYet)
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&snapshot, "snapshot", "", "the images of this commit, by its first digits")
	return cmd
}

// notYet is what becomes of a wish that nobody is there to see to.
const notYet = "this is done once an agent or operator does"

// rollback pins environments.
type rollback struct {
	store *postgres.Store
	out   io.Writer
	// faulty are the environments whose annotations are, and why.
	faulty map[deploy.Environment]string
}

// maxRollouts bounds how far a rollback looks back.
const maxRollouts = 1000

// back pins environments to what they had before, all that had something.
func (b rollback) back(ctx context.Context, listed []deploy.Listed) error {
	var pins []deploy.Pin
	var none []deploy.Environment
	for _, e := range listed {
		rollouts, err := b.store.RolloutsOf(ctx, e.Environment, maxRollouts)
		if err != nil {
			return err
		}
		if pin := deploy.Before(rollouts); pin != nil {
			pins = append(pins, *pin)
		} else {
			none = append(none, e.Environment)
		}
	}
	if len(pins) == 0 {
		return inputf("%s has no other images that it was healthy with", none[0])
	}
	for _, e := range none {
		fmt.Fprintf(b.out, "%s stays as it is: it has no other images that it was healthy with\n", e)
	}
	return b.pin(ctx, pins...)
}

func (b rollback) toSnapshot(ctx context.Context, listed []deploy.Listed, commit string, named bool) error {
	var pins []deploy.Pin
	var refused error
	for _, e := range listed {
		if e.Repository == "" {
			refused = inputf("%s follows no repository that is watched", e.Environment)
			continue
		}
		full, images, err := b.store.CommitImages(ctx, e.Repository, commit)
		if errors.As(err, new(postgres.Refusal)) {
			refused = err
			continue // another environment may be of another repository
		}
		if err != nil {
			return err
		}
		pin, missing := deploy.At(e.Standing, full, images)
		if len(missing) > 0 {
			refused = inputf("commit %s has no image of %s, which %s runs", full.Short(), strings.Join(missing, ", "), e.Environment)
			continue
		}
		pins = append(pins, *pin)
	}
	if len(pins) == 0 || named && refused != nil {
		if refused == nil {
			refused = inputf("there is no environment yet")
		}
		return refused
	}
	return b.pin(ctx, pins...)
}

func (b rollback) pin(ctx context.Context, pins ...deploy.Pin) error {
	for i := range pins {
		pins[i].By = person()
	}
	if err := b.store.Pin(ctx, pins...); err != nil {
		return err
	}
	for _, p := range pins {
		at := "what it had before"
		if p.Commit != "" {
			at = "commit " + p.Commit.Short()
		}
		for _, container := range slices.Sorted(maps.Keys(p.Images)) {
			at += fmt.Sprintf(", %s in container %s", p.Images[container], container)
		}
		fmt.Fprintf(b.out, "%s is pinned to %s; \"lab-layers resume %s\" lets it follow releases again\n", p.Environment, at, p.Environment)
		if why, ok := b.faulty[p.Environment]; ok {
			fmt.Fprintf(b.out, "%s is faulty; if its layer or track is, it gets that once that is mended: %s\n", p.Environment, why)
		}
	}
	return nil
}

func newResume() *cobra.Command {
	var flags recordFlags
	cmd := &cobra.Command{
		Use:   "resume ENVIRONMENT…",
		Short: "Let environments follow releases again",
		Long: `resume takes the pin off environments, NAMESPACE/KIND/NAME or NAMESPACE/NAME. A
rollout that is held goes past the gate that holds it: that one alone, for this
release. Where a later gate holds it, it is held again, for that one's reason.
Otherwise images that failed are tried once more, and an image that somebody set by
hand is replaced.`,
		Example: `  lab-layers resume vision/resnet50
  lab-layers resume 'vision/resnet50-*'        those of a LabEnvironment's students`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			store, closeStore, err := flags.open(cmd.Context())
			if err != nil {
				return err
			}
			defer closeStore()
			listed, err := environmentsNamed(cmd.Context(), store, args...)
			if err != nil {
				return err
			}
			for _, e := range listed {
				done, err := store.Resume(cmd.Context(), e.Environment)
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", e.Environment, resumed(e, done))
			}
			return tellUnlessLed(cmd, store, notYet)
		},
	}
	flags.add(cmd)
	return cmd
}

// resumed says what becomes of an environment that was resumed.
func resumed(e deploy.Listed, done deploy.Resumption) string {
	switch {
	case !done.Pinned.IsZero():
		return fmt.Sprintf("follows %s again; it was pinned since %s", e.Track, done.Pinned.Format(time.DateTime))
	case done.Passed != nil:
		return fmt.Sprintf("goes past its %s gate: %s", done.Passed.Gate, oneLine(done.Passed.Reason))
	case e.State == deploy.Held, e.State == deploy.Faulty:
		return fmt.Sprintf("is %s by what resume does not go past: %s", e.State, oneLine(e.Reason))
	case e.State == deploy.Failed, e.State == deploy.RolledBack, e.State == deploy.Drifted:
		return "goes on"
	case e.State == deploy.RollingBack:
		return "is going back: resume it once it has, to have its images tried again"
	}
	return fmt.Sprintf("follows %s already: nothing was to be resumed", e.Track)
}

// environmentsNamed finds environments as [deploy.PickAll] does; no names are all.
func environmentsNamed(ctx context.Context, store *postgres.Store, names ...string) ([]deploy.Listed, error) {
	listed, err := store.Environments(ctx)
	if err != nil || len(names) == 0 {
		return listed, err
	}
	return listedAs(listed, names)
}

// listedAs are those of some environments that names are of, each once: a name may
// stand beside one with a * that it is among.
func listedAs(listed []deploy.Listed, names []string) ([]deploy.Listed, error) {
	var all []deploy.Environment
	for _, e := range listed {
		all = append(all, e.Environment)
	}
	var picked []deploy.Environment
	for _, name := range names {
		found, err := deploy.PickAll(name, all)
		if err != nil {
			return nil, inputError{err}
		}
		picked = append(picked, found...)
	}
	return slices.DeleteFunc(listed, func(e deploy.Listed) bool { return !slices.Contains(picked, e.Environment) }), nil
}
