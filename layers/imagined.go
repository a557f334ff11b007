package layers

import (
	"context"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// imagined is a conversion on images that set every variable which could
// matter. BuildKit itself tells so whether one does: by which files are read.
type imagined struct {
	src   source
	image []byte
}

// standIn is the value of a variable that an image might set. It passes for a
// path, an owner, a mode and a port.
const standIn = "4711"

// maxImagined variables are tried; with more the whole context counts.
const maxImagined = 1000

// imagine converts a layer once more, as if the images whose configuration is
// not known set all the variables that the Dockerfile mentions. What is read
// in one case but not in the other is open.
func (p *pass) imagine(ctx context.Context, g *graph, layer Layer, target int, st *stages, parent *PlannedLayer) error {
	var below *graph // whose image may carry what was imagined
	if parent != nil && parent.unknown {
		below = parent.inputs.graph
	}
	names := st.variables()
	if len(names) == 0 && (below == nil || below.imagined == nil && !below.open) {
		return nil
	}
	g.open = true
	if len(names) <= maxImagined && (below == nil || below.imagined != nil || !below.open) {
		made, other, err := p.imagineWith(ctx, names, layer, target, st, parent)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err == nil { // or else a stand-in does not pass
			g.open, g.imagined = !sameReads(g, other), made
		}
	}
	h := newHash("imagined")
	h.text(string(g.id[:]))
	if g.imagined != nil {
		h.text(string(g.imagined.image))
		h.text(string(g.imagined.src.text))
	}
	g.id = h.sum()
	return nil
}

func (p *pass) imagineWith(ctx context.Context, names []string, layer Layer, target int, st *stages, parent *PlannedLayer) (*imagined, *graph, error) {
	if parent != nil && parent.unknown {
		below := *parent.inputs.graph
		if below.imagined != nil {
			below.src, below.image = below.imagined.src, below.imagined.image
		}
		below.image = withVariables(below.image, names)
		inputs := *parent.inputs
		inputs.graph = &below
		other := *parent
		other.inputs = &inputs
		parent = &other
	}
	src, err := p.source(ctx, layer, target, st, parent)
	if err != nil {
		return nil, nil, err
	}
	src.imagined = names
	c, err := convert(ctx, src, parentImage, placeholder, p.outside, nil)
	if err != nil {
		return nil, nil, err
	}
	g, err := newGraph(c, src)
	return &imagined{src: src, image: c.image}, g, err
}

// variables are the names that the Dockerfile may take from an image.
func (s *stages) variables() []string {
	names := map[string]bool{}
	for _, part := range strings.Split(string(s.text), "$")[1:] {
		if match := variable.FindStringSubmatch("$" + part); match != nil {
			names[match[1]] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// withVariables gives an image configuration those variables that it does not
// have.
func withVariables(config []byte, names []string) []byte {
	if len(names) == 0 {
		return config
	}
	var image map[string]json.RawMessage
	inner := map[string]json.RawMessage{}
	var env []string
	if json.Unmarshal(config, &image) != nil || json.Unmarshal(image["config"], &inner) != nil {
		return config
	}
	if list := inner["Env"]; list != nil && json.Unmarshal(list, &env) != nil {
		return config
	}
	has := map[string]bool{}
	for _, pair := range env {
		name, _, _ := strings.Cut(pair, "=")
		has[name] = true
	}
	for _, name := range names {
		if !has[name] {
			env = append(env, name+"="+standIn)
		}
	}
	var err error
	if inner["Env"], err = json.Marshal(env); err != nil {
		return config
	}
	if image["config"], err = json.Marshal(inner); err != nil {
		return config
	}
	out, err := json.Marshal(image)
	if err != nil {
		return config
	}
	return out
}

// sameReads reports whether two conversions of one target take the same files.
func sameReads(a, b *graph) bool {
	readsOf := func(g *graph) (reads []selection) {
		for _, o := range g.ops {
			reads = append(reads, o.reads...)
		}
		return reads
	}
	return a.local == b.local && slices.Equal(a.follow, b.follow) && reflect.DeepEqual(readsOf(a), readsOf(b))
}
