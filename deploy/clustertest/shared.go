package clustertest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// Shared is one cluster for the tests of a package.
type Shared struct {
	once    sync.Once
	cluster *Cluster
	err     error
	dir     string
}

// errNotBuilt tells the tests what to run.
var errNotBuilt = errors.New("the test cluster is not built: run make cluster")

// Run is the work of a package's TestMain: it runs the tests and ends the
// cluster, if one was started. Where they failed its logs are kept and their
// ends shown.
func (s *Shared) Run(m *testing.M) int {
	code := m.Run()
	if s.cluster == nil {
		os.RemoveAll(s.dir)
		return code
	}
	s.cluster.Stop()
	if code == 0 {
		os.RemoveAll(s.dir)
		return code
	}
	fmt.Fprintf(os.Stderr, "the logs of the test cluster are in %s; their ends:\n%s", s.cluster.Logs, s.cluster.tails())
	os.RemoveAll(filepath.Join(s.dir, "etcd")) // 140 MB
	return code
}

// Get is the cluster, which the first call starts. It skips the test where the
// programs were not built.
func (s *Shared) Get(t testing.TB) *Cluster {
	t.Helper()
	s.once.Do(func() { s.err = s.start() })
	if errors.Is(s.err, errNotBuilt) {
		t.Skip(s.err)
	}
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.cluster
}

func (s *Shared) start() error {
	binaries, err := Binaries()
	if err != nil {
		return err
	}
	if s.dir, err = os.MkdirTemp("", "lab-layers-cluster"); err != nil {
		return err
	}
	s.cluster, err = Start(context.Background(), binaries, s.dir)
	return err
}

// Binaries is where make cluster puts the programs: bin/cluster of the module
// that the working directory is in.
func Binaries() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("the test cluster: not in a module")
		}
		dir = up
	}
	dir = filepath.Join(dir, "bin", "cluster")
	for _, name := range []string{"cluster", "kwok"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return "", errNotBuilt
		}
	}
	return dir, nil
}
