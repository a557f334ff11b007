package main

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// part finds a process of the agent's parts by how its command line begins.
func (s *soak) part(ours func(line string) bool) (pid int, found bool) {
	of := s.run.cmd.Process.Pid
	if s.parts != nil {
		of = os.Getpid() // which has parts of other tests, too
	}
	for _, pid := range descendants(s.T, of) {
		line, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
		text := string(bytes.ReplaceAll(line, []byte{0}, []byte{' '}))
		if ours(text) && (s.parts == nil || s.parts.has(pid, text)) {
			return pid, true
		}
	}
	return 0, false
}

func isBuildKit(line string) bool {
	return strings.Contains(line, "buildkitd ") && strings.Contains(line, "--oci-worker=true")
}
func isPostmaster(line string) bool {
	program, _, _ := strings.Cut(line, " ")
	return filepath.Base(program) == "postgres"
}
func isBackend(line string) bool {
	return strings.HasPrefix(line, "postgres: ") && strings.Contains(line, "lab_layers")
}

// kill ends a part of the agent as an out-of-memory killer would.
func (s *soak) kill(what string, ours func(string) bool) error {
	pid, found := s.part(ours)
	if !found {
		s.broke("no " + what + " to kill")
		return nil
	}
	s.broke("kill -9 of " + what)
	err := syscall.Kill(pid, syscall.SIGKILL)
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}

// faults breaks something again and again until the context ends, and leaves
// all in order.
func (s *soak) faults(ctx context.Context) error {
	random := rand.New(rand.NewPCG(s.seed, 1000))
	near, far := s.remotes[0], s.remotes[1]
	a := func(most time.Duration) time.Duration { return time.Duration(random.Int64N(int64(most))) }
	for pause(ctx, time.Second+a(12*time.Second)) {
		var err error
		hit := s.soakAgent
		if s.second != nil && random.IntN(2) == 0 {
			hit = s.second
		}
		switch n := random.IntN(100); {
		case n < 25:
			s.broke("kill -9 of the agent")
			err = hit.stop(syscall.SIGKILL)
			if n < 8 {
				pause(ctx, a(8*time.Second))
			}
			err = errors.Join(err, hit.start())
		case n < 33:
			s.broke("SIGTERM to the agent")
			err = errors.Join(hit.stop(syscall.SIGTERM), hit.start())
		case n < 38:
			s.broke("SIGHUP to the agent")
			err = hit.run.cmd.Process.Signal(syscall.SIGHUP)
		case n < 55:
			err = s.kill("BuildKit", isBuildKit)
		case n < 70:
			err = s.kill("PostgreSQL", isPostmaster)
		case n < 76:
			err = s.kill("a session of PostgreSQL", isBackend)
		case n < 90:
			gate := []string{"refuses", "is silent", "breaks off"}[random.IntN(3)]
			s.broke("the far remote " + gate)
			far.gate.set(gate)
			pause(ctx, a(20*time.Second))
			far.gate.set("")
		case n < 96:
			s.broke("the near remote is away")
			err = near.away(ctx, a(5*time.Second))
		default:
			// Longer than a lease at times.
			s.broke("the agent is stopped for a while")
			err = hit.run.cmd.Process.Signal(syscall.SIGSTOP)
			pause(ctx, a(30*time.Second))
			err = errors.Join(err, hit.run.cmd.Process.Signal(syscall.SIGCONT))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// away takes the directory of a repository away for a while.
func (r *soakRemote) away(ctx context.Context, d time.Duration) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := os.Rename(r.bare, r.bare+".away"); err != nil {
		return err
	}
	pause(ctx, d)
	return os.Rename(r.bare+".away", r.bare)
}

// soakGate serves repositories over http, or not.
type soakGate struct {
	mu      sync.Mutex
	how     string
	changed chan struct{}
}

func (g *soakGate) set(how string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.how = how
	close(g.changed)
	g.changed = make(chan struct{})
}

func (g *soakGate) serve(t *testing.T, dir string) (url string) {
	g.changed = make(chan struct{})
	backend := &cgi.Handler{
		Path: "/usr/bin/git", Args: []string{"http-backend"}, Stderr: &bytes.Buffer{},
		Env: []string{"GIT_PROJECT_ROOT=" + dir, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_GLOBAL=/dev/null"},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		how, changed := g.how, g.changed
		g.mu.Unlock()
		switch how {
		case "refuses":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "is silent":
			select {
			case <-changed:
			case <-r.Context().Done():
			}
			panic(http.ErrAbortHandler)
		case "breaks off":
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte("001e# service=git-upload-pack\n"))
			panic(http.ErrAbortHandler)
		default:
			backend.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// soakSteps notes when RUN steps ran.
type soakSteps struct {
	url string
	mu  sync.Mutex
	ran map[string][]time.Time
}

func newSoakSteps(t *testing.T) *soakSteps {
	s := &soakSteps{ran: map[string][]time.Time{}}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.ran[r.URL.Path] = append(s.ran[r.URL.Path], time.Now())
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}
