package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/lab-layers/lab-layers/agent/cleanup"
)

// alone names the lock that whoever claims a run has shared for that moment, and
// who removes images has for itself. Both see what the other did before.
func (s *Store) alone() string { return "lab-layers alone " + s.schema }

// Alone does work while no run is at work, and none can be claimed. The error is
// a [cleanup.BusyError] if that cannot be had now. A run whose claim has lapsed
// counts as at work: who has it may only have stood still. Held fails once the
// connection that keeps the others off is lost.
func (s *Store) Alone(ctx context.Context, work func(ctx context.Context, held func(context.Context) error) error) error {
	conn, err := s.lock(ctx, "pg_advisory_lock", "5s")
	var server *pgconn.PgError
	if errors.As(err, &server) && server.Code == "55P03" { // lock not available
		return &cleanup.BusyError{With: "another clean-up or a build is at work"}
	}
	if err != nil {
		return fmt.Errorf("keep runs from being claimed: %w", err)
	}
	defer s.unlock(ctx, conn)
	var run int64
	err = conn.QueryRow(ctx, "select id from runs where state in ('building', 'deploying') order by id limit 1").Scan(&run)
	switch {
	case err == nil:
		return &cleanup.BusyError{With: fmt.Sprintf("run %d is at work", run)}
	case !errors.Is(err, pgx.ErrNoRows):
		return fmt.Errorf("look for runs at work: %w", err)
	}
	return work(ctx, func(ctx context.Context) error {
		if err := conn.Ping(ctx); err != nil {
			return fmt.Errorf("keep runs from being claimed: %w", err)
		}
		return nil
	})
}

// Building keeps [Store.Alone] waiting until it is called: for builds that no run
// stands for.
func (s *Store) Building(ctx context.Context) (end func(), err error) {
	conn, err := s.lock(ctx, "pg_advisory_lock_shared", "0")
	if err != nil {
		return nil, fmt.Errorf("keep clean-up off: %w", err)
	}
	return func() { s.unlock(ctx, conn) }, nil
}

// lock takes the lock on a connection out of the pool's reach, as it goes with
// that.
func (s *Store) lock(ctx context.Context, how, timeout string) (*pgx.Conn, error) {
	pooled, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	conn := pooled.Hijack()
	_, err = conn.Exec(ctx, "select set_config('lock_timeout', $1, false)", timeout)
	if err == nil {
		_, err = conn.Exec(ctx, "select "+how+"(hashtextextended($1, 0))", s.alone())
	}
	if err != nil {
		hangUp(conn)
		return nil, err
	}
	return conn, nil
}

// unlock lets the others at their work, and tells them.
func (s *Store) unlock(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	_, _ = conn.Exec(ctx, "select pg_advisory_unlock_all()")
	_, _ = conn.Exec(ctx, "select pg_notify($1, '')", s.channel())
	hangUp(conn)
}
