package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/lab-layers/lab-layers/agent/postgres"
	"github.com/lab-layers/lab-layers/deploy"
)

// environmentTrace is all that is recorded about an environment, and about the
// images that it has.
type environmentTrace struct {
	deploy.Listed
	Rollouts []deploy.Rollout  `json:"rollouts"`
	Traces   []*postgres.Trace `json:"traces"`
}

// tracedRollouts is how many rollouts a trace shows.
const tracedRollouts = 20

// traceEnvironment traces what a name says, if it is an environment's.
func traceEnvironment(ctx context.Context, w io.Writer, store *postgres.Store, name string, output listFormat) (known bool, err error) {
	listed, err := store.Environments(ctx)
	if err != nil {
		return false, err
	}
	var t environmentTrace
	var all []deploy.Environment
	for _, e := range listed {
		all = append(all, e.Environment)
	}
	e, err := deploy.Pick(name, all)
	if err != nil {
		return false, nil // something else may have that name
	}
	for _, l := range listed {
		if l.Environment == e {
			t.Listed = l
		}
	}
	if t.Rollouts, err = store.RolloutsOf(ctx, e, tracedRollouts); err != nil {
		return true, err
	}
	for _, i := range t.Images {
		trace, err := store.Trace(ctx, i.To)
		if errors.Is(err, postgres.ErrNotFound) || errors.As(err, new(*postgres.AmbiguousError)) {
			continue // it was made elsewhere
		}
		if err != nil {
			return true, err
		}
		t.Traces = append(t.Traces, trace)
	}
	if output.json() {
		return true, printJSON(w, t)
	}
	return true, t.print(w, output)
}

func (t environmentTrace) print(w io.Writer, output listFormat) error {
	rows := [][]string{
		{"environment", t.Environment.String()},
		{"state", string(t.State)},
		{"track", t.Track},
		{"repository", t.Repository},
		{"commit", string(t.Commit)},
	}
	if t.Reason != "" {
		rows = append(rows, []string{"reason", t.Reason})
	}
	if t.Rollout != nil && t.Rollout.Cause != "" {
		rows = append(rows, []string{"cause", t.Rollout.Cause})
	}
	if t.Rollout != nil && t.Rollout.Remark != "" {
		rows = append(rows, []string{"remark", t.Rollout.Remark})
	}
	if t.Pinned != nil {
		rows = append(rows, []string{"pinned", fmt.Sprintf("by %s since %s", t.Pinned.By, t.Pinned.Since.Format(time.DateTime))})
	}
	for _, i := range t.Images {
		rows = append(rows, []string{"container " + i.Container, i.To})
	}
	if err := table(w, rows...); err != nil {
		return err
	}
	if len(t.Rollouts) > 0 {
		fmt.Fprintf(w, "\nits rollouts, the newest first\n")
		rows = [][]string{{"  ROLLOUT", "QUEUED", "STATE", "COMMIT", "IMAGES", "REASON"}}
		for _, r := range t.Rollouts {
			images := ""
			for _, i := range r.Images {
				images += fmt.Sprintf("%s %s → %s ", i.Layer, shortImage(i.From), shortImage(i.To))
			}
			rows = append(rows, []string{fmt.Sprintf("  %d", r.ID), r.Queued.Format(time.DateTime), string(r.State), r.Commit.Short(), images, andRemarked(caused(r), r)})
		}
		if !output.wide() {
			fit(rows, lineLength(w))
		}
		if err := table(w, rows...); err != nil {
			return err
		}
	}
	for _, trace := range t.Traces {
		fmt.Fprintln(w)
		trace.StandingOn = nil // of no interest here
		if err := printTrace(w, trace); err != nil {
			return err
		}
	}
	return nil
}

// caused is why a rollout began, where no release is the reason, and why it stands as
// it does.
func caused(r deploy.Rollout) string {
	switch {
	case r.Cause == "" || r.Cause == r.Reason:
		return r.Reason
	case r.Reason == "":
		return r.Cause
	}
	return r.Cause + "; " + r.Reason
}
