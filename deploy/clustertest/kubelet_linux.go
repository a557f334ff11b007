package clustertest

import (
	"context"
	_ "embed"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lab-layers/lab-layers/pipeline/child"
)

// Kubelet is a real node: the kubelet with containerd and runc, in namespaces
// of its own. It needs root, runc and the CNI plugins.
type Kubelet struct {
	Name    string // of the node
	Sandbox string // an image that does nothing for ever: the pause image
	// Reach are addresses (127.0.0.1:port) that its own loopback leads to here,
	// so that a registry has one name in and outside.
	Reach []string

	process *child.Process
}

const (
	bridgeIP = "10.88.0.1" // the node's, in its own network
	podRange = "10.88.0.0/16"
	plugins  = "/usr/lib/cni"
)

// machine makes the namespaces a machine. See there for its arguments.
//
//go:embed machine.sh
var machine string

// StartKubelet starts a node that ends with the test, and waits until it is
// ready. It skips the test where something is missing.
func (c *Cluster) StartKubelet(t testing.TB, k *Kubelet) {
	t.Helper()
	if why := k.missing(c.binaries); why != "" {
		t.Skipf("no kubelet here: %s", why)
	}
	dir, err := os.MkdirTemp("", "node")
	if err != nil {
		t.Fatal(err)
	}
	group := filepath.Base(dir) // of its containers' control groups
	t.Cleanup(func() {
		if k.process != nil {
			k.process.Kill()
		}
		if t.Failed() {
			t.Log(logTails(dir))
		}
		os.RemoveAll(dir)
		removeGroups(group)
		if err := c.Client.CoreV1().Nodes().Delete(context.Background(), k.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			t.Errorf("remove node %s: %v", k.Name, err)
		}
	})
	if err := k.configure(dir, group); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-euc", machine, "sh", dir, c.binaries, c.Kubeconfig, k.Name, bridgeIP, group)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:   syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
		Unshareflags: syscall.CLONE_NEWNS,
		Pdeathsig:    syscall.SIGKILL,
	}
	if k.process, err = child.Start(cmd, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	for _, address := range append([]string{c.api}, k.Reach...) {
		// Its loopback is up in a moment.
		Await(t, "the node's "+address, func(context.Context) error {
			l, err := k.listen(address)
			if err != nil {
				return k.process.Because(err)
			}
			t.Cleanup(func() { l.Close() })
			go relay(l, address)
			return nil
		})
	}
	Await(t, "node "+k.Name, func(ctx context.Context) error {
		if err := c.nodeReady(ctx, k.Name); err != nil {
			return k.process.Because(err)
		}
		return nil
	})
}

// missing says what a kubelet lacks here.
func (k *Kubelet) missing(binaries string) string {
	if os.Getuid() != 0 {
		return "it needs root"
	}
	for _, name := range []string{"containerd", "containerd-shim-runc-v2"} {
		if _, err := os.Stat(filepath.Join(binaries, name)); err != nil {
			return "run make cluster: " + err.Error()
		}
	}
	if _, err := os.Stat(filepath.Join(plugins, "bridge")); err != nil {
		return "run make setup: " + err.Error()
	}
	for _, name := range []string{"runc", "ip"} {
		if _, err := exec.LookPath(name); err != nil {
			return "run make setup: " + err.Error()
		}
	}
	return ""
}

// logTails is the end of each log of a node's programs.
func logTails(dir string) string {
	const kept = 4096 // bytes
	var b strings.Builder
	paths, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	for _, path := range paths {
		log, err := os.ReadFile(path)
		if err != nil {
			log = []byte(err.Error())
		}
		fmt.Fprintf(&b, "%s:\n%s\n", filepath.Base(path), log[max(0, len(log)-kept):])
	}
	return b.String()
}

// removeGroups removes the control groups of containers that are gone.
func removeGroups(group string) {
	for _, hierarchy := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
		roots, _ := filepath.Glob(filepath.Join(hierarchy, group))
		for _, root := range roots {
			var dirs []string
			_ = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
				if err == nil && d.IsDir() {
					dirs = append(dirs, path)
				}
				return nil
			})
			for i := len(dirs) - 1; i >= 0; i-- {
				_ = os.Remove(dirs[i])
			}
		}
	}
}
