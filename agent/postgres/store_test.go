package postgres

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

func TestOpenAtOnce(t *testing.T) {
	schema := newSchema()
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			s, err := Open(t.Context(), shared.URL(), Options{Schema: schema, MaxConns: 2})
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			if _, err := s.Repository(t.Context(), labURL); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

func TestOpenErrors(t *testing.T) {
	for _, c := range []struct{ url, schema, want string }{
		{"postgres://user:hunter2@host:port/db", "", "the database URL is malformed"},
		{"postgres://user:hunter2@/db?host=/nowhere", "", "/nowhere/.s.PGSQL"},
		{shared.URL(), "Bad; drop", "not a lower-case name"},
	} {
		_, err := Open(t.Context(), c.url, Options{Schema: c.schema})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", c.url, err)
		}
	}
}

// TestForeignEncoding has a database that cannot hold every text.
func TestForeignEncoding(t *testing.T) {
	s := newStore(t)
	name := newSchema()
	if _, err := s.pool.Exec(t.Context(), "create database "+name+" encoding 'LATIN1' lc_collate 'C' lc_ctype 'C' template template0"); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), strings.Replace(shared.URL(), "/postgres?", "/"+name+"?", 1), Options{})
	if err == nil || !strings.Contains(err.Error(), "encoding LATIN1") {
		t.Errorf("open says: %v", err)
	}
}

func TestEverythingHasAComment(t *testing.T) {
	s := newStore(t)
	bare, err := read(t.Context(), s, pgx.RowTo[string], `
		select c.relname || coalesce('.' || a.attname, '')
		from pg_class c
		left join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
		where c.relnamespace = $1::regnamespace and c.relkind in ('r', 'v') and c.relname <> 'schema_version'
		and (obj_description(c.oid, 'pg_class') is null or col_description(c.oid, a.attnum) is null)`, s.schema)
	if err != nil {
		t.Fatal(err)
	}
	if len(bare) > 0 {
		t.Errorf("without a comment: %s", bare)
	}
	if n := count(t, s, "select count(*) from pg_tables where schemaname = $1", s.schema); n < 10 {
		t.Errorf("only %d tables were looked at", n)
	}
}

// TestConstraints tries what the schema must refuse whoever writes it.
func TestConstraints(t *testing.T) {
	s := newStore(t)
	build(t, s, "refs/heads/main", "", "a", nil, "bert") // run 1
	push(t, s, "refs/heads/main", "a", "b")              // run 2
	mustClaim(t, s, "one")
	push(t, s, "refs/heads/main", "b", "c") // run 3
	for _, c := range []struct{ constraint, sql string }{
		{"url_has_no_password", "insert into repositories (url) values ('https://user:secret@host/x')"},
		{"commit_id", "update refs set commit = 'main'"},
		{"moved", "insert into moves (repository, ref, old_commit, new_commit) select repository, ref, new_commit, new_commit from moves"},
		{"run 1 is succeeded", "update runs set state = 'building', finished = null, lease_until = now() where id = 1"},
		{"run 1 is succeeded", "update runs set state = 'failed' where id = 1"},
		{"run 3 was not claimed", "update runs set state = 'succeeded', finished = now() where id = 3"},
		{"known_state", "update runs set state = 'lost' where id = 3"},
		{"claimed", "update runs set state = 'building', owner = 'me' where id = 3"},
		{"owned_while_claimed", "update runs set state = 'building', lease_until = now() where id = 3"},
		{"owned", "update runs set owner = 'me' where id = 3"},
		{"runs_at_work", "update runs set state = 'building', owner = 'me', lease_until = now() where id = 3"},
		{"ended", "update runs set finished = now() where id = 3"},
		{"runs_move_key", "insert into runs (repository, ref, move) select repository, ref, move from runs"},
		{"runs_repository_ref_move_fkey", "update runs set ref = 'refs/heads/other'"},
		{"success_needs_no_reason", "update runs set reason = 'luck' where id = 1"},
		{"digest", "update images set digest = 'sha256:ABC'"},
		{"images_that_count", "insert into images (key, repository, digest, config, framework_type, framework_version, framework_evidence, gpu_driver_ver, gpu_driver_evidence, metadata) select key, repository, 'sha256:' || repeat('0', 64), config, '', '', '', '', '', '{}' from images"},
		{"size_counts", "update image_blobs set size = -1"},
		{"image_if_made", "update run_layers set image = null"},
		{"error_if_failed", "update run_layers set state = 'failed', image = null where layer = 'bert'"},
		{"valid_name", "update tags set name = 'a/b'"},
		{"snapshots_repository_commit_key", "insert into snapshots (repository, commit, complete) select repository, commit, true from snapshots"},
		{"image_fkey", "delete from images"},
	} {
		_, err := s.pool.Exec(t.Context(), c.sql)
		if err == nil || !strings.Contains(err.Error(), c.constraint) {
			t.Errorf("%s: %v", c.sql, err)
		}
	}
}

