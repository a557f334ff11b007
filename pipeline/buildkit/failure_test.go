package buildkit

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/lab-layers/lab-layers/pipeline"
)

func TestMistakes(t *testing.T) {
	b := mustNew(t, Options{})
	parent := base(t, b)
	for _, test := range []struct {
		name        string
		dockerfile  string
		line        int
		instruction string
		tail        string
		err         string
	}{
		{
			"RUN fails", "FROM parent\nCOPY f /f\nRUN echo before; \\\n    echo last words; exit 7\n",
			3, "RUN echo before; \\\n    echo last words; exit 7", "before\nlast words", "exit code: 7",
		},
		{"program is missing", "FROM parent\nRUN no-such-program\n", 2, "RUN no-such-program", "/bin/sh: no-such-program: not found", "exit code: 127"},
		{"no shell", "FROM scratch\nCOPY f /f\nRUN true\n", 3, "RUN true", `runc run failed: unable to start container process: exec: "/bin/sh": stat /bin/sh: no such file or directory`, "exit code: 1"},
		{"COPY of nothing", "FROM parent\n\nCOPY missing.py /lab/\n", 3, "COPY missing.py /lab/", "", `COPY missing.py /lab/: "/missing.py": not found`},
		{"COPY --from of nothing", "FROM parent AS a\nFROM parent\nCOPY --from=a /nothing /x\n", 3, "COPY --from=a /nothing /x", "", "nothing"},
		{"secret is missing", "FROM parent\nRUN --mount=type=secret,id=token,required true\n", 2, "RUN --mount=type=secret,id=token,required true", "", "token"},
		{"a file in the way", "FROM parent\nCOPY f /bin/busybox/f\n", 2, "COPY f /bin/busybox/f", "", "not a directory"},
		{"user is missing", "FROM parent\nUSER nobody-here\nRUN true\n", 3, "RUN true", "", "nobody-here"},
	} {
		t.Run(test.name, func(t *testing.T) {
			files := memFS{{path: "f", data: "x"}}
			o := order(t, solvable(t, test.dockerfile, files, parent, byContent))
			var failed bool
			built, err := b.Build(t.Context(), o, func(e pipeline.Event) { failed = failed || e.State == pipeline.Failed })
			var mistake *pipeline.BuildError
			if !errors.As(err, &mistake) {
				t.Fatalf("no build error: %v", err)
			}
			if mistake.File != "lab/Dockerfile" || mistake.Line != test.line || mistake.Instruction != test.instruction {
				t.Errorf("place %s:%d %q", mistake.File, mistake.Line, mistake.Instruction)
			}
			if tail := strings.Join(mistake.Tail, "\n"); tail != test.tail {
				t.Errorf("tail %q", tail)
			}
			if !strings.Contains(err.Error(), test.err) || strings.Contains(err.Error(), "failed to solve") {
				t.Errorf("error %q", err)
			}
			if !failed || built.Digest != "" || built.Ended.IsZero() || !strings.Contains(string(built.Log), "ERROR: ") {
				t.Errorf("failed %t, built %+v", failed, built)
			}
			t.Log(err)
		})
	}
}

func TestForbidden(t *testing.T) {
	b := mustNew(t, Options{})
	parent := base(t, b)
	for _, flag := range []string{"--network=host", "--security=insecure"} {
		o := order(t, solvable(t, "FROM parent\nRUN "+flag+" true\n", memFS{}, parent, byContent))
		_, err := b.Build(t.Context(), o, nil)
		var mistake *pipeline.BuildError
		if !errors.As(err, &mistake) || mistake.Line != 2 || !strings.Contains(err.Error(), flag+" is not allowed") {
			t.Errorf("%s: %v", flag, err)
		}
	}
}

func TestInfrastructureFaults(t *testing.T) {
	b := mustNew(t, Options{})
	parent := base(t, b)
	gone := *parent
	gone.digest = digest.FromString("never pushed")
	for _, test := range []struct {
		name       string
		dockerfile string
		parent     *image
		fail       func(*http.Request) int
		want       string
	}{
		{"parent is gone", "FROM parent\nRUN true\n", &gone, nil, "not found"},
		{"killed", "FROM parent\nRUN sh -c 'kill -9 $$'; exit $?\n", parent, nil, "lab/Dockerfile:2: "},
		{"disk is full", "FROM parent\nRUN echo \"write: No space left on device\"; exit 100\n", parent, nil, "exit code: 100"},
		{"container does not start", "FROM parent\nRUN --mount=type=tmpfs,target=/dev/null/x true\n", parent, nil, "runc run failed: "},
		{"push is refused", "FROM parent\nRUN true\n", parent, func(r *http.Request) int {
			if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/") {
				return http.StatusForbidden
			}
			return 0
		}, "failed to push"},
	} {
		t.Run(test.name, func(t *testing.T) {
			sharedRegistry.mu.Lock()
			sharedRegistry.fail = test.fail
			sharedRegistry.mu.Unlock()
			defer func() {
				sharedRegistry.mu.Lock()
				sharedRegistry.fail = nil
				sharedRegistry.mu.Unlock()
			}()
			o := order(t, solvable(t, test.dockerfile, memFS{}, test.parent, byContent))
			built, err := b.Build(t.Context(), o, nil)
			var mistake *pipeline.BuildError
			if err == nil || errors.As(err, &mistake) {
				t.Fatalf("error %v", err)
			}
			if !strings.Contains(err.Error(), test.want) || built.Digest != "" {
				t.Errorf("error %q, digest %q", err, built.Digest)
			}
			t.Log(err)
		})
	}
}

func TestCancel(t *testing.T) {
	const marker = "86398.25"
	b := mustNew(t, Options{})
	parent := base(t, b)
	o := order(t, solvable(t, "FROM parent\nRUN echo up; sleep "+marker+"\n", memFS{}, parent, byContent))
	ctx, cancel := context.WithCancelCause(t.Context())
	superseded := errors.New("superseded by a newer push")
	built, err := b.Build(ctx, o, func(e pipeline.Event) {
		if e.State == pipeline.Output && len(processes(t, marker)) > 0 {
			cancel(superseded)
		}
	})
	if !errors.Is(err, superseded) {
		t.Fatalf("error %v", err)
	}
	if !strings.Contains(string(built.Log), "up\n") {
		t.Errorf("the log is %q", built.Log)
	}
	eventually(t, "the RUN step has ended", func() bool { return len(processes(t, marker)) == 0 })
	// Its place is free again.
	for range 5 {
		mustBuild(t, b, order(t, solvable(t, "FROM parent\nRUN true\n", memFS{}, parent, byContent)))
	}
}
