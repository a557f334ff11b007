package layers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// dockerfile finds a Dockerfile as BuildKit does, which is sent its directory
// alone: a link never leads out of it. Like BuildKit it takes "dockerfile"
// where there is no "Dockerfile".
func (t Tree) dockerfile(name string) (Entry, error) {
	dir, err := t.follow(path.Dir(name))
	if err != nil {
		return Entry{}, err
	}
	inside := Tree{Objects: t.Objects, Root: dir.ID}
	if !dir.IsDir() {
		return Entry{}, &fs.PathError{Op: "find", Path: name, Err: fs.ErrNotExist}
	}
	base := path.Base(name)
	entry, err := inside.follow(base)
	if err != nil && onlyHoles(err) == nil && base == "Dockerfile" {
		if lower, err := inside.follow("dockerfile"); err == nil {
			return lower.regular()
		}
	}
	if err == nil {
		return entry.regular()
	}
	if link, err := inside.Entry(base); err == nil && link.Mode == ModeSymlink {
		return Entry{}, errors.New("is a link to no file within its directory, which is all that BuildKit sees: replace it by the file, or name the file itself with \"dockerfile\"")
	}
	return Entry{}, err
}

// regular is the entry if it is a file.
func (e Entry) regular() (Entry, error) {
	if e.IsDir() || e.Mode == ModeSubmodule {
		return Entry{}, errors.New("is not a regular file")
	}
	return e, nil
}

// stages parses a Dockerfile, or finds the outcome for the same content.
func (p *pass) stages(id ObjectID, args map[string]string) (*stages, error) {
	h := newHash("stages")
	h.text(string(id))
	h.args(args)
	h.text(p.platform)
	name := memo(h.sum())
	if parsed, ok := p.dockerfiles.Get(name); ok {
		return parsed.stages, parsed.err
	}
	text, err := p.tree.ReadBlob(id, MaxDockerfile)
	if err != nil {
		return nil, err
	}
	st, err := parseStages(text, args, p.platform)
	if err == nil && st.syntax != "" && !builtinSyntax(st.syntax) {
		err = fmt.Errorf("# syntax=%s names a frontend of its own, which is not supported: take the line out, or use docker/dockerfile", st.syntax)
	}
	p.dockerfiles.Add(name, parsing{st, err})
	return st, err
}

// builtinSyntax reports whether a frontend image is the one that BuildKit has
// built in, of whichever version.
func builtinSyntax(syntax string) bool {
	name, _, _ := strings.Cut(syntax, "@")
	name = strings.TrimPrefix(name, "docker.io/")
	name, _, _ = strings.Cut(name, ":")
	return name == "docker/dockerfile" || name == "docker/dockerfile-upstream"
}

// graph converts a layer's target, or finds the conversion of the same
// content.
func (p *pass) graph(ctx context.Context, layer Layer, id ObjectID, st *stages, parent *PlannedLayer) (*graph, error) {
	h := newHash("conversion")
	h.text(string(id))
	h.text(layer.Dockerfile)
	h.text(layer.Target)
	h.args(layer.Args)
	h.text(p.platform)
	h.text(p.epoch())
	if parent != nil {
		h.text(layer.From)
		h.text(parent.Dockerfile)
		h.text(parent.Target)
		h.text(string(parent.inputs.graph.id[:]))
	}
	name := memo(h.sum())
	if known, ok := p.graphs.Get(name); ok && p.current(ctx, known.outside) {
		return known.graph, known.err
	}
	target := st.find(layer.Target)
	if target < 0 {
		return nil, faultf("%s: there is no target %q", layer.Dockerfile, layer.Target)
	}
	src, err := p.source(ctx, layer, target, st, parent)
	if err != nil {
		return nil, err
	}
	c, err := convert(ctx, src, parentImage, placeholder, p.outside, nil)
	if err != nil {
		fault := conversionFault(layer, err)
		if !passing(ctx, src, err) {
			p.graphs.Add(name, conversion{outside: c.outside, err: fault})
		}
		return nil, fault
	}
	// What an unknown image sets would be a warning here.
	if strict(st.text) && !unresolved(c.outside) && (parent == nil || !parent.unknown) {
		if err := lint(ctx, src, p.outside); err != nil {
			return nil, conversionFault(layer, err)
		}
	}
	g, err := newGraph(c, src)
	if err != nil {
		return nil, err
	}
	if unresolved(c.outside) || parent != nil && parent.unknown {
		if err := p.imagine(ctx, g, layer, target, st, parent); err != nil {
			return nil, err
		}
	}
	if ground := st.ground(target); parent == nil && ground != scratch {
		g.ground = normalImage(ground)
	}
	p.graphs.Add(name, conversion{graph: g, outside: g.outside})
	return g, nil
}

