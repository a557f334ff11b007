package main

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
)

func TestArgumentsAreInput(t *testing.T) {
	for _, args := range []string{"nonsense", "trace", "plan more", "plan --nonsense", "plan -o xml", "runs --limit 0", "logs main", "hook nonsense", "hook install more", "hook install --repo /nothing-is-here", "hook uninstall --repo /", "logs 1 --agent nonsense", "logs -f 1 --agent http://user:secret@lab", "validate --config nothing-is-here", "rollback", "rollback --snapshot xyz", "resume", "agent --repo . --kubeconfig nothing-is-here", "agent --repo . --refresh never", "agent --repo . --verify CRON_TZ=Nowhere/Land"} {
		var out, errs bytes.Buffer
		root := newRoot(&out, &errs)
		root.SetArgs(strings.Fields(args))
		if err := root.Execute(); err == nil || exitCode(err) != exitInput {
			t.Errorf("%s: %v, exit code %d", args, err, exitCode(err))
		}
	}
}

func TestHelpShowsNoSecret(t *testing.T) {
	t.Setenv("LAB_LAYERS_DATABASE_URL", "postgres://lab:hunter2@db/lab")
	for _, command := range []string{"agent", "build", "runs", "logs", "history", "trace"} {
		var out bytes.Buffer
		root := newRoot(&out, &out)
		root.SetArgs([]string{command, "--help"})
		if err := root.Execute(); err != nil || strings.Contains(out.String(), "hunter2") {
			t.Errorf("%v: %s", err, out.String())
		}
	}
}

func TestPrintedPlanHasNoControlCharacters(t *testing.T) {
	evil := "a\x1b[31m\nb\tc\u009b\u202e\u2028"
	plan := &layers.Plan{Layers: []*layers.PlannedLayer{{
		Name: "one", Step: layers.Build, Fault: evil, Notes: []string{evil}, ChangedPaths: []string{evil},
		Reasons:     []layers.Reason{{Kind: layers.ReasonPath, Detail: evil}},
		RebuildFrom: &layers.Instruction{File: evil, Line: 1, Text: evil},
	}, {
		Name: "two", Step: layers.Build, ChangedPaths: []string{evil}, Reasons: []layers.Reason{{Kind: layers.ReasonPath, Detail: evil}},
	}}}
	var out bytes.Buffer
	if err := printPlan(&out, plan, true); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(out.String(), "\x1b\t\u009b\u202e\u2028") || strings.Contains(out.String(), "[31m\n") {
		t.Errorf("%q", out.String())
	}
	// JSON says the same as it was.
	out.Reset()
	if err := printJSON(&out, evil+"\x7fé<"); err != nil {
		t.Fatal(err)
	}
	var said string
	if err := json.Unmarshal(out.Bytes(), &said); err != nil || said != evil+"\x7fé<" || strings.ContainsFunc(out.String(), plays) {
		t.Errorf("%q is %q, %v", out.String(), said, err)
	}
	out.Reset()
	(&logFlags{json: true}).logger(&out).Info("a ref moved", "ref", evil)
	if strings.ContainsFunc(out.String(), plays) || !json.Valid(out.Bytes()) {
		t.Errorf("%q", out.String())
	}
	out.Reset()
	new(logFlags).logger(&out).Info("a ref moved", "ref", evil)
	liveProgress(&out).Plan(agent.Run{Move: agent.Move{Ref: layers.Ref(evil)}}, &layers.Plan{Repo: evil})
	if strings.ContainsFunc(out.String(), plays) || strings.Contains(out.String(), "[31m\n") {
		t.Errorf("%q", out.String())
	}
}

// TestHelp reads what a command says of itself as a person does.
func TestHelp(t *testing.T) {
	var look func(cmd *cobra.Command)
	look = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			look(sub)
		}
		if cmd.Hidden {
			return
		}
		if cmd.Long == "" && cmd.Example == "" {
			t.Errorf("%s says no more of itself than its line in the list", cmd.CommandPath())
		}
		for line := range strings.Lines(cmd.UsageString()) {
			if strings.Count(line, "(default") > 1 || strings.Contains(line, "[])") || strings.Contains(line, "m0s") {
				t.Errorf("%s: %s", cmd.CommandPath(), line)
			}
		}
		for line := range strings.Lines(cmd.Long) {
			if n := len([]rune(line)); n > 88 {
				t.Errorf("%s has a line of %d characters: %s", cmd.CommandPath(), n, line)
			}
		}
	}
	look(newRoot(io.Discard, io.Discard))
}

func TestWrongArguments(t *testing.T) {
	for args, want := range map[string]string{
		"resume":    "an argument is missing: lab-layers resume ENVIRONMENT… [flags]",
		"runs x":    `"x" is more than it takes: lab-layers runs [flags]`,
		"trace a b": `"a b" is more than it takes: lab-layers trace DIGEST|TAG|COMMIT|IMAGE|ENVIRONMENT [flags]`,
		"buidl":     `unknown command "buidl" for "lab-layers"`,
		"operator":  "give --deploy-registry: the registry as nodes reach it, as HOST or HOST/PREFIX",
	} {
		root := newRoot(io.Discard, io.Discard)
		root.SetArgs(strings.Fields(args))
		if err := root.Execute(); err == nil || exitCode(err) != exitInput || err.Error() != want {
			t.Errorf("%s: %v", args, err)
		}
	}
}
