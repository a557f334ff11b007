package postgres

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/jackc/tern/v2/migrate"
	"github.com/opencontainers/go-digest"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/deploy"
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
				migrate := func(m *migrate.Migrator, ctx context.Context) error { return m.MigrateTo(ctx, int32(version)) }
				if err := s.migrateBy(t.Context(), os.DirFS("migrations"), migrate); err != nil {
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

// TestNewerSchema starts a program on records that a newer one has moved on, as
// when a replica is restarted in the midst of an upgrade.
func TestNewerSchema(t *testing.T) {
	s := newStore(t)
	next := moveOn(t, s, "alter table runs add column colour text; create table colours (name text)")
	older := mustOpen(t, shared.URL(), s.schema)
	push(t, older, "refs/heads/main", "", "a")
	run := mustClaim(t, older, "older")
	if err := older.Finish(t.Context(), run, verdict(run, lab(t, older, nil), "bert")); err != nil {
		t.Error(err)
	}
	if got := must[*agent.RunSummary](t)(older.Run(t.Context(), run.ID)); got.State != agent.Succeeded || got.Built != 1 {
		t.Errorf("the run is %+v", got)
	}
	if n := count(t, s, "select version from schema_version"); n != next {
		t.Errorf("the older program left version %d", n)
	}
}

func TestTooNewSchema(t *testing.T) {
	s := newStore(t)
	known := count(t, s, "select version from schema_version")
	next := moveOn(t, s, fmt.Sprintf("update schema_support set oldest = %d", known+1))
	_, err := Open(t.Context(), shared.URL(), Options{Schema: s.schema})
	want := fmt.Sprintf("is at version %d, for programs that know it up to %d at least, and this one knows it up to %d: a newer lab-layers", next, next, known)
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v\nis to have: %s", err, want)
	}
}

// moveOn does to the records what a program with one more migration does at its
// start, and returns the version.
func moveOn(t *testing.T, s *Store, sql string) int {
	t.Helper()
	files := fstest.MapFS{}
	for _, file := range must[[]string](t)(filepath.Glob("migrations/*.sql")) {
		files[filepath.Base(file)] = &fstest.MapFile{Data: must[[]byte](t)(os.ReadFile(file))}
	}
	next := len(files) + 1
	files[fmt.Sprintf("%03d_next.sql", next)] = &fstest.MapFile{Data: []byte(sql)}
	if err := s.migrateBy(t.Context(), files, (*migrate.Migrator).Migrate); err != nil {
		t.Fatal(err)
	}
	return next
}

var takesAway = regexp.MustCompile(`(?i)\b(drop\s+(table|column|view|domain|type)|rename|alter\s+column\s+\S+\s+(type|set\s+not\s+null))\b`)

// TestSupport has whoever takes something away say which programs may still work
// without it.
func TestSupport(t *testing.T) {
	for _, file := range must[[]string](t)(filepath.Glob("migrations/*.sql")) {
		text := string(must[[]byte](t)(os.ReadFile(file)))
		if filepath.Base(file) > "006" && takesAway.MatchString(text) && !strings.Contains(text, "update schema_support set oldest = ") {
			t.Errorf("%s takes something away: say with \"update schema_support set oldest = N\" from which version on programs do without it", file)
		}
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
	for _, e := range must[[]deploy.Listed](t)(s.Environments(t.Context())) {
		e.Nodes = &deploy.Nodes{Eligible: 1}
		if err := s.Observe(t.Context(), e.Standing); err != nil {
			t.Error(err)
		}
	}
	for range 2 { // the one that is queued, and the one whose agent was killed
		run := mustClaim(t, s, "new")
		if err := s.Finish(t.Context(), run, agent.Verdict{State: agent.Failed, Reason: "bad"}); err != nil {
			t.Error(err)
		}
	}
}
