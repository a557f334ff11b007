package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lab-layers/lab-layers/pipeline/buildkit/daemon"
)

// world is what the tests of the whole agent share: a sample lab to clone, and
// one stack of embedded parts. Each test has a schema and a prefix of its own.
type world struct {
	dir     string
	once    sync.Once
	err     error
	seed    string // a bare repository with the sample lab
	stack   *stack
	parts   started
	address string // of BuildKit
	count   atomic.Int64
	other   func() (*daemon.Daemon, error)
	program func() (string, error) // the path of the real binary
}

var shared world

func TestMain(m *testing.M) {
	code := 1
	var err error
	// Sockets have short paths, so this is not below TMPDIR of the tests.
	if shared.dir, err = os.MkdirTemp("", "labs"); err == nil {
		shared.other = sync.OnceValues(shared.otherBuildKit)
		shared.program = sync.OnceValues(shared.buildProgram)
		code = controlPlane.Run(m)
		shared.close()
	} else {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// open brings the world up for the first test that needs it.
func (w *world) open(t *testing.T) {
	t.Helper()
	w.once.Do(func() { w.err = w.start() })
	if w.err != nil {
		t.Fatalf("these tests need root, git, runc, PostgreSQL and a static busybox (make setup), and buildkitd (make build): %v", w.err)
	}
}

func (w *world) start() error {
	if err := findBuildKit(); err != nil {
		return err
	}
	lab := filepath.Join(w.dir, "lab")
	w.seed = filepath.Join(w.dir, "seed.git")
	for _, cmd := range []*exec.Cmd{
		exec.Command("../../testdata/rootfs/newlab.sh", lab),
		exec.Command("git", "clone", "-q", "--bare", lab, w.seed),
	} {
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", cmd, err, out)
		}
	}
	flags := w.flags()
	var err error
	if w.stack, err = flags.openStack(context.Background(), slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	data, err := os.ReadFile(filepath.Join(flags.dataDir, startedFile))
	if err != nil {
		return err
	}
	w.address = "unix://" + filepath.Join(flags.dataDir, "buildkit", "buildkitd.sock")
	return json.Unmarshal(data, &w.parts)
}

// flags are those of a stack with nothing given.
func (w *world) flags() stackFlags {
	return stackFlags{dataDir: filepath.Join(w.dir, "data"), export: usualExport(), parallel: 4}
}

// otherBuildKit starts a second BuildKit, which has built nothing yet.
func (w *world) otherBuildKit() (*daemon.Daemon, error) {
	return daemon.Start(context.Background(), daemon.Options{Root: filepath.Join(w.dir, "other")})
}

// buildProgram takes the binary of make build where it is up to date: the go tool
// links none that is.
func (w *world) buildProgram() (string, error) {
	path := filepath.Join(w.dir, "lab-layers")
	if made, err := os.ReadFile("../../bin/lab-layers"); err == nil {
		if err := os.WriteFile(path, made, 0o755); err != nil {
			return "", err
		}
	}
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the program: %w: %s", err, out)
	}
	return path, nil
}

func (w *world) close() {
	ctx, hurry := context.WithCancel(context.Background())
	hurry() // what is thrown away need not be written down
	if w.stack != nil {
		if d, err := w.other(); err == nil {
			d.Stop(ctx)
		}
		w.stack.close()
	}
	os.RemoveAll(w.dir)
}

// findBuildKit puts the directory of buildkitd on PATH: bin, or go.mod's tool.
func findBuildKit() error {
	bin, err := filepath.Abs("../../bin")
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(bin, "buildkitd")); errors.Is(err, os.ErrNotExist) {
		if _, err := exec.LookPath("buildkitd"); err == nil {
			return nil
		}
		tool, err := exec.Command("go", "tool", "-n", "buildkitd").Output()
		if err != nil {
			return fmt.Errorf("find buildkitd: %w", err)
		}
		bin = filepath.Dir(string(tool))
	}
	return os.Setenv("PATH", bin+":"+os.Getenv("PATH"))
}
