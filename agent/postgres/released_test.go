package postgres

import (
	"maps"
	"testing"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
)

// TestReleased tells what a branch brings from what it has not kept up with,
// also where it takes something back.
func TestReleased(t *testing.T) {
	s := newStore(t)
	const main, branch layers.Ref = "refs/heads/main", "refs/heads/feature/x"
	gone := build(t, s, branch, "", "z", map[string]string{"gpt": "9"}) // an earlier branch of that name
	must[[]agent.Run](t)(s.Record(t.Context(), []agent.Move{{Repository: gone.Snapshot.Repository, URL: labURL, Ref: branch, Old: commit("z")}}))
	build(t, s, main, "", "a", map[string]string{"gpt": "0", "bert": "1"})
	build(t, s, main, "a", "b", map[string]string{"gpt": "1", "bert": "1"})
	v := build(t, s, branch, "", "c", map[string]string{"gpt": "1", "bert": "2"})
	build(t, s, main, "b", "d", map[string]string{"gpt": "2", "bert": "1"})
	build(t, s, branch, "c", "e", map[string]string{"gpt": "0", "bert": "2"})
	of := func(layer, version string) layers.Key { return image(layer, version, nil).Key }
	keys := []layers.Key{of("gpt", "0"), of("gpt", "1"), of("gpt", "2"), of("gpt", "9"), of("bert", "1"), of("bert", "2")}
	got := must[map[layers.Key]bool](t)(s.Released(t.Context(), v.Snapshot.Repository, main, branch, keys))
	want := map[layers.Key]bool{of("gpt", "1"): true, of("gpt", "2"): true, of("bert", "1"): true}
	if !maps.Equal(got, want) {
		t.Errorf("released are %v, want %v of %v", got, want, keys)
	}
	if got := must[map[layers.Key]bool](t)(s.Released(t.Context(), v.Snapshot.Repository, "refs/heads/exam", branch, keys)); len(got) != 0 {
		t.Errorf("a branch that was never built released %v", got)
	}
}
