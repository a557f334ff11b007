package git

import (
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/lab-layers/lab-layers/layers"
)

// TestKilled kills a process in the middle of a pack, with the lock in its
// hands, and holds that the next one is not hindered.
func TestKilled(t *testing.T) {
	if args := strings.Fields(os.Getenv("LAB_LAYERS_TEST_FETCH")); len(args) == 3 { // the process to be killed
		m, err := Open(context.Background(), args[0], Remote{URL: args[1]}, Limits{})
		if err == nil {
			err = m.Fetch(context.Background(), "refs/heads/main", layers.Commit(args[2]))
		}
		t.Fatal("not killed", err)
	}
	work := newRepo(t)
	commit := work.commit("c", "file", strings.Repeat("content\n", 10))
	bare := work.bare()
	target := strings.TrimPrefix(serveGit(t, filepath.Dir(bare.dir)), "git://")
	stuck := make(chan struct{})
	var stalled atomic.Bool
	addr := listen(t, func(conn net.Conn) {
		far, err := net.Dial("tcp", target)
		if err != nil {
			return
		}
		defer far.Close()
		go io.Copy(far, conn)
		if stalled.CompareAndSwap(false, true) {
			io.CopyN(conn, far, 500) // into the pack
			close(stuck)
			io.Copy(io.Discard, conn)
			return
		}
		io.Copy(conn, far)
	})
	dir, url := t.TempDir(), "git://"+addr+"/bare.git"
	child := exec.Command(os.Args[0], "-test.run=^TestKilled$")
	child.Env = append(gitEnv(), "LAB_LAYERS_TEST_FETCH="+strings.Join([]string{dir, url, string(commit)}, " "))
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	<-stuck
	child.Process.Kill()
	child.Wait()
	m, err := Open(context.Background(), dir, Remote{URL: url}, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(string(m.temp)); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	mustFetch(t, m, "refs/heads/main", commit)
	wantFile(t, m, commit, "file", strings.Repeat("content\n", 10))
}
