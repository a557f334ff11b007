package gpu

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"gopkg.in/yaml.v3"

	"github.com/lab-layers/lab-layers/pipeline"
	"github.com/lab-layers/lab-layers/pipeline/cuda"
	"github.com/lab-layers/lab-layers/pipeline/inventory"
)

var update = flag.Bool("update", false, "write the verdicts anew")

// verdictCase is an image by its variables and files, and nodes by what the
// cluster has of them.
type verdictCase struct {
	Env   []string
	Files []string
	Wish  struct {
		GPUs       int64
		Memory     int64
		Capability string
	}
	Nodes map[string]struct{ Labels, Annotations map[string]string }
}

// Each case's image is surveyed as a real one is.
func TestVerdicts(t *testing.T) {
	files, err := filepath.Glob("testdata/verdicts/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			v := judge(t, file)
			if strings.ContainsAny(v.Reason, "\n\r") || len(v.Reason) > 1500 {
				t.Errorf("the reason is no line: %s", v.Reason)
			}
			got, err := json.MarshalIndent(v, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".json"
			if *update {
				if err := os.WriteFile(golden, append(unescaped(got), '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if string(unescaped(got))+"\n" != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// What must come out of images that are widely used, whatever else changes.
func TestKnownAnswers(t *testing.T) {
	for name, want := range map[string]Level{
		"docker-stacks-pytorch-mixed": Refuse, "docker-stacks-pytorch-new": OK, "cuda-13.0-workstation": Refuse,
		"cuda-13.0-data-centre": Refuse, "nothing-shown": Unknown, "nodes-that-tell-nothing": Unknown, "no-nodes": Unknown,
	} {
		if got := judge(t, "testdata/verdicts/"+name+".yaml"); got.Level != want {
			t.Errorf("%s: %s, want %s: %s", name, got.Level, want, got.Reason)
		}
	}
}

func judge(t *testing.T, file string) Verdict {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var c verdictCase
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&c); err != nil {
		t.Fatal(err)
	}
	wish := Wish{GPUs: c.Wish.GPUs, MemoryMiB: c.Wish.Memory}
	if c.Wish.Capability != "" {
		if wish.Capability, err = cuda.ParseCapability(c.Wish.Capability); err != nil {
			t.Fatal(err)
		}
	}
	var nodes []Node
	for _, name := range slices.Sorted(maps.Keys(c.Nodes)) {
		nodes = append(nodes, ReadNode(name, c.Nodes[name].Labels, c.Nodes[name].Annotations))
	}
	return Judge(NeedOf(surveyed(t, c.Env, c.Files)), wish, nodes)
}

func surveyed(t *testing.T, env, files []string) pipeline.Image {
	t.Helper()
	var blob bytes.Buffer
	archive := tar.NewWriter(&blob)
	for _, name := range files {
		if err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	config, err := json.Marshal(ocispecs.Image{Config: ocispecs.ImageConfig{Env: env}})
	if err != nil {
		t.Fatal(err)
	}
	image := pipeline.Image{Config: config, Blobs: []pipeline.Blob{{Digest: digest.FromBytes(blob.Bytes()), Own: true}}}
	image.Metadata, err = inventory.Survey(t.Context(), source(blob.Bytes()), image, nil)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

type source []byte

func (s source) Open(context.Context, string, digest.Digest) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(s)), nil
}

func unescaped(text []byte) []byte {
	for escape, char := range map[string]string{`\u003e`: ">", `\u003c`: "<", `\u0026`: "&"} {
		text = bytes.ReplaceAll(text, []byte(escape), []byte(char))
	}
	return text
}
