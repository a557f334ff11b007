// Package postgrestest has records for tests of other packages: a PostgreSQL for all
// tests of one, in it a schema for each test, and repositories that were pushed to.
package postgrestest

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lab-layers/lab-layers/agent/postgres"
	"github.com/lab-layers/lab-layers/agent/postgres/cluster"
)

// Shared is one PostgreSQL for the tests of a package.
type Shared struct {
	once    sync.Once
	cluster *cluster.Cluster
	err     error
	dir     string
	schemas atomic.Int64
}

// Open opens records that are the test's alone. The first call starts the PostgreSQL.
func (s *Shared) Open(t testing.TB) *postgres.Store {
	t.Helper()
	s.once.Do(func() { s.err = s.start() })
	if s.err != nil {
		t.Fatal(s.err)
	}
	store, err := postgres.Open(t.Context(), s.cluster.URL(), postgres.Options{Schema: fmt.Sprintf("test_%d", s.schemas.Add(1))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	return store
}

func (s *Shared) start() (err error) {
	if s.dir, err = os.MkdirTemp("", "postgres"); err != nil {
		return err
	}
	s.cluster, err = cluster.Start(context.Background(), cluster.Options{DataDir: s.dir})
	return err
}

// Stop ends the PostgreSQL, if one was started.
func (s *Shared) Stop() {
	if s.cluster != nil {
		hurry, cancel := context.WithCancel(context.Background())
		cancel() // what is thrown away need not be written down
		s.cluster.Stop(hurry)
	}
	os.RemoveAll(s.dir)
}
