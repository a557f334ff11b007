package layers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/errgroup"
)

// keySchema goes into every key. Raise it when keys change their meaning.
const keySchema = "lab-layers/1"

// Settings are the choices of an installation that change images' bytes.
type Settings struct {
	// Reproducible builds clamp every time to SOURCE_DATE_EPOCH.
	Reproducible bool
	// Compression of the blobs: gzip, zstd, estargz or uncompressed.
	Compression string
	// Salt is asked once for each plan, from several goroutines: where it answers
	// with another text than before, every key changes, and BuildKit runs every
	// RUN instruction again. No function, or an empty text, is no salt.
	Salt func() string
}

// Planner makes plans. It remembers what it has read and converted, by
// content, so that the next commit costs only what changed in it. It is safe
// for use by several goroutines.
type Planner struct {
	outside  Outside
	settings Settings

	dockerfiles *lru.Cache[memo, parsing]
	ignores     *lru.Cache[ObjectID, []string]
	graphs      *lru.Cache[memo, conversion]
	readings    *lru.Cache[memo, *reading]
	filesets    *filesets
	configs     *lru.Cache[ObjectID, *Config]
}

// memo names a piece of work by its inputs.
type memo [32]byte

// NewPlanner makes a planner that asks outside about images which no layer
// makes; nil is [Unresolved].
func NewPlanner(outside Outside, settings Settings) *Planner {
	if outside == nil {
		outside = Unresolved
	}
	// The sizes bound memory: a graph takes some 20 KB, a reading 300 bytes.
	return &Planner{
		outside:     outside,
		settings:    settings,
		dockerfiles: cache[memo, parsing](4096),
		ignores:     cache[ObjectID, []string](4096),
		graphs:      cache[memo, conversion](4096),
		readings:    cache[memo, *reading](1 << 16),
		filesets:    newFilesets(),
		configs:     cache[ObjectID, *Config](8),
	}
}

func cache[K comparable, V any](size int) *lru.Cache[K, V] {
	c, err := lru.New[K, V](size)
	if err != nil {
		panic(err) // only for a size that is not positive
	}
	return c
}

// Plan computes the key of every layer at a tree. Steps are Build, or Absent
// where the tree does not have the layer's Dockerfile: what can be reused is
// decided by [Planner.Compare] or by whoever knows the images there are. A
// layer whose Dockerfile is wrong has a Fault and no key, and so have its
// children.
//
// The error says that the tree or an image outside could not be read, or is the
// cause with which the context ended.
func (p *Planner) Plan(ctx context.Context, tree Tree, cfg *Config) (*Plan, error) {
	salt := ""
	if p.settings.Salt != nil {
		salt = p.settings.Salt()
	}
	return p.plan(ctx, tree, cfg, once(p.outside), salt)
}

// PlanBefore plans what was before another plan, to compare them. It takes
// images outside, and the salt, to be what that plan took them to be; other images
// that cannot be looked up count by their reference.
func (p *Planner) PlanBefore(ctx context.Context, tree Tree, cfg *Config, plan *Plan) (*Plan, error) {
	return p.plan(ctx, tree, cfg, func(ctx context.Context, ref, platform string) (OutsideImage, bool, error) {
		image, ok, err := plan.outside(ctx, ref, platform)
		if err != nil && ctx.Err() == nil {
			return OutsideImage{}, false, nil
		}
		return image, ok, err
	}, plan.salt)
}