// source is what is converted for a layer's target.
func (p *pass) source(ctx context.Context, layer Layer, target int, st *stages, parent *PlannedLayer) (source, error) {
	src := source{original: st.text, text: st.text, file: layer.Dockerfile, target: layer.Target, args: layer.Args, platform: p.platform, epoch: p.epoch(), bound: st.bound}
	if parent == nil {
		return src, nil
	}
	sameFile := parent.Dockerfile == layer.Dockerfile
	stage, ref, err := st.replaced(target, layer.From, parent.Target, sameFile)
	if err != nil {
		return source{}, faultf("%s: %w", layer.Dockerfile, err)
	}
	if stage >= 0 {
		src.ownStage = sameFile && stage == st.find(parent.Target)
		var args map[string]argument
		if src.ownStage {
			if args, err = st.arguments(ctx, stage, parent.inputs.graph.src, layer.Args, p.outside); err != nil {
				return source{}, conversionFault(layer, err)
			}
		}
		src.text = st.replace(stage, args)
	}
	src.parent, src.parentConfig = ref, withLayer(parent.inputs.graph.image)
	return src, nil
}

// conversionFault tells a failed look-up of an image from a mistake in the
// Dockerfile.
func conversionFault(layer Layer, err error) error {
	var outside *outsideError
	if errors.As(err, &outside) {
		return err
	}
	return faultf("%s: %w", layer.Dockerfile, located(err))
}

// passing reports whether a conversion might do better another time, though
// the images outside that it saw are the same.
func passing(ctx context.Context, src source, err error) bool {
	var outside *outsideError
	// For a stage of its own, images were looked up before the conversion.
	return ctx.Err() != nil || src.ownStage || errors.As(err, &outside) || errors.Is(err, ErrNoImage)
}

// current reports whether the images outside are still those that a
// conversion saw.
func (p *pass) current(ctx context.Context, seen []outsideUse) bool {
	for _, use := range seen {
		image, _, err := p.outside(ctx, use.Ref, p.platform)
		if err != nil || image.Digest != use.Digest {
			return false
		}
	}
	return true
}

// withLayer gives an image configuration a stand-in for its layers, which are
// not made yet: BuildKit takes an image of no layers for scratch.
func withLayer(config []byte) []byte {
	var image map[string]json.RawMessage
	if json.Unmarshal(config, &image) != nil {
		return config
	}
	image["rootfs"] = fmt.Appendf(nil, `{"type":"layers","diff_ids":[%q]}`, placeholder)
	out, err := json.Marshal(image)
	if err != nil {
		return config
	}
	return out
}

// locate finds the context directory and its ignore file: the one named after
// the Dockerfile replaces the context's own, it does not add to it.
func (p *pass) locate(in *inputs, out *PlannedLayer) error {
	dir, err := p.tree.follow(in.layer.Context)
	if err != nil || !dir.IsDir() {
		return faultf("context %s is not a directory at this commit", in.layer.Context)
	}
	in.tree = Tree{Objects: p.tree.Objects, Root: dir.ID}
	in.filter.follow = in.graph.follow
	for _, name := range []string{in.layer.Dockerfile + ".dockerignore", path.Join(in.layer.Context, ".dockerignore")} {
		id, ok, err := p.ignoreFile(name, out)
		if err == nil && ok {
			in.filter.ignore, err = p.ignore(id)
		}
		if err != nil {
			return faultf("%s: %w", name, err)
		}
		if ok {
			return nil
		}
	}
	return nil
}

