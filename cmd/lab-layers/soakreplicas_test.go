package main

import (
	"context"
	"io"
	"log"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	containerregistry "github.com/google/go-containerregistry/pkg/registry"
)

// TestSoakReplicas is [TestSoak] with two agents on one database, one registry and
// one BuildKit that are none of theirs. Both agents are killed, and stopped for
// longer than their claims last, and so are the parts.
func TestSoakReplicas(t *testing.T) {
	if *soakTime <= 0 {
		t.Skip("it takes as long as -soak says: make soak")
	}
	s := newSoak(newLab(t))
	s.share()
	s.soak()
}

// soakParts are those that several agents were given.
type soakParts struct {
	dir  string
	stop func()
}

// has reports whether a process is of a part: PostgreSQL's are known by where they
// work, and BuildKit's by its command line.
func (p *soakParts) has(pid int, line string) bool {
	cwd, _ := os.Readlink("/proc/" + strconv.Itoa(pid) + "/cwd")
	return strings.HasPrefix(cwd, p.dir) || strings.Contains(line, p.dir)
}

// share starts parts, and gives them to the agent and to a second one.
func (s *soak) share() {
	s.Helper()
	dir := filepath.Dir(s.remote)
	var stops []func(context.Context)
	onStop := func(stop func(context.Context)) { stops = append(stops, stop) }
	s.parts = &soakParts{dir: filepath.Join(dir, "parts")}
	s.parts.stop = sync.OnceFunc(func() {
		for _, stop := range stops {
			stop(context.Background())
		}
	})
	s.T.Cleanup(s.parts.stop)
	quiet := slog.New(slog.DiscardHandler)
	database, err := startDatabase(s.Context(), s.parts.dir, quiet, onStop)
	s.check(err)
	flags := stackFlags{dataDir: s.parts.dir, parallel: 4}
	buildkit, err := flags.startBuildKit(s.Context(), quiet, onStop)
	s.check(err)
	registry := httptest.NewServer(containerregistry.New(containerregistry.Logger(log.New(io.Discard, "", 0))))
	s.T.Cleanup(registry.Close)
	given := []string{"--database-url", database, "--registry", strings.TrimPrefix(registry.URL, "http://"), "--buildkit", buildkit}

	s.second = &soakAgent{program: newProgram(s.lab)}
	s.second.data = filepath.Join(dir, "second")
	s.second.prepare(filepath.Join(dir, "secret"), s.remotes)
	for _, a := range s.agents() {
		a.database = database
		a.args = append(a.args, given...)
	}
}
