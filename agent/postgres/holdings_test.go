package postgres

import (
	"reflect"
	"testing"
	"time"

	"github.com/lab-layers/lab-layers/deploy"
)

func TestHoldings(t *testing.T) {
	s := newStore(t)
	now := time.Now().Truncate(time.Second)
	on := func(node, image string, ago time.Duration) deploy.Holding {
		return deploy.Holding{Node: node, Digest: sum(image), Seen: now.Add(-ago)}
	}
	saw := func(seen, gone []deploy.Holding) {
		t.Helper()
		if err := s.Saw(t.Context(), seen, gone); err != nil {
			t.Fatal(err)
		}
	}
	saw([]deploy.Holding{on("a", "unet", time.Hour), on("b", "unet", 48*time.Hour), on("c", "unet", 0)}, nil)
	saw([]deploy.Holding{on("a", "unet", 0), on("a", "unet", time.Hour)}, []deploy.Holding{on("c", "unet", 0), on("d", "unet", 0)})
	for range 2 { // what is too old is dropped
		held := must[[]deploy.Holding](t)(s.Holdings(t.Context(), 24*time.Hour))
		if len(held) != 1 || held[0].Node != "a" || held[0].Digest != sum("unet") || !held[0].Seen.Equal(now) {
			t.Errorf("held is %+v", held)
		}
	}
	if n := count(t, s, "select count(*) from node_images"); n != 1 {
		t.Errorf("%d are recorded", n)
	}

	standing := deploy.Standing{Environment: unet, UID: "1", Track: "main", State: deploy.Held, Nodes: &deploy.Nodes{Eligible: 2, Holding: 1, Missing: []string{"b"}, LastSeen: now.UTC()}}
	for _, nodes := range []*deploy.Nodes{standing.Nodes, nil} {
		standing.Nodes = nodes
		if err := s.Observe(t.Context(), standing); err != nil {
			t.Fatal(err)
		}
		if got := must[[]deploy.Standing](t)(s.Standings(t.Context())); len(got) != 1 || !reflect.DeepEqual(got[0].Nodes, nodes) {
			t.Errorf("it stands at %+v", got)
		}
	}
}