// ignoreFile finds an ignore file as BuildKit does, which has no more than the
// file's directory: a link never leads out of it, and what is no file in the
// end counts as none.
func (p *pass) ignoreFile(name string, out *PlannedLayer) (id ObjectID, ok bool, err error) {
	dir, err := p.tree.follow(path.Dir(name))
	if err != nil || !dir.IsDir() {
		return "", false, onlyHoles(err)
	}
	inside := Tree{Objects: p.tree.Objects, Root: dir.ID}
	entry, err := inside.follow(path.Base(name))
	if err == nil && !entry.IsDir() && entry.Mode != ModeSubmodule {
		return entry.ID, true, nil
	}
	if link, err := inside.Entry(path.Base(name)); err == nil && link.Mode == ModeSymlink {
		out.note("%s is a link to no file within its directory, which is all that BuildKit sees: it counts as missing", name)
	}
	return "", false, onlyHoles(err)
}

// onlyHoles keeps an error only if it is the object database's.
func onlyHoles(err error) error {
	var hole *objectError
	if errors.As(err, &hole) {
		return err
	}
	return nil
}

func (p *pass) ignore(id ObjectID) ([]string, error) {
	if patterns, ok := p.ignores.Get(id); ok {
		return patterns, nil
	}
	text, err := p.tree.ReadBlob(id, MaxDockerfile)
	if err != nil {
		return nil, err
	}
	patterns, err := readIgnore(text)
	if err == nil {
		p.ignores.Add(id, patterns)
	}
	return patterns, err
}

// read lists the files of a context as far as they count, or finds the outcome
// for the same content.
func (p *pass) read(ctx context.Context, in *inputs) (*reading, error) {
	h := newHash("reading")
	h.text(string(in.graph.id[:]))
	h.text(string(in.parentKey))
	h.text(string(in.footprint[:]))
	h.text(p.salt)
	if in.wide {
		h.text("wide")
	}
	if in.lfs {
		h.text("lfs")
	}
	name := memo(h.sum())
	if r, ok := p.readings.Get(name); ok {
		return r, nil
	}
	set, err := p.files(ctx, in)
	if err != nil {
		return nil, err
	}
	// Of a context that is only counted whole, not all need be sent.
	if set.unsendable != nil && !in.wide {
		return nil, set.unsendable
	}
	sums, err := in.graph.sums(ctx, set, in.parentKey, in.wide)
	if err != nil {
		return nil, err
	}
	var last [32]byte
	if len(sums) > 0 { // a bare FROM scratch has no ops
		last = sums[len(sums)-1]
	}
	if in.wide { // also if nothing seems to be read
		h := newHash("wide")
		h.text(string(last[:]))
		h.text(string(set.sum[:]))
		last = h.sum()
	}
	r := &reading{files: set.sum, key: p.key(in.graph, last)}
	if in.lfs {
		if r.pointers, err = in.pointers(ctx, set); err != nil {
			return nil, err
		}
	}
	p.readings.Add(name, r)
	return r, nil
}

// files lists what BuildKit would transfer.
func (p *Planner) files(ctx context.Context, in *inputs) (*fileset, error) {
	if !in.graph.local && !in.wide {
		return &fileset{}, nil
	}
	if set, ok := p.filesets.get(in.footprint); ok {
		return set, nil
	}
	set, err := readFileset(ctx, in.tree, in.filter)
	if err == nil {
		p.filesets.add(in.footprint, set)
	}
	return set, err
}

func (f *fieldHash) args(args map[string]string) {
	f.number(int64(len(args)))
	for _, name := range slices.Sorted(maps.Keys(args)) {
		f.text(name)
		f.text(args[name])
	}
}

// located puts the line of a Dockerfile error in front of it.
func located(err error) error {
	var where *parser.LocationError
	if errors.As(err, &where) {
		for _, ranges := range where.Locations {
			if line := startLine(ranges); line > 0 {
				return fmt.Errorf("line %d: %w", line, err)
			}
		}
	}
	return err
}
