package layers

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
)

// op is one vertex of a converted Dockerfile, made ready for hashing.
type op struct {
	own         [32]byte // of the op without its inputs
	inputs      []int    // positions of the ops it takes
	local       bool     // it is the build context
	parent      bool     // it is the parent layer's image
	run         bool     // it runs a command
	reads       []selection
	asks        []Ask
	unpinned    string // what would pin the source, if nothing does
	line        int    // of its instruction, 0 if it has none
	source      string
	instruction string
}

// graph is a converted Dockerfile as its key sees it.
type graph struct {
	id      [32]byte // of all the rest
	src     source
	ops     []op
	follow  []string // paths of the context that are transferred; empty is all
	local   bool     // the context is read at all
	image   []byte
	base    []byte
	outside []outsideUse
	// open says that which files are read depends on variables that an image of
	// unknown configuration may set.
	open bool
	// imagined is the same on images that set those variables; nil if all are
	// known.
	imagined *imagined
	ground   string // the image from outside that the target stands on, if any
}

func newGraph(c *converted, src source) (*graph, error) {
	g := &graph{src: src, image: c.image, base: c.base, outside: c.outside}
	lines := strings.Split(string(src.original), "\n")
	index := make(map[string]int, len(c.def.Def))
	for i, data := range c.def.Def {
		id := digest.FromBytes(data).String()
		index[id] = i
		var vertex pb.Op
		if err := vertex.UnmarshalVT(data); err != nil {
			return nil, fmt.Errorf("read LLB: %w", err)
		}
		var o op
		for _, in := range vertex.Inputs {
			o.inputs = append(o.inputs, index[in.Digest])
		}
		if src := vertex.GetSource(); src != nil {
			o.source = src.Identifier
			o.unpinned = unpinned(src)
			o.local = strings.HasPrefix(src.Identifier, "local://")
			o.parent = c.parent != "" && src.Identifier == imageScheme+c.parent
			if o.local {
				g.local = true
				if follow := src.Attrs[pb.AttrFollowPaths]; follow != "" {
					if err := json.Unmarshal([]byte(follow), &g.follow); err != nil {
						return nil, fmt.Errorf("read LLB: follow paths: %w", err)
					}
				}
				src.Attrs = nil // which files they are counts, not how they are sent
			}
		}
		o.run = vertex.GetExec() != nil
		o.reads, o.asks = g.readsOf(&vertex, o.inputs), asksOf(&vertex)
		if where := c.def.Source.GetLocations()[id]; where != nil {
			o.line, o.instruction = instruction(where, lines)
		}
		h := newHash("op")
		for _, in := range vertex.Inputs {
			h.number(in.Index)
			in.Digest = ""
		}
		own, err := vertex.Marshal() // deterministic, unlike MarshalVT
		if err != nil {
			return nil, fmt.Errorf("hash LLB: %w", err)
		}
		h.text(string(own))
		o.own = h.sum()
		g.ops = append(g.ops, o)
	}
	h := newHash("graph")
	for _, o := range g.ops {
		h.text(string(o.own[:]))
		for _, in := range o.inputs {
			h.number(int64(in))
		}
	}
	h.texts(g.follow)
	h.text(string(g.image))
	g.id = h.sum()
	return g, nil
}

// readsOf finds what an op takes from the build context.
func (g *graph) readsOf(vertex *pb.Op, inputs []int) []selection {
	fromContext := func(i int64) bool {
		return i >= 0 && int(i) < len(inputs) && g.ops[inputs[i]].local
	}
	var reads []selection
	switch {
	case vertex.GetFile() != nil:
		for _, action := range vertex.GetFile().Actions {
			if fromContext(int64(action.Input)) {
				reads = append(reads, selection{whole: true})
			}
			if !fromContext(int64(action.SecondaryInput)) {
				continue
			}
			if c := action.GetCopy(); c != nil {
				reads = append(reads, selection{source: c.Src, wildcard: c.AllowWildcard, include: c.IncludePatterns, exclude: c.ExcludePatterns})
			} else {
				reads = append(reads, selection{whole: true})
			}
		}
	case vertex.GetExec() != nil:
		for _, mount := range vertex.GetExec().Mounts {
			if fromContext(mount.Input) {
				reads = append(reads, selection{source: path.Clean("/" + mount.Selector)})
			}
		}
	default:
		for i := range inputs {
			if fromContext(int64(i)) {
				reads = append(reads, selection{whole: true})
			}
		}
	}
	return reads
}

// instruction is the first line of an op's place in the Dockerfile, and the
// text there.
func instruction(where *pb.Locations, lines []string) (int, string) {
	for _, location := range where.Locations {
		for _, r := range location.Ranges {
			first, last := int(r.GetStart().GetLine()), int(r.GetEnd().GetLine())
			if first < 1 || last > len(lines) || first > last {
				continue
			}
			return first, oneLine(lines[first-1 : last])
		}
	}
	return 0, ""
}

// oneLine joins an instruction's lines, for people.
func oneLine(lines []string) string {
	var parts []string
	for _, line := range lines {
		line = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(line), "\\"))
		if line != "" && !strings.HasPrefix(line, "#") {
			parts = append(parts, line)
		}
	}
	text := []rune(strings.Join(parts, " "))
	if len(text) > 160 {
		return string(text[:159]) + "…"
	}
	return string(text)
}

// sums gives each op its identity: of itself, of the ops below it, and of the
// files of the context that it reaches; wide counts the whole context for each.
func (g *graph) sums(ctx context.Context, set *fileset, parent Key, wide bool) ([][32]byte, error) {
	sums := make([][32]byte, len(g.ops))
	for i, o := range g.ops {
		h := newHash("vertex")
		switch {
		case o.parent:
			h.text(string(parent))
		default:
			h.text(string(o.own[:]))
		}
		for _, in := range o.inputs {
			h.text(string(sums[in][:]))
		}
		for _, read := range o.reads {
			files, err := read.of(ctx, set)
			if err != nil {
				return nil, err
			}
			sum := set.sum
			if !wide && len(files) != len(set.files) {
				sum = sumFiles(files)
			}
			h.text(string(sum[:]))
		}
		sums[i] = h.sum()
	}
	return sums, nil
}