func (p *Planner) plan(ctx context.Context, tree Tree, cfg *Config, outside Outside, salt string) (*Plan, error) {
	pass := &pass{Planner: p, tree: tree, platform: cfg.Platform, outside: outside, salt: salt}
	plan := &Plan{Layers: make([]*PlannedLayer, len(cfg.Layers)), outside: outside, salt: salt}
	planned := make(map[Name]*PlannedLayer, len(cfg.Layers))
	done := make(map[Name]chan struct{}, len(cfg.Layers))
	for i, layer := range cfg.Layers {
		plan.Layers[i] = newPlannedLayer(layer)
		planned[layer.Name] = plan.Layers[i]
		done[layer.Name] = make(chan struct{})
	}
	group, gctx := errgroup.WithContext(ctx)
	places := make(chan struct{}, runtime.GOMAXPROCS(0))
	for _, layer := range cfg.Layers {
		group.Go(func() error {
			defer close(done[layer.Name])
			if layer.Parent != "" {
				<-done[layer.Parent]
			}
			places <- struct{}{}
			defer func() { <-places }()
			if gctx.Err() != nil {
				return context.Cause(gctx)
			}
			out := planned[layer.Name]
			err := pass.layer(gctx, layer, out, planned[layer.Parent])
			if gctx.Err() != nil {
				return context.Cause(gctx) // and no fault of the layer
			}
			var fault *layerFault
			var hole *objectError
			if errors.As(err, &fault) && !errors.As(err, &hole) {
				out.Fault = fault.Error()
				var none *noImage
				if errors.As(err, &none) {
					out.missing = none.ref
				}
				return nil
			}
			if err != nil {
				return fmt.Errorf("plan %s: %w", layer.Name, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return plan, nil
}

func newPlannedLayer(layer Layer) *PlannedLayer {
	out := &PlannedLayer{
		Name: layer.Name, Kind: layer.Kind, Context: layer.Context,
		Dockerfile: layer.Dockerfile, Target: layer.Target, Step: Build,
		Reasons: []Reason{}, ChangedPaths: []string{},
	}
	if layer.Parent != "" {
		out.Parent = &layer.Parent
	}
	return out
}

// layerFault is a mistake in the repository that concerns one layer.
type layerFault struct{ err error }

func (f *layerFault) Error() string { return f.err.Error() }
func (f *layerFault) Unwrap() error { return f.err }

func faultf(format string, args ...any) error {
	return &layerFault{fmt.Errorf(format, args...)}
}

// once asks about each image one time: a tag that moves while a plan is made
// must not give two of its layers different images.
func once(outside Outside) Outside {
	type answer struct {
		asked sync.Once
		image OutsideImage
		ok    bool
		err   error
	}
	var mu sync.Mutex
	answers := map[string]*answer{}
	return func(ctx context.Context, ref, platform string) (OutsideImage, bool, error) {
		mu.Lock()
		a := answers[ref]
		if a == nil {
			a = &answer{}
			answers[ref] = a
		}
		mu.Unlock()
		a.asked.Do(func() {
			a.image, a.ok, a.err = outside(ctx, ref, platform)
			switch {
			case errors.Is(a.err, ErrNoImage):
				a.err = &noImage{ref, a.err}
			case a.err != nil:
				a.err = &outsideError{a.err}
			}
		})
		return a.image, a.ok, a.err
	}
}

// noImage says which image there is none of.
type noImage struct {
	ref string
	err error
}

func (e *noImage) Error() string { return e.err.Error() }
func (e *noImage) Unwrap() error { return e.err }

// outsideError tells a failed look-up from a mistake in the Dockerfile.
type outsideError struct{ err error }

func (e *outsideError) Error() string { return e.err.Error() }
func (e *outsideError) Unwrap() error { return e.err }

// inputs is everything that went into a layer's key, kept to compare with.
type inputs struct {
	layer     Layer
	graph     *graph
	parentKey Key
	tree      Tree // Root is the context directory
	filter    contextFilter
	wide      bool // the whole context counts for each instruction
	footprint memo // of the context
	lfs       bool // files of the context may be Git LFS pointers
}

// parsing is what became of reading a Dockerfile.
type parsing struct {
	stages *stages
	err    error
}

// conversion is what became of converting a target, on these images outside.
type conversion struct {
	graph   *graph
	outside []outsideUse
	err     error
}

// reading is what the files of a context make of a graph.
type reading struct {
	files [32]byte // identity of what is transferred
	key   Key
	// pointers are files that instructions reach and that are Git LFS pointers.
	pointers []string
}

// pass is the making of one plan.
type pass struct {
	*Planner
	tree     Tree
	platform string
	outside  Outside
	salt     string
}

func (p *pass) layer(ctx context.Context, layer Layer, out, parent *PlannedLayer) error {
	file, err := p.tree.dockerfile(layer.Dockerfile)
	if errors.Is(err, fs.ErrNotExist) {
		out.Step = Absent
		return nil
	}
	if err != nil {
		return faultf("%s: %w", layer.Dockerfile, err)
	}
	out.directory[0] = file.ID
	if dir, err := p.tree.follow(layer.Context); err == nil {
		out.directory[1] = dir.ID
	}
	if parent != nil && parent.Fault != "" {
		return faultf("its parent %s has a fault", parent.Name)
	}
	if parent != nil && parent.Step == Absent {
		out.note("the parent %s is not there at this commit: its image counts by its reference", parent.Name)
		parent = nil
	}
	st, err := p.stages(file.ID, layer.Args)
	if err != nil {
		return faultf("%s: %w", layer.Dockerfile, located(err))
	}
	in := &inputs{layer: layer}
	if in.graph, err = p.graph(ctx, layer, file.ID, st, parent); err != nil {
		return err
	}
	for _, use := range in.graph.outside {
		if use.Digest == "" {
			out.unknown = true
			out.note("%s was not looked up: it counts by its reference, and its ONBUILD triggers are not known", use.Ref)
		}
	}
	if parent != nil {
		in.parentKey = parent.Key
		out.unknown = out.unknown || parent.unknown
	}
	if in.graph.local || in.graph.open {
		if err := p.locate(in, out); err != nil {
			return err
		}
		if in.graph.open {
			in.filter.follow, in.wide = nil, true
			out.note("which files are read depends on a variable that an image outside may set: the whole context counts")
		}
		if in.footprint, err = in.filter.footprint(in.tree); err != nil {
			return faultf("context %s: %w", layer.Context, err)
		}
		if in.lfs, err = p.lfs(layer.Context); err != nil {
			return faultf("context %s: %w", layer.Context, err)
		}
	}
	read, err := p.read(ctx, in)
	if err != nil {
		return faultf("context %s: %w", layer.Context, err)
	}
	out.notePointers(read.pointers)
	out.notePinned(in.graph)
	out.inputs = in
	out.Key = read.key
	out.Recipe = &Recipe{layer: layer, graph: in.graph, tree: in.tree, filter: in.filter, files: read.files, outside: p.outside, salt: p.salt}
	return nil
}

// key hashes everything that decides what the build makes; last is the
// identity of the last op, and so of all.
func (p *pass) key(g *graph, last [32]byte) Key {
	h := newHash(keySchema)
	h.text(string(last[:]))
	h.text(string(g.image))
	h.text(p.settings.Compression)
	h.text(p.epoch())
	h.text(p.salt)
	return h.key()
}

// epoch is SOURCE_DATE_EPOCH.
func (p *Planner) epoch() string {
	if p.settings.Reproducible {
		return fmt.Sprint(ContextTime)
	}
	return ""
}
