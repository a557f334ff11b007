package layers

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"reflect"
	"slices"
)

// Compare explains a plan by the one before it: previous keys, reasons, the
// changed paths and the first instruction that must run again. A nil from
// means that there was nothing before. It reads trees again only for layers
// whose keys differ.
func (p *Planner) Compare(ctx context.Context, from, to *Plan) error {
	return p.CompareRecorded(ctx, nil, from, to)
}

// CompareRecorded does so where it was recorded what the layers were at from's
// commit: then those keys and images from outside count, whatever the outside
// shows today. Layers that were not recorded are compared as Compare does.
func (p *Planner) CompareRecorded(ctx context.Context, recorded map[Name]Recorded, from, to *Plan) error {
	before, saltBefore, anew := map[Name]*PlannedLayer{}, "", map[Name]bool{}
	if from != nil {
		to.From, saltBefore = from.To, from.salt
		for _, layer := range from.Layers {
			before[layer.Name] = layer
		}
	}
	for _, layer := range to.Layers {
		layer.PreviousKey, layer.Reasons, layer.ChangedPaths, layer.RebuildFrom = "", []Reason{}, []string{}, nil
		if layer.Step == Absent || layer.Fault != "" {
			continue
		}
		old, salt := before[layer.Name], saltBefore
		if record, ok := recorded[layer.Name]; ok {
			layer.PreviousKey, salt = record.Key, record.Salt
			if record.Key == layer.Key {
				continue
			}
			if old == nil || old.inputs == nil {
				layer.note("the commit before cannot be read any more: which files changed is not known")
				old = layer
			}
			old = old.as(record, recorded)
		}
		if old == nil || old.inputs == nil {
			layer.because(ReasonNew, "there was no such layer before")
			continue
		}
		layer.PreviousKey = old.Key
		if old.Key == layer.Key {
			continue
		}
		if err := layer.explain(ctx, p, old); err != nil {
			return fmt.Errorf("explain %s: %w", layer.Name, err)
		}
		if to.salt != "" && to.salt != salt {
			anew[layer.Name] = layer.scheduled(to.salt, old, anew)
		}
		if len(layer.Reasons) == 0 && from != nil {
			layer.note("its inputs are those of before, but not its key: the settings changed, or lab-layers itself")
		}
	}
	return nil
}

func (l *PlannedLayer) because(kind ReasonKind, format string, args ...any) {
	l.Reasons = append(l.Reasons, Reason{Kind: kind, Detail: fmt.Sprintf(format, args...)})
}

func (l *PlannedLayer) explain(ctx context.Context, p *Planner, before *PlannedLayer) error {
	was, is := before.inputs, l.inputs
	if was.layer.Parent != is.layer.Parent || was.parentKey != is.parentKey {
		l.because(ReasonParent, "%s → %s", parentName(was), parentName(is))
	}
	l.explainOutside(was.graph, is.graph)
	l.explainArguments(was, is)
	l.explainDockerfile(was, is)
	return l.explainFiles(ctx, p, was, is)
}

func parentName(in *inputs) string {
	if in.parentKey == "" {
		return "no parent layer"
	}
	return fmt.Sprintf("%s of key %s", in.layer.Parent, short(in.parentKey))
}

func short(key Key) string { return fmt.Sprintf("%.19s", key) }

