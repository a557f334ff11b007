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
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	return s.migrateBy(ctx, files, (*migrate.Migrator).Migrate)
}

// migrateBy has the migrator go as far as it is told by the migrations that a
// program knows.
func (s *Store) migrateBy(ctx context.Context, files fs.FS, migration func(*migrate.Migrator, context.Context) error) error {
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
	if err := migrator.LoadMigrations(files); err != nil {
		return err
	}
	version, err := migrator.GetCurrentVersion(ctx)
	if err != nil {
		return err
	}
	if known := int32(len(migrator.Migrations)); version > known {
		return s.checkSupport(ctx, conn, version, known)
	}
	return migration(migrator, ctx)
}

// checkSupport reports whether a program that knows the schema up to a version
// may work with it at a newer one, as it is: what came since only adds.
func (s *Store) checkSupport(ctx context.Context, conn *pgx.Conn, version, known int32) error {
	var oldest int32
	if err := conn.QueryRow(ctx, "select oldest from schema_support").Scan(&oldest); err != nil {
		return err
	}
	if known < oldest {
		return fmt.Errorf("schema %s is at version %d, for programs that know it up to %d at least, and this one knows it up to %d: a newer lab-layers works on this database, use that one", s.schema, version, oldest, known)
	}
	return nil
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
