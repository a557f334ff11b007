package buildkit

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/moby/buildkit/solver/pb"
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
			if mistake.Doubtful {
				t.Error("it is taken for doubtful")
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

// TestDoubtfulFailures holds that what another attempt may mend is told apart,
// with its place.
func TestDoubtfulFailures(t *testing.T) {
	b := mustNew(t, Options{})
	parent := base(t, b)
	missing := httptest.NewServer(http.NotFoundHandler())
	defer missing.Close()
	for _, test := range []struct {
		name        string
		instruction string
		want        string
	}{
		{"killed", "RUN sh -c 'kill -9 $$'; exit $?", "exit code: 137"},
		{"disk is full", "RUN echo \"write: No space left on device\"; exit 100", "exit code: 100"},
		{"container does not start", "RUN --mount=type=tmpfs,target=/dev/null/x true", "runc run failed: "},
		{"URL is missing", "ADD " + missing.URL + "/weights /weights", "404"},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := order(t, solvable(t, "FROM parent\n"+test.instruction+"\n", memFS{}, parent, byContent))
			_, err := b.Build(t.Context(), o, nil)
			var failed *pipeline.BuildError
			if !errors.As(err, &failed) || !failed.Doubtful {
				t.Fatalf("error %v", err)
			}
			if failed.File != "lab/Dockerfile" || failed.Line != 2 || failed.Instruction != test.instruction {
				t.Errorf("place %s:%d %q", failed.File, failed.Line, failed.Instruction)
			}
			if said := err.Error() + strings.Join(failed.Tail, "\n"); !strings.Contains(said, test.want) {
				t.Errorf("error %q", said)
			}
		})
	}
}

// foreign is an image that BuildKit has not seen, so it pulls it for the step
// that stands on it.
func foreign(t *testing.T) *image {
	t.Helper()
	made, err := random.Image(1000, 1)
	if err != nil {
		t.Fatal(err)
	}
	repository := sharedRegistry.host + "/lab/foreign"
	ref, err := name.NewTag(repository + ":latest")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, made); err != nil {
		t.Fatal(err)
	}
	d, err := made.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return fetch(t, repository, digest.Digest(d.String()))
}

// withhold keeps the layers of an image back.
func withhold(i *image) func(*http.Request) int {
	return func(r *http.Request) int {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/blobs/"+i.manifest.Layers[0].Digest.String()) {
			return http.StatusInternalServerError
		}
		return 0
	}
}

func TestInfrastructureFaults(t *testing.T) {
	b := mustNew(t, Options{})
	parent := base(t, b)
	unpulled := foreign(t)
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
		{"no blobs for RUN", "FROM parent\nRUN true\n", unpulled, withhold(unpulled), "500"},
		{"no blobs for WORKDIR", "FROM parent\nWORKDIR /made\n", unpulled, withhold(unpulled), "500"},
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

// TestNoPlaceForAResult has what a killed daemon left be in the way of a step.
func TestNoPlaceForAResult(t *testing.T) {
	op := &pb.Op{Op: &pb.Op_File{}}
	for text, want := range map[string]bool{
		"failed to solve: failed to prepare  as r9pp5px1: failed to rename: rename /snapshots/new-2 /snapshots/117: file exists": false,
		"failed to prepare sha256:ab as r9pp5px1: file exists":                                                                   false,
		`failed to solve: "/failed to prepare": not found`:                                                                       true,
	} {
		if got := mistake(errors.New(text), op, nil); got != want {
			t.Errorf("%s: a mistake: %v", text, got)
		}
	}
}
