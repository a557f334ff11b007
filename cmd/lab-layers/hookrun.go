package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lab-layers/lab-layers/agent/hook"
	"github.com/lab-layers/lab-layers/agent/web"
	"github.com/lab-layers/lab-layers/layers"
)

const (
	// hookTime is how long a push waits for the agent at the most.
	hookTime = 1300 * time.Millisecond
	// maxTold is how many runs, and layers of each, a push is told of.
	maxTold = 8
)

// newHookRun is what the hook calls. Whatever happens, it succeeds.
func newHookRun() *cobra.Command {
	return &cobra.Command{
		Use:    "run HOOK",
		Short:  "Tell the agent of a push; the hook calls it",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			// Files, too, may hang.
			said := make(chan string, 1)
			go func() {
				ctx, cancel := context.WithTimeout(cmd.Context(), hookTime)
				defer cancel()
				said <- pushed(ctx, args[0], cmd.InOrStdin())
			}()
			select {
			case text := <-said:
				fmt.Fprint(cmd.OutOrStdout(), text)
			case <-time.After(hookTime + hookTime/10):
			}
			return nil
		},
	}
}

// pushed tells the agent of a push, and returns what to tell who pushed.
func pushed(ctx context.Context, file string, push io.Reader) string {
	t, err := hookTarget(file)
	if err != nil || t == nil {
		return sayf("", err)
	}
	commits := hook.ReadPush(push)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	told, err := hook.Tell(ctx, client, *t, ownToken(t.DataDir, t.Agent), commits)
	if err != nil {
		return sayf("; the push is seen when the agent looks again", err)
	}
	return sayPush(*t, told, commits)
}

// hookTarget is whom the hook in a file tells of pushes to the repository that
// it runs in; nil is nobody.
func hookTarget(file string) (*hook.Target, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	if dir, err = hook.Running(dir, os.Getenv("GIT_DIR")); err != nil {
		return nil, err
	}
	targets, _ := hook.Targets(string(text))
	if i := slices.IndexFunc(targets, func(t hook.Target) bool { return t.GitDir == dir }); i >= 0 {
		return &targets[i], nil
	}
	return nil, nil
}

func sayf(more string, err error) string {
	if err == nil {
		return ""
	}
	return fmt.Sprintf("lab-layers: %s%s\n", cut(err.Error(), 300), more)
}

// sayPush tells of the runs that a push gave.
func sayPush(t hook.Target, told web.Told, commits map[string]string) string {
	runs := slices.DeleteFunc(told.Runs, func(run web.ToldRun) bool {
		return run.Move.New == "" || commits[string(run.Move.Ref)] != string(run.Move.New)
	})
	switch {
	case len(commits) == 0:
		return ""
	case len(runs) == 0:
		return "lab-layers: the agent was told; lab-layers runs shows what it does\n"
	}
	var b strings.Builder
	for _, run := range runs[:min(len(runs), maxTold)] {
		fmt.Fprintf(&b, "lab-layers: run %d of %s at %s: %s\n", run.ID, cut(shortRef(run.Move.Ref), 80), cut(run.Move.New.Short(), 12), sayPlan(run))
		fmt.Fprintf(&b, "lab-layers:   lab-layers logs -f %d%s\n", run.ID, elsewhere(t.Agent))
	}
	if more := len(runs) - maxTold; more > 0 {
		fmt.Fprintf(&b, "lab-layers: and %d more: lab-layers runs\n", more)
	}
	return b.String()
}

// sayPlan is what a run is going to do, with a line for each layer that it
// builds.
func sayPlan(run web.ToldRun) string {
	if run.Plan == nil {
		if run.State.Final() {
			return string(run.State)
		}
		return "its plan is not known yet"
	}
	var builds []string
	for _, l := range run.Plan.Layers {
		if l.Step != layers.Build {
			continue
		}
		reason := ""
		if l.Reason != nil {
			reason = string(l.Reason.Kind) + ": " + l.Reason.Detail
		}
		builds = append(builds, fmt.Sprintf("\nlab-layers:   %-14s %s", cut(string(l.Name), 60), cut(reason, 60)))
	}
	text := fmt.Sprintf("%d of %d layers to build", len(builds), len(run.Plan.Layers))
	text += strings.Join(builds[:min(len(builds), maxTold)], "")
	if more := len(builds) - maxTold; more > 0 {
		text += fmt.Sprintf("\nlab-layers:   and %d more", more)
	}
	return text
}

// elsewhere is the flag that leads to an agent from other machines; empty for
// one that is reached from its own alone.
func elsewhere(agent string) string {
	u, err := url.Parse(agent)
	if err != nil || u.Hostname() == "localhost" {
		return ""
	}
	if to, err := netip.ParseAddr(u.Hostname()); err == nil && to.IsLoopback() {
		return ""
	}
	return " --agent " + agent
}
