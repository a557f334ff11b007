package daemon

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"

	"github.com/lab-layers/lab-layers/pipeline/child"
)

// agentRoot, if set, makes the test binary an agent that is to be killed.
const agentRoot = "LAB_LAYERS_TEST_AGENT_ROOT"

// marker finds the container's process among all others.
const marker = "86399.75"

func TestMain(m *testing.M) {
	if root := os.Getenv(agentRoot); root != "" {
		agent(root)
		return
	}
	os.Exit(m.Run())
}

// binary is the buildkitd of go.mod.
func binary(t testing.TB) string {
	t.Helper()
	if path, err := exec.LookPath("buildkitd"); err == nil {
		return path
	}
	out, err := exec.Command("go", "tool", "-n", "buildkitd").Output()
	if err != nil {
		t.Fatalf("no buildkitd on PATH, and go tool -n buildkitd: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// root is a directory of a length that test names do not decide.
func root(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "bk")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func mustStart(t testing.TB, o Options) *Daemon {
	t.Helper()
	d, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Stop(context.Background()) })
	return d
}

func answers(t testing.TB, address string) {
	t.Helper()
	c, err := client.New(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.ListWorkers(t.Context()); err != nil {
		t.Fatalf("%s does not answer: %v", address, err)
	}
}

// processes returns the pids whose command line holds a text.
func processes(t testing.TB, text string) []int {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, line := range lines {
		data, err := os.ReadFile(line)
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(line)))
		if err == nil && pid != os.Getpid() && bytes.Contains(data, []byte(text)) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// eventually waits for something that sends no word.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err := child.Every(ctx, func() error {
		if !ok() {
			return errors.New("not yet")
		}
		return nil
	})
	if err != nil {
		t.Fatalf("not within 10 seconds: %s", what)
	}
}

func TestStartStopStart(t *testing.T) {
	dir := root(t)
	o := Options{Binary: binary(t), Root: dir, PlainHTTP: []string{"registry.lab:5000"}, CacheSize: "3GB"}
	for range 2 {
		began := time.Now()
		d := mustStart(t, o)
		t.Logf("ready in %s", time.Since(began).Round(time.Millisecond))
		answers(t, d.Address())
		d.Stop(t.Context())
		<-d.Done()
		if left := processes(t, dir); len(left) > 0 {
			t.Fatalf("processes %v are left", left)
		}
	}
}

// TestEnviron holds that the daemon, and whatever it starts, is given no secret
// of ours.
func TestEnviron(t *testing.T) {
	t.Setenv("LAB_LAYERS_DATABASE_URL", "postgres://lab:hushhush@db/lab")
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=hushhush")
	t.Setenv("NO_PROXY", "registry.lab")
	t.Setenv("TMPDIR", "/tmp")
	for _, all := range [][]string{nil, os.Environ()} {
		d := mustStart(t, Options{Binary: binary(t), Root: root(t), Environ: all})
		own, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", d.process.PID()))
		if err != nil {
			t.Fatal(err)
		}
		has := "\x00" + string(own)
		if strings.Contains(has, "hushhush") || !strings.Contains(has, "\x00PATH=/") {
			t.Errorf("its environment is %q", own)
		}
		if temp := "\x00TMPDIR=" + filepath.Join(d.options.Root, "tmp") + "\x00"; strings.Count(has, "\x00TMPDIR=") != 1 || !strings.Contains(has, temp) {
			t.Errorf("its temporary files are not in its own directory: %q", own)
		}
		if given := strings.Contains(has, "\x00NO_PROXY=registry.lab\x00"); given != (all != nil) {
			t.Errorf("of %d variables it has %q", len(all), own)
		}
		d.Stop(t.Context())
	}
}

func TestStopByForce(t *testing.T) {
	d := mustStart(t, Options{Binary: binary(t), Root: root(t)})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d.Stop(ctx) // no time for a polite end
	<-d.Done()
}

func TestOneDaemonPerRoot(t *testing.T) {
	o := Options{Binary: binary(t), Root: root(t)}
	d := mustStart(t, o)
	_, err := Start(t.Context(), o)
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), o.Root) {
		t.Fatalf("second daemon: %v", err)
	}
	answers(t, d.Address())
}

func TestForeignDaemonOnRoot(t *testing.T) {
	o := Options{Binary: binary(t), Root: root(t)}
	f, err := os.Create(filepath.Join(o.Root, "buildkitd.lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), o); !errors.Is(err, ErrInUse) {
		t.Fatalf("daemon beside a foreign one: %v", err)
	}
}

func TestLongRoot(t *testing.T) {
	dir := filepath.Join(root(t), strings.Repeat("long/", 30))
	d := mustStart(t, Options{Binary: binary(t), Root: dir})
	t.Cleanup(func() { os.RemoveAll(filepath.Dir(d.socket)) })
	answers(t, d.Address())
}

func TestStartErrors(t *testing.T) {
	script := filepath.Join(t.TempDir(), "buildkitd")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho it is broken >&2\nexit 3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		o    Options
		want []string
	}{
		{"last lines", Options{Binary: script}, []string{"start buildkitd", "ended at once", "exit status 3", "it is broken"}},
		{"no binary", Options{Binary: "/nowhere/buildkitd"}, []string{"/nowhere/buildkitd", "give its path"}},
		{"bad registry", Options{Binary: script, PlainHTTP: []string{`x"]`}}, []string{`registry "x\"]"`}},
		{"bad size", Options{Binary: script, CacheSize: "much"}, []string{`"much"`, "200GB"}},
		{"bad control group", Options{Binary: script, CgroupParent: "../x"}, []string{`"../x"`, "labs.slice"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.o.Root = root(t)
			_, err := Start(t.Context(), test.o)
			for _, want := range test.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
		})
	}
}

