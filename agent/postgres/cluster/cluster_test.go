package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

func mustStart(t testing.TB, o Options) *Cluster {
	t.Helper()
	c, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Stop(context.Background()) })
	return c
}

// made returns the directory of a cluster that does not run: a copy, as making
// one takes seconds.
func made(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("cp", "-a", template+"/.", dir).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
	return dir
}

func mustExec(t testing.TB, address, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func mustAsk(t testing.TB, address, sql string) (answer string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := conn.QueryRow(t.Context(), sql).Scan(&answer); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return answer
}

// servers finds the processes that work in a directory.
func servers(t testing.TB, data string) (pids []int) {
	t.Helper()
	want, err := os.Stat(data)
	if err != nil {
		t.Fatal(err)
	}
	places, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		t.Fatal(err)
	}
	for _, place := range places {
		at, err := os.Stat(place)
		if err == nil && os.SameFile(at, want) {
			pid, err := strconv.Atoi(strings.Split(place, "/")[2])
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	return pids
}

func TestStartStopStart(t *testing.T) {
	// The directories that t.TempDir makes cannot be entered by another user.
	dir := filepath.Join(t.TempDir(), "deep", "er")
	var log bytes.Buffer
	o := Options{DataDir: dir, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	c := mustStart(t, o)
	data := c.place.data
	mustExec(t, c.URL(), "create table kept (a int); insert into kept values (41)")
	if len(servers(t, data)) == 0 {
		t.Fatal("the server is not seen: this test would prove nothing")
	}
	c.Stop(t.Context())
	if left := servers(t, data); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
	again := mustStart(t, o)
	if again.URL() != c.URL() {
		t.Errorf("the URL became %s", again.URL())
	}
	if got := mustAsk(t, again.URL(), "select (a + 1)::text from kept"); got != "42" {
		t.Errorf("kept is %s", got)
	}
	again.Stop(t.Context())
	if !strings.Contains(log.String(), "ready to accept connections") {
		t.Errorf("the log holds %q", log.String())
	}
}

func TestSettings(t *testing.T) {
	// What the agent's environment says to PostgreSQL's programs is not heard.
	t.Setenv("PGPORT", "1")
	t.Setenv("PGDATA", "/nowhere")
	c := mustStart(t, Options{DataDir: made(t)})
	for name, want := range map[string]string{
		"listen_addresses":   "",
		"fsync":              "on",
		"synchronous_commit": "on",
		"full_page_writes":   "on",
		"data_checksums":     "on",
		"server_encoding":    "UTF8",
		"lc_collate":         "C.UTF-8",
		"shared_buffers":     "32MB",
		"max_connections":    "50",
	} {
		if got := mustAsk(t, c.URL(), "select current_setting('"+name+"')"); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	info, err := os.Stat(c.place.socket)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o700 {
		t.Errorf("the socket's directory has mode %o", mode)
	}
}

func TestOneClusterPerDirectory(t *testing.T) {
	dir := made(t)
	mustStart(t, Options{DataDir: dir})
	_, err := Start(t.Context(), Options{DataDir: dir})
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), dir) {
		t.Errorf("the second start says: %v", err)
	}
}

// TestForeignServer has somebody run PostgreSQL on the directory by hand.
func TestForeignServer(t *testing.T) {
	dir := made(t)
	c := mustStart(t, Options{DataDir: dir})
	c.Stop(t.Context())
	data, err := os.Open(c.place.data)
	if err != nil {
		t.Fatal(err)
	}
	defer data.Close()
	socket, err := c.place.openSocketDir()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	foreign, err := spawn(nil, c.place.owner, []*os.File{data, socket}, filepath.Join(c.bin, "postgres"), settings()...)
	if err != nil {
		t.Fatal(err)
	}
	defer end(context.Background(), foreign, syscall.SIGQUIT)
	eventually(t, "the foreign server has a pid file", func() bool {
		text, err := os.ReadFile(filepath.Join(c.place.data, "postmaster.pid"))
		return err == nil && strings.Contains(string(text), "ready")
	})
	_, err = Start(t.Context(), Options{DataDir: dir})
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), strconv.Itoa(foreign.PID())) {
		t.Errorf("start says: %v", err)
	}
}

