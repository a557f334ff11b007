package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
)

// solve runs a shell script as a RUN step and returns its output.
func solve(t *testing.T, c *client.Client, script string) (string, error) {
	t.Helper()
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatal("apt-get install busybox-static: " + err.Error())
	}
	state := llb.Scratch().File(llb.Mkfile("/busybox", 0o755, busybox)).
		Run(llb.Args([]string{"/busybox", "sh", "-c", script})).Root()
	def, err := state.Marshal(t.Context(), llb.LinuxAmd64)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	statuses := make(chan *client.SolveStatus)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for s := range statuses {
			for _, l := range s.Logs {
				out.Write(l.Data)
			}
		}
	}()
	_, err = c.Solve(t.Context(), def, client.SolveOpt{}, statuses)
	<-drained
	return out.String(), err
}

func dial(t *testing.T, d *Daemon) *client.Client {
	t.Helper()
	c, err := client.New(t.Context(), d.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestCacheSize holds that BuildKit's own clean-up goes by the size given.
func TestCacheSize(t *testing.T) {
	c := dial(t, mustStart(t, Options{Binary: binary(t), Root: root(t), CacheSize: "3GB"}))
	workers, err := c.ListWorkers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	last := workers[0].GCPolicy[len(workers[0].GCPolicy)-1]
	if last.MaxUsedSpace != 3<<30 || last.MinFreeSpace == 0 || !last.All {
		t.Errorf("the last policy is %+v", last)
	}
}

// TestCgroupParent holds that RUN steps are within the limits of the control
// group that is given, here on the number of processes.
func TestCgroupParent(t *testing.T) {
	name := filepath.Base(root(t)) + "-test"
	hierarchy := "/sys/fs/cgroup/pids"
	if _, err := os.Stat(hierarchy); errors.Is(err, os.ErrNotExist) {
		hierarchy = "/sys/fs/cgroup" // version 2
	}
	group := filepath.Join(hierarchy, name)
	if err := os.Mkdir(group, 0o755); err != nil {
		t.Skipf("no control groups can be made here: %v", err)
	}
	t.Cleanup(func() {
		left, _ := filepath.Glob("/sys/fs/cgroup/*/" + name)
		for _, dir := range append(left, group) {
			os.Remove(dir)
		}
	})
	if err := os.WriteFile(filepath.Join(group, "pids.max"), []byte("12"), 0o644); err != nil {
		t.Skipf("the controller of processes is not on: %v", err)
	}
	d := mustStart(t, Options{Binary: binary(t), Root: root(t), CgroupParent: name})
	const forks = "i=0; while [ $i -lt 30 ]; do /busybox sleep 60 & i=$((i+1)); done; /busybox kill $(jobs -p); echo forked $i"
	if out, err := solve(t, dial(t, d), forks); err == nil || !strings.Contains(out, "fork") || strings.Contains(out, "forked 30") {
		t.Errorf("30 processes in a group of 12: %v: %s", err, out)
	}
	if out, err := solve(t, dial(t, d), "echo fine"); err != nil {
		t.Errorf("a step within the limits: %v: %s", err, out)
	}
}