func TestLogger(t *testing.T) {
	var log bytes.Buffer
	d := mustStart(t, Options{
		Binary: binary(t), Root: root(t),
		Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	d.Stop(t.Context())
	if !strings.Contains(log.String(), "running server on") {
		t.Errorf("the log holds %q", log.String())
	}
}

func TestKeep(t *testing.T) {
	d := mustStart(t, Options{Binary: binary(t), Root: root(t)})
	address, first := d.Address(), d.process.PID()
	ctx, cancel := context.WithCancel(t.Context())
	lost := make(chan error, 10)
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		Keep(ctx, d, func(err error) { lost <- err })
	}()
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := <-lost; !strings.Contains(err.Error(), "signal: killed") {
		t.Errorf("lost: %v", err)
	}
	eventually(t, "another daemon answers", func() bool {
		c, err := client.New(t.Context(), address)
		if err != nil {
			return false
		}
		defer c.Close()
		_, err = c.Info(t.Context())
		return err == nil
	})
	cancel()
	<-kept
	if left := processes(t, d.options.Root); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
}

// TestKillLeavesNothing kills a process that runs a daemon in the middle of a
// build: neither the daemon nor the build's container may outlive it.
func TestKillLeavesNothing(t *testing.T) {
	path, dir := binary(t), root(t)
	before, _ := filepath.Glob("/run/runc/*")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), agentRoot+"="+dir, "PATH="+filepath.Dir(path)+":"+os.Getenv("PATH"))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "running\n" {
		t.Fatalf("the agent said %q: %v", line, err)
	}
	if len(processes(t, marker)) == 0 || len(processes(t, dir)) == 0 {
		t.Fatal("the build's container and the daemon are not seen: this test would prove nothing")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	temp := filepath.Join(dir, "tmp", "buildkit-mount1")
	if err := os.Mkdir(temp, 0o700); err != nil { // where it had mounted something
		t.Fatal(err)
	}
	bundles := func() []string {
		left, _ := filepath.Glob(filepath.Join(dir, "runc-*", "executor", "*", "rootfs"))
		return left
	}
	if len(bundles()) != 1 {
		t.Fatalf("the killed step left %v", bundles())
	}
	// The next daemon starts at once; it waits for the last one by itself.
	d := mustStart(t, Options{Binary: path, Root: dir})
	if left := processes(t, marker); len(left) > 0 {
		t.Errorf("processes %v of the build are left", left)
	}
	answers(t, d.Address())
	if left := bundles(); len(left) > 0 {
		t.Errorf("%v are left", left)
	}
	if _, err := os.Stat(temp); err == nil {
		t.Errorf("%s is left", temp)
	}
	if err := os.MkdirAll(filepath.Join(dir, "runc-overlayfs", "executor", "cancelled", "rootfs"), 0o700); err != nil {
		t.Fatal(err)
	}
	d.Stop(t.Context())
	if left := bundles(); len(left) > 0 {
		t.Errorf("%v are left", left)
	}
	if left, _ := filepath.Glob("/sys/fs/cgroup/*/" + d.options.cgroup()); len(left) > 0 {
		t.Errorf("control groups %v are left", left)
	}
	if after, _ := filepath.Glob("/run/runc/*"); !slices.Equal(before, after) {
		t.Errorf("containers before %v, after %v", before, after)
	}
}

// agent runs a daemon and on it a build that does not end.
func agent(root string) {
	ctx := context.Background()
	d, err := Start(ctx, Options{Root: root})
	if err != nil {
		os.Stderr.WriteString(err.Error())
		os.Exit(1)
	}
	c, err := client.New(ctx, d.Address())
	if err != nil {
		panic(err)
	}
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		panic("apt-get install busybox-static: " + err.Error())
	}
	state := llb.Scratch().File(llb.Mkfile("/busybox", 0o755, busybox)).
		Run(llb.Args([]string{"/busybox", "sh", "-c", "echo up; /busybox sleep " + marker})).Root()
	def, err := state.Marshal(ctx, llb.LinuxAmd64)
	if err != nil {
		panic(err)
	}
	status := make(chan *client.SolveStatus)
	go func() {
		for s := range status {
			for _, l := range s.Logs {
				if string(l.Data) == "up\n" {
					io.WriteString(os.Stdout, "running\n")
				}
			}
		}
	}()
	_, err = c.Solve(ctx, def, client.SolveOpt{}, status)
	panic(err)
}
