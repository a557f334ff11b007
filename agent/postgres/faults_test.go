package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
)

// killAt makes the next insert into a table wait, has work run into it, and
// kills the server process that waits: the whole PostgreSQL starts anew, as it
// does after a crash.
func killAt(t *testing.T, s *Store, table string, work func()) {
	t.Helper()
	ctx := t.Context()
	_, err := s.pool.Exec(ctx, `create function wait() returns trigger language plpgsql as 'begin perform pg_advisory_xact_lock_shared(42); return null; end'`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.pool.Exec(ctx, "create trigger wait before insert on "+table+" for each statement execute function wait()"); err != nil {
		t.Fatal(err)
	}
	gate, err := pgx.Connect(ctx, shared.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer gate.Close(ctx)
	if _, err := gate.Exec(ctx, "select pg_advisory_lock(42)"); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		work()
	}()
	pid := 0
	for pid == 0 {
		err := gate.QueryRow(ctx, "select coalesce(max(pid), 0) from pg_stat_activity where wait_event = 'advisory'").Scan(&pid)
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-done
}

// patiently does again what failed as PostgreSQL was not there yet: on a busy
// machine it comes back after longer than a store waits.
func patiently(work func() error) error {
	err := work()
	for IsTransient(err) {
		err = work()
	}
	return err
}

func TestKillInFinish(t *testing.T) {
	s := newStore(t)
	push(t, s, "refs/heads/main", "", "a")
	run := mustClaim(t, s, "one")
	v := verdict(run, lab(t, s, nil), "bert")
	killAt(t, s, "tags", func() {
		if err := patiently(func() error { return s.Finish(t.Context(), run, v) }); err != nil {
			t.Error(err)
		}
	})
	if run := must[[]agent.RunSummary](t)(s.Runs(t.Context(), 0))[0]; run.State != agent.Succeeded || run.Built != 1 || run.Reused != 3 {
		t.Errorf("the run is %+v", run)
	}
}

func TestKillInRecord(t *testing.T) {
	s := newStore(t)
	repository := must[agent.RepositoryID](t)(s.Repository(t.Context(), labURL))
	moves := []agent.Move{{Repository: repository, URL: labURL, Ref: "refs/heads/main", New: commit("a")}}
	killAt(t, s, "runs", func() {
		// What was not committed is done again.
		var runs []agent.Run
		err := patiently(func() (err error) {
			runs, err = s.Record(t.Context(), moves)
			return err
		})
		if err != nil || len(runs) != 1 {
			t.Errorf("%d runs: %v", len(runs), err)
		}
	})
	if refs := must[map[layers.Ref]layers.Commit](t)(s.Refs(t.Context(), repository)); len(refs) != 1 {
		t.Errorf("the refs are %v", refs)
	}
	if n := count(t, s, "select count(*) from runs"); n != 1 {
		t.Errorf("%d runs are recorded", n)
	}
}

// TestRestart stops PostgreSQL under a store that is at work.
func TestRestart(t *testing.T) {
	s := newStore(t)
	ctx, stop := context.WithCancel(t.Context())
	working, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for n := 0; ctx.Err() == nil; n++ {
			err := patiently(func() error {
				_, err := s.Publish(ctx, image("bert", fmt.Sprint(n), nil))
				return err
			})
			if err != nil && ctx.Err() == nil {
				t.Error(err)
				return
			}
			if n == 3 {
				close(working)
			}
		}
	}()
	<-working
	restart(t)
	must[[]agent.RunSummary](t)(s.Runs(t.Context(), 0))
	stop()
	<-ended
}

func TestIsTransient(t *testing.T) {
	s := newStore(t)
	_, refused := pgx.Connect(t.Context(), "postgres:///x?host=/nowhere")
	_, wrong := s.pool.Exec(t.Context(), "select wrong")
	_, noDatabase := pgx.Connect(t.Context(), "postgres://lab_layers@/none?host="+shared.URL()[len("postgres://lab_layers@/postgres?host="):])
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_, stopped := s.pool.Exec(cancelled, "select 1")
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, false}, {refused, true}, {wrong, false}, {noDatabase, false}, {stopped, false},
		{fmt.Errorf("finish: %w", &pgconn.PgError{Code: "57P01"}), true},
		{&pgconn.PgError{Code: "08006"}, true}, {&pgconn.PgError{Code: "40P01"}, true}, {&pgconn.PgError{Code: "23505"}, false},
		{io.ErrUnexpectedEOF, true}, {agent.ErrLost, false}, {errors.New("x"), false},
	} {
		if got := IsTransient(c.err); got != c.want {
			t.Errorf("%v: %v", c.err, got)
		}
	}
}

func TestAgainGivesUp(t *testing.T) {
	for _, c := range []struct {
		err  error
		r    repetition
		more bool
	}{
		{&pgconn.PgError{Code: "40P01"}, once, true},
		{io.ErrUnexpectedEOF, once, false},
		{io.ErrUnexpectedEOF, repeatable, true},
		{&pgconn.PgError{Code: "23505"}, repeatable, false},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		tries := 0
		err := again(ctx, c.r, func() error {
			if tries++; tries == 3 {
				cancel() // enough is seen
			}
			return c.err
		})
		if err != c.err || (tries > 1) != c.more || tries > 3 {
			t.Errorf("%v: %d tries, %v", c.err, tries, err)
		}
		cancel()
	}
}

// TestSilentHost connects to one that takes connections and says nothing.
func TestSilentHost(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	url := "postgres://lab:topsecret@" + listener.Addr().String() + "/lab"
	for named, want := range map[string]time.Duration{"": 10 * time.Second, "?connect_timeout=3": 3 * time.Second} {
		config, err := Options{Schema: "lab_layers"}.config(url + named)
		if err != nil || config.ConnConfig.ConnectTimeout != want {
			t.Errorf("%q gives %v, %v", named, config.ConnConfig.ConnectTimeout, err)
		}
	}
	_, err = Open(t.Context(), url+"?connect_timeout=1", Options{})
	if !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "topsecret") {
		t.Errorf("%v", err)
	}
}
