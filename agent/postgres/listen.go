package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// channel is what [Store.Record] notifies of new moves.
func (s *Store) channel() string { return s.schema + "_moves" }

// Listen returns a channel that has something whenever there may be new runs,
// until ctx ends; then it is closed. It is a hint only: ask [Store.Claim]. Lost
// connections are made anew, which counts as a hint too.
func (s *Store) Listen(ctx context.Context) (<-chan struct{}, error) {
	hints, err := s.listenTo(ctx, s.channel())
	if err != nil {
		return nil, fmt.Errorf("listen for runs: %w", err)
	}
	return hints, nil
}

func (s *Store) listenTo(ctx context.Context, channel string) (<-chan struct{}, error) {
	conn, err := s.listen(ctx, channel)
	if err != nil {
		return nil, err
	}
	hints := make(chan struct{}, 1)
	go func() {
		defer close(hints)
		pause := firstPause
		for ctx.Err() == nil {
			if conn != nil {
				pause = firstPause
				await(ctx, conn, hints)
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
			pause = min(2*pause, longPause)
			if conn, err = s.listen(ctx, channel); err != nil {
				conn = nil
			}
		}
	}()
	return hints, nil
}

// listen takes a connection out of the pool's reach.
func (s *Store) listen(ctx context.Context, channel string) (*pgx.Conn, error) {
	pooled, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	conn := pooled.Hijack()
	if _, err := conn.Exec(ctx, "listen "+channel); err != nil {
		hangUp(conn)
		return nil, err
	}
	return conn, nil
}

// await passes notifications on until the connection or ctx ends.
func await(ctx context.Context, conn *pgx.Conn, hints chan<- struct{}) {
	defer hangUp(conn)
	for {
		select {
		case hints <- struct{}{}:
		default: // one is waiting already
		}
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return
		}
	}
}

// hangUp closes a connection, also one that nobody answers on.
func hangUp(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	conn.Close(ctx)
}
