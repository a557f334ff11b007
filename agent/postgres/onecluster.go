package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/lab-layers/lab-layers/deploy"
)

// ServeCluster records that these are the records of a cluster, given the uid of its
// kube-system namespace. The error is a [deploy.OtherCluster] if they are another's,
// and tell of rollouts, environments or tasks there.
func (s *Store) ServeCluster(ctx context.Context, uid string) error {
	err := s.transact(ctx, repeatable, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "insert into cluster (uid) values ($1) on conflict do nothing", uid); err != nil {
			return err
		}
		var other deploy.OtherCluster
		var used bool
		if err := tx.QueryRow(ctx, `select uid, since, exists (select from rollouts) or exists (select from environments where gone is null)
				or exists (select from tasks where ended is null) from cluster for update`).Scan(&other.Recorded, &other.Since, &used); err != nil {
			return err
		}
		switch {
		case other.Recorded == uid:
			return nil
		case used:
			other.This = uid
			return other
		}
		_, err := tx.Exec(ctx, "update cluster set uid = $1, since = now()", uid)
		return err
	})
	if err != nil {
		return fmt.Errorf("make sure that the records are this cluster's: %w", err)
	}
	return nil
}

// MoveCluster makes these the records of another cluster. What is known of nodes goes,
// as they may have the same names there; environments, pins and tasks stay until who
// serves the cluster finds them gone. It returns the uid of the cluster of before,
// empty if none was known. The error is a [Refusal] while somebody deploys.
func (s *Store) MoveCluster(ctx context.Context, uid string) (before string, err error) {
	err = s.transact(ctx, repeatable, func(tx pgx.Tx) error {
		var idle bool
		if err := tx.QueryRow(ctx, "select pg_try_advisory_xact_lock(hashtextextended($1, 0))", s.deployLock()).Scan(&idle); err != nil {
			return err
		}
		if !idle {
			return Refusal{"an agent or operator deploys on this database: end all that have a cluster, and try again"}
		}
		if err := tx.QueryRow(ctx, "select coalesce((select uid from cluster), '')").Scan(&before); err != nil {
			return err
		}
		if before == uid {
			return nil
		}
		if _, err := tx.Exec(ctx, "delete from node_images"); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "insert into cluster (uid) values ($1) on conflict (single) do update set uid = excluded.uid, since = now()", uid)
		return err
	})
	if err != nil {
		return before, fmt.Errorf("move the records to another cluster: %w", err)
	}
	return before, nil
}
