package layers

import (
	"context"
	"fmt"
	"testing"
)

// manyLayers is a repository of 1,000 layers over 100,000 files: ten bases
// under a hundred frameworks under the experiments.
func manyLayers(o *memory) (map[string]Entry, *Config) {
	files := map[string]Entry{}
	cfg := &Config{Platform: "linux/amd64"}
	data := o.blob("data")
	for i := range 1000 {
		dir := fmt.Sprintf("layers/l%04d", i)
		layer := Layer{Name: Name(fmt.Sprintf("l%04d", i)), Kind: Experiment, Context: dir, Dockerfile: dir + "/Dockerfile"}
		from := "debian:12"
		if i >= 10 {
			layer.Parent = cfg.Layers[i/10].Name
			from = string(layer.Parent)
		}
		cfg.Layers = append(cfg.Layers, layer)
		text := fmt.Sprintf("FROM %s\nCOPY src /src\nRUN build %d\nCOPY *.txt /\nCMD [\"run\"]\n", from, i)
		files[dir+"/Dockerfile"] = Entry{Mode: ModeFile, ID: o.blob(text)}
		for f := range 99 {
			files[fmt.Sprintf("%s/src/d%d/f%02d.py", dir, f%5, f)] = Entry{Mode: ModeFile, ID: data}
		}
	}
	return files, cfg
}

// BenchmarkPlan plans 1,000 layers over 100,000 files: from nothing, again,
// and after a change to one file.
func BenchmarkPlan(b *testing.B) {
	o := newMemory()
	files, cfg := manyLayers(o)
	tree := o.tree(files)
	b.Run("cold", func(b *testing.B) {
		for b.Loop() {
			if _, err := NewPlanner(nil, Settings{}).Plan(context.Background(), tree, cfg); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("one-file", func(b *testing.B) {
		p := NewPlanner(nil, Settings{})
		if _, err := p.Plan(context.Background(), tree, cfg); err != nil {
			b.Fatal(err)
		}
		b.ResetTimer()
		for i := range b.N {
			b.StopTimer()
			files["layers/l0999/src/d0/f00.py"] = Entry{Mode: ModeFile, ID: o.blob(fmt.Sprint(i))}
			next := o.tree(files)
			b.StartTimer()
			if _, err := p.Plan(context.Background(), next, cfg); err != nil {
				b.Fatal(err)
			}
		}
	})
}
