package agent

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/lab-layers/lab-layers/layers"
)

type refs = map[layers.Ref]layers.Commit

func TestMovesBetween(t *testing.T) {
	for _, c := range []struct {
		name      string
		seen, now refs
		want      []string
	}{
		{"nothing", refs{"refs/heads/main": "a"}, refs{"refs/heads/main": "a"}, nil},
		{"a move", refs{"refs/heads/main": "a"}, refs{"refs/heads/main": "b"}, []string{"refs/heads/main a b"}},
		{"a new branch", refs{"refs/heads/main": "a"}, refs{"refs/heads/main": "a", "refs/heads/x": "a"}, []string{"refs/heads/x  a"}},
		{"a deleted branch", refs{"refs/heads/main": "a", "refs/heads/x": "b"}, refs{"refs/heads/main": "a"}, []string{"refs/heads/x b "}},
		{"a new tag", refs{"refs/heads/main": "a"}, refs{"refs/heads/main": "a", "refs/tags/v1": "a"}, []string{"refs/tags/v1  a"}},
		{"main goes first, the others by name",
			refs{"refs/heads/z": "a"}, refs{"refs/heads/z": "b", "refs/heads/main": "b", "refs/heads/a": "b", "refs/tags/v1": "b"},
			[]string{"refs/heads/main  b", "refs/heads/a  b", "refs/heads/z a b", "refs/tags/v1  b"}},
		{"old tags of a repository seen for the first time",
			nil, refs{"refs/heads/main": "b", "refs/tags/v1": "a"},
			[]string{"refs/heads/main  b", "refs/tags/v1  a quiet"}},
		{"few branches of a repository seen for the first time",
			nil, refs{"refs/heads/main": "b", "refs/heads/x": "a", "refs/heads/master": "a"},
			[]string{"refs/heads/main  b", "refs/heads/master  a", "refs/heads/x  a"}},
		{"many branches of a repository seen for the first time",
			nil, refs{"refs/heads/master": "b", "refs/heads/x": "a", "refs/heads/y": "b", "refs/heads/z": "a"},
			[]string{"refs/heads/master  b", "refs/heads/x  a quiet", "refs/heads/y  b quiet", "refs/heads/z  a quiet"}},
		{"many new branches later",
			refs{"refs/heads/main": "b"}, refs{"refs/heads/main": "b", "refs/heads/x": "a", "refs/heads/y": "b", "refs/heads/z": "a"},
			[]string{"refs/heads/x  a", "refs/heads/y  b", "refs/heads/z  a"}},
		{"all gone", refs{"refs/heads/main": "a", "refs/heads/x": "b"}, nil, []string{"refs/heads/main a ", "refs/heads/x b "}},
	} {
		var got []string
		for _, m := range movesBetween(7, "url", c.seen, c.now, 2) {
			if m.Repository != 7 || m.URL != "url" {
				t.Errorf("%s: the move is of %d %s", c.name, m.Repository, m.URL)
			}
			text := fmt.Sprintf("%s %s %s", m.Ref, m.Old, m.New)
			if m.Quiet {
				text += " quiet"
			}
			got = append(got, text)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// refsOnly is all of a store that FindTrunk needs.
type refsOnly struct {
	Store
	refs refs
}

func (s refsOnly) Refs(context.Context, RepositoryID, ...layers.Ref) (refs, error) {
	return s.refs, nil
}

func TestFindTrunk(t *testing.T) {
	for _, c := range []struct {
		name string
		refs refs
		want Trunk
	}{
		{"main", refs{"refs/heads/main": "m", "refs/heads/x": "a"}, Trunk{"refs/heads/main", "m"}},
		{"main beside a master", refs{"refs/heads/main": "m", "refs/heads/master": "n"}, Trunk{"refs/heads/main", "m"}},
		{"master where there is no main", refs{"refs/heads/master": "n"}, Trunk{"refs/heads/master", "n"}},
		{"none", refs{"refs/heads/x": "a", "refs/tags/main": "b"}, Trunk{}},
		{"an empty repository", nil, Trunk{}},
	} {
		if got, err := FindTrunk(t.Context(), refsOnly{refs: c.refs}, 1); got != c.want || err != nil {
			t.Errorf("%s: %v, %v, want %v", c.name, got, err, c.want)
		}
	}
}

func TestBackoff(t *testing.T) {
	for _, c := range []struct {
		interval time.Duration
		failures int
		want     time.Duration
	}{
		{2 * time.Second, 0, 2 * time.Second},
		{2 * time.Second, -1, 2 * time.Second},
		{2 * time.Second, 3, 16 * time.Second},
		{2 * time.Second, 10, time.Minute},
		{30 * time.Second, 1_000_000, time.Minute},
		{time.Hour, 5, time.Hour}, // whoever wants to wait longer does
	} {
		if got := backoff(c.interval, c.failures); got != c.want {
			t.Errorf("%v after %d failures: %v, want %v", c.interval, c.failures, got, c.want)
		}
	}
}