// mustFill records a history of runs by which nothing was built, with n layers
// each.
func mustFill(t testing.TB, s *Store, runs, n int) {
	t.Helper()
	for _, sql := range []string{
		"insert into moves (repository, ref, new_commit) select 1, 'refs/heads/main', lpad(to_hex(i), 40, '0') from generate_series(1, $1) i where $2 > 0",
		"insert into snapshots (repository, commit, complete) select 1, new_commit, true from moves where $1 > 0 and $2 > 0",
		"insert into runs (repository, ref, move, state, finished, snapshot) select 1, ref, m.id, 'succeeded', now(), s.id from moves m join snapshots s on s.commit = m.new_commit where $1 > 0 and $2 > 0",
		`insert into run_layers (run, position, layer, state, image, reasons, changed_paths, notes, seconds, steps, log)
			select r.id, i.id, i.layer, 'reused', i.id, '[]', '[]', '[]', 0, '[]', '' from runs r, images i where i.id <= $2 and $1 > 0`,
		`insert into snapshot_images (snapshot, layer, image, layer_hash, layer_size)
			select s.id, i.layer, i.id, '{}', 0 from snapshots s, images i where i.id <= $2 and $1 > 0`,
	} {
		if _, err := s.pool.Exec(t.Context(), sql, runs, n); err != nil {
			t.Fatal(err)
		}
	}
}

// BenchmarkFinish records snapshots, each with one layer that was built.
func BenchmarkFinish(b *testing.B) {
	for _, c := range []struct{ layers, history int }{{10, 0}, {10, 5000}, {1000, 0}} {
		b.Run(fmt.Sprintf("%d layers after %d runs", c.layers, c.history), func(b *testing.B) {
			s := newStore(b)
			must[agent.RepositoryID](b)(s.Repository(b.Context(), labURL))
			var images []pipeline.Image
			for i := range c.layers {
				images = append(images, must[pipeline.Image](b)(s.Publish(b.Context(), image(fmt.Sprint("layer", i), "", nil))))
			}
			mustFill(b, s, c.history, c.layers)
			before := ""
			for i := 0; b.Loop(); i++ {
				b.StopTimer()
				after := fmt.Sprint(b.N, " ", i)
				push(b, s, "refs/heads/main", before, after)
				before = after
				images[0] = must[pipeline.Image](b)(s.Publish(b.Context(), image("layer0", after, nil)))
				run := mustClaim(b, s, "one")
				v := verdict(run, images, "layer0")
				b.StartTimer()
				if err := s.Finish(b.Context(), run, v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkNothingChanged is all that is recorded of a push that changes no
// image of ten.
func BenchmarkNothingChanged(b *testing.B) {
	s := newStore(b)
	repository := must[agent.RepositoryID](b)(s.Repository(b.Context(), labURL))
	var images []pipeline.Image
	var keys []layers.Key
	for i := range 10 {
		images = append(images, must[pipeline.Image](b)(s.Publish(b.Context(), image(fmt.Sprint("layer", i), "", nil))))
		keys = append(keys, images[i].Key)
	}
	mustFill(b, s, 1000, 10)
	before := ""
	for i := 0; b.Loop(); i++ {
		after := fmt.Sprint(b.N, " ", i)
		push(b, s, "refs/heads/main", before, after)
		before = after
		run := mustClaim(b, s, "one")
		must[*agent.Recorded](b)(s.Recorded(b.Context(), repository, "refs/heads/main", run.ID))
		must[map[layers.Key]pipeline.Image](b)(s.Images(b.Context(), keys))
		if err := s.Finish(b.Context(), run, verdict(run, images)); err != nil {
			b.Fatal(err)
		}
	}
}
