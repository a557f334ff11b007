package layers

import (
	"context"
	"testing"
)

// TestKeysHold pins keys of Dockerfiles with many constructs. If it fails after
// an upgrade of BuildKit, every image of every installation would be built
// again: say so in the release, or find out how to avoid it.
func TestKeysHold(t *testing.T) {
	o := newMemory()
	file := func(text string) Entry { return Entry{Mode: ModeFile, ID: o.blob(text)} }
	tree := o.tree(map[string]Entry{
		"base/Dockerfile":     file("FROM scratch\nCOPY --chmod=755 sh /bin/sh\nENV PATH=/bin\nONBUILD COPY on /on\n"),
		"base/sh":             file("shell"),
		"child/Dockerfile":    file("ARG V=1\nFROM debian:12 AS tools\nRUN make $V\nFROM base\nARG V\nWORKDIR /work\nCOPY --link --from=tools /x /x\nCOPY *.py ./\nRUN --mount=type=bind,source=src,target=/src --mount=type=secret,id=token --mount=type=cache,target=/c run $V\nCOPY <<EOT /doc\n$V\nEOT\nUSER 1000\nLABEL a=b\nHEALTHCHECK CMD true\nCMD [\"run\"]\n"),
		"child/on":            file("on"),
		"child/a.py":          file("a"),
		"child/src/x":         file("x"),
		"child/.dockerignore": file("*.md\n!keep.md\n"),
	})
	cfg := &Config{Platform: "linux/amd64", Layers: []Layer{
		{Name: "base", Kind: Base, Context: "base", Dockerfile: "base/Dockerfile"},
		{Name: "child", Kind: Experiment, Parent: "base", Context: "child", Dockerfile: "child/Dockerfile", Args: map[string]string{"V": "2"}},
	}}
	plan, err := NewPlanner(nil, Settings{Compression: "zstd"}).Plan(context.Background(), tree, cfg)
	if err != nil {
		t.Fatal(err)
	}
	want := []Key{
		"sha256:629bc035832ba314e25625edfde3ca9ddb7dab9b6d9a4c91f43ee59282e977ce",
		"sha256:6cf0662e608beb5ae591d0843fe3e23a6991e1b4beb811f68016b5caa0c3554b",
	}
	for i, layer := range plan.Layers {
		if layer.Fault != "" {
			t.Fatalf("%s: %s", layer.Name, layer.Fault)
		}
		if layer.Key != want[i] {
			t.Errorf("%s: key %s, want %s", layer.Name, layer.Key, want[i])
		}
	}
}
