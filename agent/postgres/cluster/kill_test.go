package cluster

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lab-layers/lab-layers/pipeline/child"
)

// agentDir, if set, makes the test binary an agent with a cluster in that
// directory, which is to be killed.
const agentDir = "CLUSTER_TEST_AGENT_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(agentDir); dir != "" {
		agent(dir)
		return
	}
	os.Exit(withTemplate(m.Run))
}

// template is the directory of a cluster to copy.
var template string

func withTemplate(run func() int) int {
	var err error
	if template, err = os.MkdirTemp("", "cluster"); err != nil {
		panic(err)
	}
	defer os.RemoveAll(template)
	c, err := Start(context.Background(), Options{DataDir: template})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	c.Stop(context.Background())
	return run()
}

// agent runs a cluster with a transaction open, until it is told to end.
func agent(dir string) {
	ctx := context.Background()
	c, err := Start(ctx, Options{DataDir: dir})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	conn, err := pgx.Connect(ctx, c.URL())
	if err != nil {
		panic(err)
	}
	for _, sql := range []string{"create table kept as select 42 as a", "begin", "insert into kept values (43)"} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			panic(err)
		}
	}
	fmt.Println("running")
	io.Copy(io.Discard, os.Stdin)
	c.Stop(ctx)
}

// eventually looks again and again for half a minute.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	err := child.Every(ctx, func() error {
		if !ok() {
			return os.ErrNotExist
		}
		return nil
	})
	if err != nil {
		t.Fatalf("not so within half a minute: %s", what)
	}
}

func startAgent(t *testing.T, cmd *exec.Cmd, dir string) *bufio.Reader {
	t.Helper()
	cmd.Env = append(os.Environ(), agentDir+"="+dir)
	cmd.Stderr = os.Stderr
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	return bufio.NewReader(out)
}

// TestKillLeavesNothing kills a process that embeds a cluster in the middle of
// a transaction: PostgreSQL may not outlive it, and the next start recovers.
func TestKillLeavesNothing(t *testing.T) {
	dir := made(t)
	cmd := exec.Command(os.Args[0])
	out := startAgent(t, cmd, dir)
	if line, err := out.ReadString('\n'); err != nil || line != "running\n" {
		t.Fatalf("the agent said %q: %v", line, err)
	}
	data := filepath.Join(dir, "data")
	if len(servers(t, data)) < 3 {
		t.Fatal("the server is not seen: this test would prove nothing")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	eventually(t, "no process of the server is left", func() bool { return len(servers(t, data)) == 0 })
	c := mustStart(t, Options{DataDir: dir})
	if got := mustAsk(t, c.URL(), "select string_agg(a::text, ',') from kept"); got != "42" {
		t.Errorf("kept is %s", got)
	}
}

// TestStartRightAfterKill does not wait for the old server to be gone.
func TestStartRightAfterKill(t *testing.T) {
	dir := made(t)
	cmd := exec.Command(os.Args[0])
	if line, err := startAgent(t, cmd, dir).ReadString('\n'); err != nil || line != "running\n" {
		t.Fatalf("the agent said %q: %v", line, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	c := mustStart(t, Options{DataDir: dir})
	if got := mustAsk(t, c.URL(), "select string_agg(a::text, ',') from kept"); got != "42" {
		t.Errorf("kept is %s", got)
	}
	cmd.Wait()
}

func TestKillInInitdb(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	startAgent(t, cmd, dir)
	eventually(t, "initdb is at work", func() bool {
		_, err := os.Stat(filepath.Join(dir, "data.new", "global", "pg_control"))
		return err == nil
	})
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if _, err := os.Stat(filepath.Join(dir, "data")); !os.IsNotExist(err) {
		t.Fatalf("the cluster was whole already: %v", err)
	}
	c := mustStart(t, Options{DataDir: dir})
	mustExec(t, c.URL(), "create table kept (a int)")
	if left, err := filepath.Glob(filepath.Join(dir, "*.new")); err != nil || left != nil {
		t.Errorf("%v is left: %v", left, err)
	}
}

// TestAsAnotherUser runs the whole agent as a user who is not root.
func TestAsAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("every other test runs as that user")
	}
	who, err := newOwner()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("/tmp", "cluster") // t.TempDir cannot be entered
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := who.give(dir); err != nil {
		t.Fatal(err)
	}
	self, err := os.Open(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	cmd := exec.Command(descriptor(0))
	cmd.Dir = dir
	cmd.ExtraFiles = []*os.File{self}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(who.uid), Gid: uint32(who.gid)}}
	if line, err := startAgent(t, cmd, dir).ReadString('\n'); err != nil || line != "running\n" {
		t.Fatalf("the agent said %q: %v", line, err)
	}
	_, err = Start(t.Context(), Options{DataDir: dir})
	if err == nil || !strings.Contains(err.Error(), ErrInUse.Error()) {
		t.Errorf("start as root beside it says: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	// Root carries on as the user whose cluster it is.
	c := mustStart(t, Options{DataDir: dir})
	if got := mustAsk(t, c.URL(), "select string_agg(a::text, ',') from kept"); got != "42" {
		t.Errorf("kept is %s", got)
	}
}

func TestKeep(t *testing.T) {
	c := mustStart(t, Options{DataDir: made(t)})
	ctx, cancel := context.WithCancel(t.Context())
	lost := make(chan error, 10)
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		Keep(ctx, c, func(err error) { lost <- err })
	}()
	if err := syscall.Kill(c.process.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := <-lost; !strings.Contains(err.Error(), "signal: killed") {
		t.Errorf("lost: %v", err)
	}
	eventually(t, "another server answers", func() bool {
		conn, err := pgx.Connect(t.Context(), c.URL())
		if err == nil {
			conn.Close(t.Context())
		}
		return err == nil
	})
	cancel()
	<-kept
	if left := servers(t, c.place.data); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
}

func BenchmarkStart(b *testing.B) {
	o := Options{DataDir: b.TempDir()}
	mustStart(b, o).Stop(b.Context())
	for b.Loop() {
		c, err := Start(b.Context(), o)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		c.Stop(b.Context())
		b.StartTimer()
	}
}

func BenchmarkCreate(b *testing.B) {
	for b.Loop() {
		c, err := Start(b.Context(), Options{DataDir: b.TempDir()})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		c.Stop(b.Context())
		b.StartTimer()
	}
}
