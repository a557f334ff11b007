package buildkit

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/opencontainers/go-digest"

	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

const (
	tailLines = 20
	tailBytes = 8 << 10 // of one step's output, kept for its last lines
)

// recorder turns BuildKit's status into events, steps and a log. It is used by
// one goroutine at a time.
type recorder struct {
	layer    layers.Name
	def      *llb.Definition
	report   func(pipeline.Event)
	vertices map[digest.Digest]*vertex
	log      *boundedLog
	speaking *vertex // whose output was logged last
}

// vertex is one node of the build graph as far as it has got.
type vertex struct {
	name      string
	number    int // in the order in which they were first heard of
	started   time.Time
	completed time.Time
	duration  time.Duration
	cached    bool
	tail      []byte
	unended   bool // its last output had no end of line
}

func newRecorder(layer layers.Name, def *llb.Definition, report func(pipeline.Event)) *recorder {
	return &recorder{
		layer: layer, def: def, report: report,
		vertices: map[digest.Digest]*vertex{},
		log:      newBoundedLog(pipeline.LogLimit),
	}
}

// add takes in one status message.
func (r *recorder) add(status *client.SolveStatus) {
	for _, v := range status.Vertexes {
		r.vertex(v)
	}
	for _, l := range status.Logs {
		r.output(l)
	}
	for _, w := range status.Warnings {
		r.say(r.get(w.Vertex), fmt.Sprintf("WARNING: %s\n", w.Short))
	}
}

func (r *recorder) get(id digest.Digest) *vertex {
	v := r.vertices[id]
	if v == nil {
		v = &vertex{number: len(r.vertices) + 1}
		r.vertices[id] = v
	}
	return v
}

// vertex takes in how a vertex stands now. BuildKit repeats itself, and may
// start a vertex again.
func (r *recorder) vertex(now *client.Vertex) {
	v := r.get(now.Digest)
	v.name = now.Name
	if now.Started != nil && !now.Started.Equal(v.started) {
		again := !v.started.IsZero()
		v.started = *now.Started
		if !again {
			r.event(v, pipeline.Started, v.started, nil)
		}
	}
	if now.Completed == nil || now.Completed.Equal(v.completed) {
		return
	}
	v.completed, v.cached = *now.Completed, now.Cached
	spent := v.completed.Sub(v.started)
	v.duration += spent
	switch {
	case now.Error != "":
		r.say(v, "ERROR: "+now.Error+"\n")
		r.event(v, pipeline.Failed, v.completed, nil)
	case now.Cached:
		r.say(v, "CACHED\n")
		r.event(v, pipeline.Cached, v.completed, nil)
	default:
		r.say(v, fmt.Sprintf("DONE %.1fs\n", spent.Seconds()))
		r.event(v, pipeline.Completed, v.completed, nil)
	}
}

func (r *recorder) event(v *vertex, state pipeline.EventState, at time.Time, output []byte) {
	r.report(pipeline.Event{Layer: r.layer, Time: at, Step: v.name, State: state, Log: output})
}

func (r *recorder) output(l *client.VertexLog) {
	v := r.get(l.Vertex)
	v.tail = append(v.tail, l.Data...)
	if len(v.tail) > 2*tailBytes {
		v.tail = append(v.tail[:0], v.tail[len(v.tail)-tailBytes:]...)
	}
	r.header(v)
	r.log.write(l.Data)
	v.unended = !bytes.HasSuffix(l.Data, []byte("\n"))
	r.event(v, pipeline.Output, l.Timestamp, l.Data)
}

// say writes a line of ours.
func (r *recorder) say(v *vertex, line string) {
	r.header(v)
	if v.unended {
		line = "\n" + line
		v.unended = false
	}
	r.log.write([]byte(line))
}

// header names a vertex in the log when it takes over from another.
func (r *recorder) header(v *vertex) {
	if r.speaking == v {
		return
	}
	if r.speaking != nil && r.speaking.unended {
		r.log.write([]byte("\n"))
		r.speaking.unended = false
	}
	r.speaking = v
	r.log.write(fmt.Appendf(nil, "==> #%d %s\n", v.number, v.name))
}

// steps returns the vertices that have ended, in that order.
func (r *recorder) steps() []pipeline.BuildStep {
	type ended struct {
		at   time.Time
		id   digest.Digest
		step pipeline.BuildStep
	}
	var all []ended
	for id, v := range r.vertices {
		if v.completed.IsZero() {
			continue
		}
		place := locate(r.def, id)
		all = append(all, ended{v.completed, id, pipeline.BuildStep{
			Name: v.name, Cached: v.cached, Duration: v.duration, File: place.file, Line: place.line,
		}})
	}
	slices.SortFunc(all, func(a, b ended) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.id, b.id))
	})
	steps := make([]pipeline.BuildStep, len(all))
	for i, e := range all {
		steps[i] = e.step
	}
	return steps
}

// lastLines of a vertex' output.
func (r *recorder) lastLines(id digest.Digest) []string {
	v := r.vertices[id]
	if v == nil {
		return nil
	}
	text := strings.TrimRight(strings.ToValidUTF8(string(v.tail), "\uFFFD"), "\r\n")
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	return lines[max(0, len(lines)-tailLines):]
}
