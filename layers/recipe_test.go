package layers

import (
	"context"
	"testing"
)

// TestOutsideBase finds the image that the target's chain of stages ends in,
// and not one that a COPY or another stage takes from.
func TestOutsideBase(t *testing.T) {
	outside := func(_ context.Context, ref, _ string) (OutsideImage, bool, error) {
		return OutsideImage{Digest: placeholder, Config: unknownConfig("linux/amd64")}, true, nil
	}
	for text, want := range map[string]string{
		"FROM scratch\nCOPY --from=alpine /x /\n":                                   "",
		"ARG V=12\nFROM debian:$V AS a\nRUN x\nFROM a\nCOPY --from=alpine:3 /x /\n": "docker.io/library/debian:12",
		"FROM quay.io/x/y@" + string(placeholder) + "\nRUN x\n":                     "quay.io/x/y@" + string(placeholder),
	} {
		o := newMemory()
		tree := o.tree(map[string]Entry{"a/Dockerfile": {Mode: ModeFile, ID: o.blob(text)}})
		cfg := &Config{Platform: "linux/amd64", Layers: []Layer{{Name: "a", Kind: Base, Context: "a", Dockerfile: "a/Dockerfile"}}}
		plan, err := NewPlanner(outside, Settings{}).Plan(context.Background(), tree, cfg)
		if err != nil || plan.Layers[0].Fault != "" {
			t.Fatalf("%v %s", err, plan.Layers[0].Fault)
		}
		ref, d := plan.Layers[0].Recipe.OutsideBase()
		if ref != want || (d == "") != (want == "") {
			t.Errorf("%q: %q %q, want %q", text, ref, d, want)
		}
	}
}

// TestCacheNamespace holds that the cache mounts of two namespaces are apart,
// though one image serves both.
func TestCacheNamespace(t *testing.T) {
	o := newMemory()
	layer := oneLayer(t, map[string]Entry{"a/Dockerfile": {Mode: ModeFile, ID: o.blob("FROM scratch\nRUN --mount=type=cache,target=/c x\n")}}, o)
	definitions := map[string]bool{}
	for _, namespace := range []string{"course-a", "course-b", "course-a"} {
		bound, err := layer.Recipe.Bind(context.Background(), "", nil, namespace)
		if err != nil {
			t.Fatal(err)
		}
		head, err := bound.Definition.Head()
		if err != nil {
			t.Fatal(err)
		}
		definitions[head.String()] = true
	}
	if len(definitions) != 2 {
		t.Errorf("%d definitions for two namespaces", len(definitions))
	}
}
