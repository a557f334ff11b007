package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// configured gives an agent's flags a file, arguments and an environment.
func configured(t *testing.T, text string, args ...string) (*agentFlags, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "agent.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f := new(agentFlags)
	cmd := f.command()
	if err := cmd.ParseFlags(append(args, "--config", file)); err != nil {
		t.Fatal(err)
	}
	return f, f.complete(cmd.Flags())
}

// TestAgentFile holds that a file sets flags of every type, to the very text
// that it has, and that flags count before the environment and that before it.
func TestAgentFile(t *testing.T) {
	t.Setenv("LAB_LAYERS_WORKERS", "7")
	t.Setenv("LAB_LAYERS_PARALLEL", "8")
	f, err := configured(t, `# an agent's settings
repo:
  - course=https://git.example.org/a,b.git
  - other=git@git.example.org:lab.git
interval: 1m
workers: 3
parallel: 5
run-limit: 2h
log-json: true
secret:
  hf-token: /run/secrets/a,b=c
  course/key: /run/secrets/key
secret-refs: ["refs/heads/release/**"]
build-cache: 30%
`, "--parallel", "9", "--run-limit=3h")
	if err != nil {
		t.Fatal(err)
	}
	if len(f.repos) != 2 || f.repos[0] != (namedRepo{"course", "https://git.example.org/a,b.git"}) {
		t.Errorf("repositories are %+v", f.repos)
	}
	if f.interval != time.Minute || f.workers != 7 || f.stack.parallel != 9 || f.limit != 3*time.Hour || !f.logging.json || f.stack.cacheSize != "30%" || len(f.trusted) != 1 {
		t.Errorf("settings are %+v", f)
	}
	if s := f.stack.secrets; len(s) != 2 || s["hf-token"] != "/run/secrets/a,b=c" || s["course/key"] != "/run/secrets/key" {
		t.Errorf("secrets are %v", s)
	}
}

// TestAgentFileFaults holds that each fault is told with its line and what to
// do, all of them at once, also in what a flag overrides.
func TestAgentFileFaults(t *testing.T) {
	_, err := configured(t, `repo: https://git.example.org/lab.git
interval: soon
intervall: 1m
workers: [1]
debug: maybe
debug: true
secret: [a]
ssh: {a: }
plain-http: [{a: b}]
config: other.yaml
database-url: postgres://lab:hunter2@db/lab
parallel: many
registry:
`, "--parallel", "9", "--repo", "x=https://git.example.org/lab.git")
	if err == nil || exitCode(err) != exitInput {
		t.Fatalf("%v", err)
	}
	got := strings.Split(err.Error(), "\n")
	for i, want := range []string{
		`:1: "repo" is no list; begin each entry with "- "`,
		`:2: "interval" is "soon"; write a time such as 90s, 5m or 24h`,
		`:3: there is no setting "intervall"; did you mean "interval"?`,
		`:4: "workers" is not one value; write a whole number, or take the line out`,
		`:5: "debug" is "maybe"; write true or false`,
		`:6: "debug" is there twice, first at line 5; keep one of them`,
		`:7: "secret" is no mapping; write "ID: FILE" lines below it`,
		`:8: "a" of "ssh" is not one value; name one file`,
		`:9: an entry of "plain-http" is not one value; write each entry as one text`,
		`:10: there is no setting "config"; "lab-layers agent --help" lists what there is`,
		`:11: "database-url" has a password in it; put "?passfile=FILE" at its end, or give the URL as LAB_LAYERS_DATABASE_URL`,
		`:12: "parallel" is "many"; write a whole number`,
		`:13: "registry" is not one value; write one text, in quotes, or take the line out`,
	} {
		if i >= len(got) || !strings.HasSuffix(got[i], "agent.yaml"+want) {
			t.Errorf("no %q in:\n%s", want, err)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Error("the password is told")
	}

	const repo = "repo: [https://git.example.org/lab.git]\n"
	for text, want := range map[string]string{
		"a: b: c\n":                                         ":1: not YAML: mapping values are not allowed",
		"- a\n":                                             ":1: the file is no mapping",
		repo + "---\nrepo: []\n":                            ": a second YAML document begins",
		repo + "interval: 0s\n":                             ":2: --interval must be more than 0",
		repo + "refresh: never\n":                           ":2: --refresh: ",
		repo + "rebuild: \"@every 6h\"\n":                   ":2: --rebuild: @every counts",
		repo + "secret: {a/b: /f}\n":                        ":2: --secret a/b: there is no repository a",
		repo + "secret-refs: [\"[\"]\n":                     ":2: --secret-refs: ",
		repo + "buildkit-cert: /c\nbuildkit: [tcp://b:1]\n": ":2: --buildkit-cert and --buildkit-key belong together",
		repo + "buildkit: [unix:///b]\nbuildkit-ca: /ca\n":  ":3: the --buildkit-ca",
		"repo: [/a, /b]\n":                                  ":1: several repositories",
		"interval: 1m\n":                                    "name at least one repository with --repo",
	} {
		if _, err := configured(t, text); err == nil || exitCode(err) != exitInput || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, not %q", text, err, want)
		}
	}
}

// TestEveryFlagHasARemedy holds that a new type of flag is thought of.
func TestEveryFlagHasARemedy(t *testing.T) {
	newAgent().Flags().VisitAll(func(flag *pflag.Flag) {
		if !slices.Contains([]string{"bool", "int", "duration", "stringToString", "string", "stringSlice"}, flag.Value.Type()) {
			t.Errorf("--%s is of type %s", flag.Name, flag.Value.Type())
		}
	})
}

func TestEnvironmentFault(t *testing.T) {
	t.Setenv("LAB_LAYERS_RUN_LIMIT", "long")
	if _, err := configured(t, ""); err == nil || exitCode(err) != exitInput || err.Error() != `LAB_LAYERS_RUN_LIMIT is "long"; write a time such as 90s, 5m or 24h` {
		t.Error(err)
	}
}
