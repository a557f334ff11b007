package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// leadCheck is how often it is made sure that the lock is still ours.
const leadCheck = 2 * time.Second

// Lead waits until no other process deploys, and does work. The lock is the
// connection's: the server frees it when this process ends, however it ends. The
// work's context ends once the connection is found lost.
func (s *Store) Lead(ctx context.Context, work func(context.Context) error) error {
	conn, err := s.leadership(ctx)
	if err != nil {
		return fmt.Errorf("wait to deploy: %w", err)
	}
	defer hangUp(conn)
	leading, lose := context.WithCancelCause(ctx)
	defer lose(nil)
	checked := make(chan struct{})
	go func() {
		defer close(checked)
		ticker := time.NewTicker(leadCheck)
		defer ticker.Stop()
		for {
			select {
			case <-leading.Done():
				return
			case <-ticker.C:
			}
			asked, cancel := context.WithTimeout(leading, leadCheck)
			err := conn.Ping(asked)
			cancel()
			if err != nil {
				lose(errors.New("the connection that keeps other agents from deploying was lost"))
				return
			}
		}
	}()
	err = work(leading)
	lose(nil)
	<-checked
	// The server takes a while to see that a connection ends. Who comes next need not
	// wait for that.
	freed, cancel := context.WithTimeout(context.WithoutCancel(ctx), leadCheck)
	defer cancel()
	_, _ = conn.Exec(freed, "select pg_advisory_unlock_all()") // else by the connection's end
	return err
}

// Led reports whether somebody deploys. The lock is only tried, shared, so that who
// asks the same at once is not taken for one.
func (s *Store) Led(ctx context.Context) (bool, error) {
	idle, err := read(ctx, s, pgx.RowTo[bool], "select pg_try_advisory_xact_lock_shared(hashtextextended($1, 0))", s.deployLock())
	if err != nil {
		return false, fmt.Errorf("whether somebody deploys: %w", err)
	}
	return !idle[0], nil
}

// deployLock names what the one that deploys holds.
func (s *Store) deployLock() string { return "lab-layers deploy " + s.schema }

// leadership waits for the lock on a connection out of the pool's reach.
func (s *Store) leadership(ctx context.Context) (*pgx.Conn, error) {
	pooled, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	conn := pooled.Hijack()
	if _, err := conn.Exec(ctx, "select pg_advisory_lock(hashtextextended($1, 0))", s.deployLock()); err != nil {
		hangUp(conn)
		return nil, err
	}
	return conn, nil
}
