// Package postgres keeps the records in PostgreSQL: [agent.Store], with which
// the agent works, [pipeline.Ledger], which decides what image a key has, and
// the questions that people ask of them.
//
// Input are moves, images and verdicts; output are runs to work on, histories
// and traces. All SQL is here. The package decides nothing about builds, and
// talks to neither repositories nor registries.
package postgres

import (
	"context"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/agent/cleanup"
	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/pipeline"
)

// Options of a store.
type Options struct {
	// Schema that holds the tables; empty is lab_layers. It is made if missing.
	Schema string
	// MaxConns is how many connections are opened at most; 0 is 10.
	MaxConns int32
	// PerRepository is how many runs of one repository are at work at the most;
	// 0 is no limit.
	PerRepository int
}

// Store is the records. It is safe for use by several goroutines, and by
// several agents at once on one database.
//
// A database that goes away and comes back is waited for, some seconds long,
// where doing something again cannot do it twice. [IsTransient] tells of other
// errors whether trying again may help.
type Store struct {
	pool          *pgxpool.Pool
	schema        string
	perRepository int

	mu sync.Mutex
	// settled is by target, so that what it was told is not gone through each time.
	settled map[string]settled
}

var (
	_ agent.Store    = (*Store)(nil)
	_ agent.Records  = (*Store)(nil)
	_ agent.Tellings = (*Store)(nil)

	_ agent.RolloutTellings = (*Store)(nil)
	_ cleanup.Records       = (*Store)(nil)
	_ deploy.Store          = (*Store)(nil)
	_ pipeline.Ledger       = (*Store)(nil)
)

// Open connects to a database and brings its schema up to date. Several may do
// so at once. A schema that a newer program has changed is left as it is, and
// refused only if it lacks what this program needs.
func Open(ctx context.Context, url string, o Options) (*Store, error) {
	s, err := open(ctx, url, o)
	if err != nil {
		return nil, fmt.Errorf("open records: %w", err)
	}
	return s, nil
}

func open(ctx context.Context, url string, o Options) (*Store, error) {
	if o.Schema == "" {
		o.Schema = "lab_layers"
	}
	config, err := o.config(url)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	s := &Store{pool: pool, schema: o.Schema, perRepository: o.PerRepository, settled: map[string]settled{}}
	err = again(ctx, repeatable, func() error { return s.migrate(ctx) })
	if err != nil {
		pool.Close()
		return nil, err
	}
	return s, nil
}

// Close waits for what is under way and closes all connections.
func (s *Store) Close() { s.pool.Close() }

// transact does work in one transaction, again if that is safe. What is
// repeatable has no other effect when it is done twice.
func (s *Store) transact(ctx context.Context, r repetition, work func(pgx.Tx) error) error {
	return again(ctx, r, func() error {
		tx, err := s.pool.Begin(ctx)
		if err != nil {
			return rolledBack{err}
		}
		if err := work(tx); err != nil {
			_ = tx.Rollback(ctx) // the server does so by itself if it is not told
			return rolledBack{err}
		}
		return tx.Commit(ctx)
	})
}

// write does what has no other effect when it is done twice.
func (s *Store) write(ctx context.Context, sql string, args ...any) error {
	return again(ctx, repeatable, func() error {
		_, err := s.pool.Exec(ctx, sql, args...)
		return err
	})
}

// read asks one question and collects the answer's rows.
func read[T any](ctx context.Context, s *Store, row pgx.RowToFunc[T], sql string, args ...any) (all []T, err error) {
	err = again(ctx, repeatable, func() error {
		rows, err := s.pool.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, row)
		return err
	})
	return all, err
}