func (l *PlannedLayer) explainOutside(was, is *graph) {
	before := map[string]outsideUse{}
	for _, use := range was.outside {
		before[use.Ref] = use
	}
	for _, use := range is.outside {
		if old, ok := before[use.Ref]; ok && old.Digest != use.Digest {
			l.because(ReasonBaseImage, "%s: %.19s → %.19s", use.Ref, orUnknown(string(old.Digest)), orUnknown(string(use.Digest)))
		}
	}
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

func (l *PlannedLayer) explainArguments(was, is *inputs) {
	if was.graph.id == is.graph.id {
		return
	}
	names := slices.Collect(maps.Keys(was.layer.Args))
	for name := range is.layer.Args {
		if _, ok := was.layer.Args[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		old, had := was.layer.Args[name]
		now, has := is.layer.Args[name]
		switch {
		case had && has && old != now:
			l.because(ReasonArgument, "%s: %q → %q", name, old, now)
		case had && !has:
			l.because(ReasonArgument, "%s: %q → not given", name, old)
		case !had && has:
			l.because(ReasonArgument, "%s: not given → %q", name, now)
		}
	}
}

func (l *PlannedLayer) explainDockerfile(was, is *inputs) {
	for _, moved := range [][3]string{
		{"Dockerfile", was.layer.Dockerfile, is.layer.Dockerfile},
		{"target", was.layer.Target, is.layer.Target},
		{"context", was.layer.Context, is.layer.Context},
	} {
		if moved[1] != moved[2] {
			l.because(ReasonDockerfile, "%s: %q → %q", moved[0], moved[1], moved[2])
		}
	}
	if slices.Compare(was.filter.ignore, is.filter.ignore) != 0 {
		l.because(ReasonDockerfile, "the ignore file changed which files are sent")
	}
	if string(was.graph.src.original) == string(is.graph.src.original) {
		return
	}
	gone, come := difference(was.graph.ops, is.graph.ops), difference(is.graph.ops, was.graph.ops)
	for i := range max(len(gone), len(come)) {
		switch {
		case i < len(gone) && i < len(come) && gone[i].instruction == come[i].instruction && come[i].outside():
			// told already
		case i < len(gone) && i < len(come) && gone[i].instruction == come[i].instruction:
			l.because(ReasonDockerfile, "line %d: what %s expands to", come[i].line, come[i].instruction)
		case i >= len(gone):
			l.because(ReasonDockerfile, "line %d is new: %s", come[i].line, come[i].instruction)
		case i >= len(come):
			l.because(ReasonDockerfile, "line %d went: %s", gone[i].line, gone[i].instruction)
		default:
			l.because(ReasonDockerfile, "line %d: %s → %s", come[i].line, gone[i].instruction, come[i].instruction)
		}
	}
	if len(gone)+len(come) > 0 || was.parentKey != is.parentKey {
		return // the parent's configuration is part of the child's
	}
	for _, change := range configChanges(was.graph.image, is.graph.image) {
		l.because(ReasonDockerfile, "image configuration: %s", change)
	}
}

// difference is the instructions of a that b does not have.
func difference(a, b []op) []op {
	have := map[[32]byte]bool{}
	for _, o := range b {
		have[o.own] = true
	}
	var out []op
	seen := map[int]bool{}
	for _, o := range a {
		if o.line > 0 && !have[o.own] && !seen[o.line] {
			seen[o.line] = true
			out = append(out, o)
		}
	}
	return out
}

// configChanges names the parts of an image configuration that differ.
func configChanges(was, is []byte) []string {
	type image struct {
		Config  map[string]any `json:"config"`
		History []struct {
			CreatedBy string `json:"created_by"`
		} `json:"history"`
	}
	var a, b image
	if json.Unmarshal(was, &a) != nil || json.Unmarshal(is, &b) != nil {
		return nil
	}
	names := map[string]bool{}
	for name := range a.Config {
		names[name] = true
	}
	for name := range b.Config {
		names[name] = true
	}
	var changes []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if !reflect.DeepEqual(a.Config[name], b.Config[name]) {
			changes = append(changes, fmt.Sprintf("%s: %s → %s", name, brief(a.Config[name]), brief(b.Config[name])))
		}
	}
	for i := range min(len(a.History), len(b.History)) {
		if old, now := a.History[i].CreatedBy, b.History[i].CreatedBy; len(changes) == 0 && old != now {
			changes = append(changes, fmt.Sprintf("history: %s → %s", oneLine([]string{old}), oneLine([]string{now})))
		}
	}
	return changes
}

func brief(value any) string {
	if value == nil {
		return "none"
	}
	text, err := json.Marshal(value)
	if err != nil {
		return "?"
	}
	return oneLine([]string{string(text)})
}

// explainFiles compares the files that instructions reach, and finds the first
// instruction whose inputs moved.
func (l *PlannedLayer) explainFiles(ctx context.Context, p *Planner, was, is *inputs) error {
	before, err := p.files(ctx, was)
	if err != nil {
		return err
	}
	now, err := p.files(ctx, is)
	if err != nil {
		return err
	}
	sumsBefore, err := was.graph.sums(ctx, before, was.parentKey, was.wide)
	if err != nil {
		return err
	}
	sums, err := is.graph.sums(ctx, now, is.parentKey, is.wide)
	if err != nil {
		return err
	}
	old := map[[32]byte]bool{}
	for _, sum := range sumsBefore {
		old[sum] = true
	}
	for i, sum := range sums {
		if o := is.graph.ops[i]; !old[sum] && o.line > 0 {
			l.RebuildFrom = &Instruction{File: is.layer.Dockerfile, Line: o.line, Text: o.instruction}
			break
		}
	}
	defer func() {
		// What an inline document expands to belongs to no instruction of
		// its own.
		if from := l.RebuildFrom; len(l.Reasons) == 0 && from != nil {
			l.because(ReasonDockerfile, "line %d: what %s expands to", from.Line, from.Text)
		}
	}()
	if was.graph.id == is.graph.id && was.layer.Context == is.layer.Context && was.wide == is.wide && before.sum == now.sum {
		return nil
	}
	reached, err := is.reached(ctx, now)
	if err != nil {
		return err
	}
	reachedBefore, err := was.reached(ctx, before)
	if err != nil {
		return err
	}
	for name, b := range reached {
		if a, had := reachedBefore[name]; had && a == b {
			delete(reachedBefore, name)
			delete(reached, name)
		}
	}
	moved := slices.Collect(maps.Keys(reached))
	for name := range reachedBefore {
		if _, both := reached[name]; !both {
			moved = append(moved, name)
		}
	}
	slices.Sort(moved)
	for _, name := range moved {
		a, had := reachedBefore[name]
		b, has := reached[name]
		if (a.dir() || !had) && (b.dir() || !has) {
			continue // a directory is told by its files
		}
		l.ChangedPaths = append(l.ChangedPaths, name)
		switch {
		case !had:
			l.because(ReasonPath, "%s is new: %s", name, b)
		case !has:
			l.because(ReasonPath, "%s went: %s", name, a)
		default:
			l.because(ReasonPath, "%s: %s → %s", name, a, b)
		}
	}
	return nil
}

// reached is the files of a context that any instruction reads, by their path
// in the repository.
func (in *inputs) reached(ctx context.Context, set *fileset) (map[string]file, error) {
	out := map[string]file{}
	seen := map[string]bool{}
	ops := in.graph.ops
	if in.wide {
		ops = []op{{reads: []selection{{whole: true}}}}
	}
	for _, o := range ops {
		for _, read := range o.reads {
			files, err := read.of(ctx, set)
			if err != nil {
				return nil, err
			}
			for _, f := range files {
				if seen[f.path] {
					continue
				}
				seen[f.path] = true
				name := path.Join(in.layer.Context, f.path)
				f.path = ""
				out[name] = f
			}
		}
	}
	return out, nil
}

// dir reports whether it is a directory; a submodule is not one.
func (f file) dir() bool { return fs.FileMode(f.mode).IsDir() && f.id == "" }

func (f file) String() string {
	id := f.id
	if fs.FileMode(f.mode)&fs.ModeSymlink == 0 {
		id = fmt.Sprintf("%.12s", ObjectID(f.id))
	}
	return fmt.Sprintf("%s %s", fs.FileMode(f.mode), id)
}
