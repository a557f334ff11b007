package main

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	containerregistry "github.com/google/go-containerregistry/pkg/registry"
	"github.com/jackc/pgx/v5"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
)

// TestKilledReplica holds that of two replicas on one database, one takes over
// what the other was killed at, in the midst of a build, and ends with the
// digests that an undisturbed agent gives; nothing is published twice.
func TestKilledReplica(t *testing.T) {
	l := newLab(t)
	came, open := newGate(l)
	m := newManaged(l)
	first := m.replica("a").start()
	<-came
	first.signal(syscall.SIGKILL)
	first.drain()
	_ = first.cmd.Wait()
	base := m.pushed("base")
	if len(base) != 1 || len(m.pushed("unet")) != 0 {
		t.Fatalf("it was killed when it had pushed %v as base and %v as unet", base, m.pushed("unet"))
	}

	other := m.replica("b")
	second := other.start()
	second.await(`msg="run started".*attempt=2`)
	<-came
	open()
	second.await(`msg="run ended".* state=succeeded`)
	runs := other.recorded()
	if len(runs) != 1 || runs[0].State != agent.Succeeded || runs[0].Built != 1 || runs[0].Reused != 1 {
		t.Errorf("the runs are %+v", runs)
	}
	if err := second.stop(); err != nil {
		t.Errorf("SIGTERM: %v", err)
	}

	undisturbed := digests(l.settle())
	for layer, pushed := range map[string][]string{"base": m.pushed("base"), "unet": m.pushed("unet")} {
		if want := []string{string(undisturbed[layers.Name(layer)])}; !slices.Equal(pushed, want) {
			t.Errorf("%s was pushed as %v, want %v", layer, pushed, want)
		}
	}
}

// managed is a database and a registry that several agents share. BuildKit is
// the shared one.
type managed struct {
	*lab
	database string
	registry string

	mu     sync.Mutex
	images map[string][]string // digests pushed, by repository
}

func newManaged(l *lab) *managed {
	l.Helper()
	m := &managed{lab: l, images: map[string][]string{}}
	db, err := pgx.Connect(l.Context(), shared.parts.DatabaseURL)
	l.check(err)
	defer db.Close(l.Context())
	_, err = db.Exec(l.Context(), "create database "+pgx.Identifier{l.schema}.Sanitize())
	l.check(err)
	u, err := url.Parse(shared.parts.DatabaseURL)
	l.check(err)
	u.Path = "/" + l.schema
	m.database = u.String()

	images := containerregistry.New(containerregistry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Tags that move to an image are not counted, only images.
		name, digest, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/manifests/")
		if ok && r.Method == http.MethodPut && strings.HasPrefix(digest, "sha256:") {
			m.mu.Lock()
			if !slices.Contains(m.images[name], digest) {
				m.images[name] = append(m.images[name], digest)
			}
			m.mu.Unlock()
		}
		images.ServeHTTP(w, r)
	}))
	l.Cleanup(server.Close)
	m.registry = strings.TrimPrefix(server.URL, "http://")
	return m
}

// replica is an agent on the shared parts, with a data directory of its own.
func (m *managed) replica(name string) *program {
	m.Helper()
	p := newProgram(m.lab)
	p.data += name
	p.database = m.database
	p.args = []string{
		"agent", "--repo", m.remote, "--interval", "100ms", "--listen", "127.0.0.1:0", "--data-dir", p.data,
		"--database-url", m.database, "--registry", m.registry, "--buildkit", shared.address,
	}
	return p
}

// pushed lists the images that a layer has been pushed as.
func (m *managed) pushed(layer string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.images[layer])
}