// TestStalePID leaves a pid file whose number another process now has.
func TestStalePID(t *testing.T) {
	dir := made(t)
	c := mustStart(t, Options{DataDir: dir})
	c.Stop(t.Context())
	sleep, err := spawn(nil, c.place.owner, nil, "sleep", "1000")
	if err != nil {
		t.Fatal(err)
	}
	defer sleep.Kill()
	stale := fmt.Sprintf("%d\n/proc/self/fd/3\n1\n5432\n", sleep.PID())
	for _, name := range []string{"data/postmaster.pid", "socket/.s.PGSQL.5432.lock"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(stale), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	mustStart(t, Options{DataDir: dir})
}

func TestLongOrOddDirectory(t *testing.T) {
	for _, name := range []string{strings.Repeat("long/", 30), "a,b c%20?&"} {
		root := made(t)
		dir := filepath.Join(root, name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(root, "data"), filepath.Join(dir, "data")); err != nil {
			t.Fatal(err)
		}
		c := mustStart(t, Options{DataDir: dir})
		mustExec(t, c.URL(), "create table kept (a int)")
		c.Stop(t.Context())
		if dir := filepath.Dir(c.place.socket); dir == c.place.root {
			t.Errorf("the socket lies in %s", dir)
		}
		if _, err := os.Stat(c.place.socket); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", c.place.socket, err)
		}
	}
}

func TestStartErrors(t *testing.T) {
	laid := func(t *testing.T, version string) string {
		dir := t.TempDir()
		p := &place{root: dir, data: filepath.Join(dir, "data")}
		if err := os.Mkdir(p.data, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(p.data, "PG_VERSION"), []byte(version), 0o600); err != nil {
			t.Fatal(err)
		}
		who, err := newOwner()
		if err != nil {
			t.Fatal(err)
		}
		if err := who.give(p.data); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	t.Run("another version", func(t *testing.T) {
		_, err := Start(t.Context(), Options{DataDir: laid(t, "9\n")})
		if err == nil || !strings.Contains(err.Error(), "made by PostgreSQL 9, and there is only ") {
			t.Errorf("start says: %v", err)
		}
	})
	t.Run("not a cluster", func(t *testing.T) {
		dir := laid(t, "15\n")
		if err := os.Rename(filepath.Join(dir, "data/PG_VERSION"), filepath.Join(dir, "data/thesis.doc")); err != nil {
			t.Fatal(err)
		}
		_, err := Start(t.Context(), Options{DataDir: dir})
		if err == nil || !strings.Contains(err.Error(), "holds no PostgreSQL cluster") {
			t.Errorf("start says: %v", err)
		}
	})
	t.Run("broken cluster", func(t *testing.T) {
		c := mustStart(t, Options{DataDir: made(t)})
		c.Stop(t.Context())
		if err := os.Remove(filepath.Join(c.place.data, "global/pg_control")); err != nil {
			t.Fatal(err)
		}
		_, err := Start(t.Context(), c.options)
		if err == nil || !strings.Contains(err.Error(), "its last lines:") || !strings.Contains(err.Error(), "pg_control") {
			t.Errorf("start says: %v", err)
		}
	})
	t.Run("no programs", func(t *testing.T) {
		_, err := Start(t.Context(), Options{DataDir: t.TempDir(), BinDir: "/nowhere"})
		if err == nil || !strings.Contains(err.Error(), "apt-get install postgresql") {
			t.Errorf("start says: %v", err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		dir := made(t)
		if _, err := Start(ctx, Options{DataDir: dir}); !errors.Is(err, context.Canceled) {
			t.Errorf("start says: %v", err)
		}
		mustStart(t, Options{DataDir: dir})
	})
	t.Run("root's data", func(t *testing.T) {
		if os.Geteuid() != 0 {
			t.Skip("only root can lay it out")
		}
		dir := laid(t, "15\n")
		if err := os.Chown(filepath.Join(dir, "data"), 0, 0); err != nil {
			t.Fatal(err)
		}
		_, err := Start(t.Context(), Options{DataDir: dir})
		if err == nil || !strings.Contains(err.Error(), "chown -R postgres "+dir) {
			t.Errorf("start says: %v", err)
		}
	})
}

func TestURLNamesTheSocket(t *testing.T) {
	c := &Cluster{place: &place{socket: "/a b/socket"}}
	u, err := url.Parse(c.URL())
	if err != nil {
		t.Fatal(err)
	}
	if got := u.Query().Get("host"); got != "/a b/socket" || u.User.Username() != superuser {
		t.Errorf("the URL is %s", c.URL())
	}
}
