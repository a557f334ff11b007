package postgres

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/tern/v2/migrate"
	"github.com/opencontainers/go-digest"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
)

// TestMigrations brings records of every earlier version of the schema up to
// date, and has all of them read. What version N came to write stands in
// testdata/written/N.sql: whoever adds version N+1 writes it.
func TestMigrations(t *testing.T) {
	versions, err := filepath.Glob("migrations/*.sql")
	if err != nil || len(versions) < 2 {
		t.Fatalf("%d versions: %v", len(versions), err)
	}
	for from := 1; from < len(versions); from++ {
		t.Run(fmt.Sprint(from), func(t *testing.T) {
			schema := newSchema()
			s := mustOpen(t, shared.URL(), schema)
			if _, err := s.pool.Exec(t.Context(), "drop schema "+schema+" cascade"); err != nil {
				t.Fatal(err)
			}
			for version := 1; version <= from; version++ {
				err := s.migrateTo(t.Context(), func(m *migrate.Migrator, ctx context.Context) error {
					return m.MigrateTo(ctx, int32(version))
				})
				if err != nil {
					t.Fatal(err)
				}
				written, err := os.ReadFile(fmt.Sprintf("testdata/written/%03d.sql", version))
				if err != nil {
					t.Fatal(err)
				}
				conn, err := s.pool.Acquire(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				_, err = conn.Conn().PgConn().Exec(t.Context(), string(written)).ReadAll()
				conn.Release()
				if err != nil {
					t.Fatalf("write as version %d: %v", version, err)
				}
			}
			checkWritten(t, mustOpen(t, shared.URL(), schema))
		})
	}
}

// checkWritten reads what testdata/written/001.sql and later ones have, and
// works on with it.
func checkWritten(t *testing.T, s *Store) {
	d := func(c string) digest.Digest { return digest.Digest("sha256:" + strings.Repeat(c, 64)) }
	repository := must[agent.RepositoryID](t)(s.Repository(t.Context(), labURL))
	if refs := must[map[layers.Ref]layers.Commit](t)(s.Refs(t.Context(), repository)); len(refs) != 3 {
		t.Errorf("the refs are %v", refs)
	}
	b := layers.Commit(strings.Repeat("b", 40))
	snapshot := must[*agent.Snapshot](t)(s.Snapshot(t.Context(), repository, b))
	if snapshot == nil || !snapshot.Complete || snapshot.Images["bert"].Digest != d("4") || len(snapshot.Images["bert"].Blobs) != 1 {
		t.Errorf("the snapshot is %+v", snapshot)
	}
	recorded := must[*agent.Recorded](t)(s.Recorded(t.Context(), repository, "refs/heads/main", 9))
	if recorded == nil || recorded.Commit != b || recorded.Layers["base"].Outside["docker.io/library/debian:12"] != d("0") {
		t.Errorf("recorded is %+v", recorded)
	}
	trace := must[*Trace](t)(s.Trace(t.Context(), "bert:main"))
	if len(trace.Images) != 1 || len(trace.Images[0].Chain) != 2 || trace.Images[0].BuiltBy == nil {
		t.Errorf("bert:main is %+v", trace)
	}
	if runs := must[[]agent.RunSummary](t)(s.Runs(t.Context(), 10)); len(runs) != 4 || runs[2].Built != 2 {
		t.Errorf("the runs are %+v", runs)
	}
	if tags := must[map[layers.Ref][]agent.Tag](t)(s.Tags(t.Context(), repository)); len(tags["refs/heads/main"]) != 2 {
		t.Errorf("the tags are %v", tags)
	}
	for range 2 { // the one that is queued, and the one whose agent was killed
		run := mustClaim(t, s, "new")
		if err := s.Finish(t.Context(), "new", agent.Verdict{Run: run.ID, State: agent.Failed, Reason: "bad"}); err != nil {
			t.Error(err)
		}
	}
}
