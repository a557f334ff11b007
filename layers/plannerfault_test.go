package layers

import (
	"context"
	"fmt"
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestFaultsPass holds that a planner forgets a fault when what it came from
// is gone: an image that was not there, or one whose triggers are wrong.
func TestFaultsPass(t *testing.T) {
	o := newMemory()
	tree := o.tree(map[string]Entry{"a/Dockerfile": {Mode: ModeFile, ID: o.blob("FROM debian:12\nRUN true\n")}})
	cfg := &Config{Platform: "linux/amd64", Layers: []Layer{{Name: "a", Kind: Base, Context: "a", Dockerfile: "a/Dockerfile"}}}
	image := func(trigger string) OutsideImage {
		config := fmt.Appendf(nil, `{"os":"linux","architecture":"amd64","config":{"OnBuild":[%q]},"rootfs":{"type":"layers","diff_ids":[%q]}}`, trigger, placeholder)
		return OutsideImage{Digest: digest.FromBytes(config), Config: config}
	}
	var answer OutsideImage
	var failure error
	planner := NewPlanner(func(context.Context, string, string) (OutsideImage, bool, error) {
		return answer, failure == nil, failure
	}, Settings{})
	plan := func() *PlannedLayer {
		t.Helper()
		plan, err := planner.Plan(context.Background(), tree, cfg)
		if err != nil {
			t.Fatal(err)
		}
		return plan.Layers[0]
	}
	failure = fmt.Errorf("debian:12: %w", ErrNoImage)
	if layer := plan(); layer.Fault == "" {
		t.Fatal("an image that is not there is no fault")
	} else if none, named := layer.Outside()["docker.io/library/debian:12"]; !named || none != "" {
		t.Errorf("the layer with an image that is not there names %v", layer.Outside())
	}
	answer, failure = image("NONSENSE"), nil
	for range 2 {
		if layer := plan(); layer.Fault == "" {
			t.Fatal("a trigger that is no instruction is no fault")
		}
	}
	answer = image("RUN echo")
	key := plan().Key
	if key == "" {
		t.Fatalf("a new image is there: fault %q", plan().Fault)
	}
	answer = image("RUN other")
	if layer := plan(); layer.Key == key {
		t.Error("another trigger, and the key is the same")
	}
	answer = image("NONSENSE")
	if layer := plan(); layer.Fault == "" || layer.Key != "" {
		t.Errorf("the wrong trigger came back: key %q", layer.Key)
	}
}

// TestFaultsAreRemembered holds that a Dockerfile that is wrong is not
// converted for each commit anew.
func TestFaultsAreRemembered(t *testing.T) {
	for name, text := range map[string]string{
		"parse":    "FROM debian:12\nNONSENSE\n",
		"convert":  "ARG X\nFROM debian:$X\n",
		"frontend": "# syntax=evil.example/frontend\nFROM scratch\n",
	} {
		t.Run(name, func(t *testing.T) {
			o := newMemory()
			tree := o.tree(map[string]Entry{"a/Dockerfile": {Mode: ModeFile, ID: o.blob(text)}})
			cfg := &Config{Platform: "linux/amd64", Layers: []Layer{{Name: "a", Kind: Base, Context: "a", Dockerfile: "a/Dockerfile"}}}
			planner := NewPlanner(nil, Settings{})
			var faults [2]string
			for i := range faults {
				plan, err := planner.Plan(context.Background(), tree, cfg)
				if err != nil {
					t.Fatal(err)
				}
				faults[i] = plan.Layers[0].Fault
				tree.Objects = noBlobs{o}
			}
			if faults[0] == "" || faults[0] != faults[1] {
				t.Errorf("faults %q", faults)
			}
			if name == "convert" && planner.graphs.Len() != 1 {
				t.Error("the conversion is not remembered")
			}
		})
	}
}

// noBlobs fails who reads a Dockerfile again.
type noBlobs struct{ *memory }

func (noBlobs) Size(id ObjectID) (int64, error) { return 0, fmt.Errorf("%s is read again", id) }
