package postgres

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/tern/v2/migrate"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the schema up to date, one program at a time.
func (s *Store) migrate(ctx context.Context) error {
	return s.migrateTo(ctx, (*migrate.Migrator).Migrate)
}

// migrateTo has the migrator go as far as it is told.
func (s *Store) migrateTo(ctx context.Context, migration func(*migrate.Migrator, context.Context) error) error {
	pooled, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	// The lock goes with the connection, which is not used again.
	conn := pooled.Hijack()
	defer hangUp(conn)
	if _, err := conn.Exec(ctx, "select pg_advisory_lock(hashtextextended($1, 0))", "lab-layers "+s.schema); err != nil {
		return err
	}
	if err := s.createSchema(ctx, conn); err != nil {
		return err
	}
	migrator, err := migrate.NewMigrator(ctx, conn, s.schema+".schema_version")
	if err != nil {
		return err
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	if err := migrator.LoadMigrations(files); err != nil {
		return err
	}
	version, err := migrator.GetCurrentVersion(ctx)
	if err != nil {
		return err
	}
	if known := int32(len(migrator.Migrations)); version > known {
		return fmt.Errorf("schema %s is at version %d and this program knows up to %d: a newer lab-layers works on this database, use that one", s.schema, version, known)
	}
	return migration(migrator, ctx)
}

// createSchema needs the right to do so only where there is no schema yet.
func (s *Store) createSchema(ctx context.Context, conn *pgx.Conn) error {
	var encoding string
	var there bool
	err := conn.QueryRow(ctx, "select current_setting('server_encoding'), exists (select from pg_namespace where nspname = $1)", s.schema).Scan(&encoding, &there)
	if err != nil {
		return err
	}
	if encoding != "UTF8" {
		return fmt.Errorf("the database has the encoding %s: create one with UTF8", encoding)
	}
	if there {
		return nil
	}
	_, err = conn.Exec(ctx, "create schema "+s.schema)
	return err
}
