package buildkit

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"

	"github.com/lab-layers/lab-layers/pipeline"
)

func TestBoundedLog(t *testing.T) {
	for _, total := range []int{0, 5, 10, 11, 19, 20, 21, 25, 30, 1000} {
		for _, piece := range []int{1, 3, 7, 10, 20, 50} {
			var all []byte
			l := newBoundedLog(20)
			for len(all) < total {
				p := make([]byte, min(piece, total-len(all)))
				for i := range p {
					p[i] = byte('a' + (len(all)+i)%26)
				}
				l.write(p)
				all = append(all, p...)
			}
			want := string(all)
			if total > 20 {
				want = fmt.Sprintf("%s\n[… %d bytes left out …]\n%s", all[:10], total-20, all[total-10:])
			}
			if got := string(l.bytes()); got != want {
				t.Errorf("%d bytes by %d: %q, want %q", total, piece, got, want)
			}
		}
	}
}

func TestRecorder(t *testing.T) {
	var events []string
	r := newRecorder("a", nil, func(e pipeline.Event) { events = append(events, e.Step+" "+string(e.State)) })
	at := func(seconds int) *time.Time { t := time.Unix(int64(seconds), 0); return &t }
	one, two := digest.FromString("1"), digest.FromString("2")
	r.add(&client.SolveStatus{
		Vertexes: []*client.Vertex{{Digest: one, Name: "one", Started: at(10)}},
		Logs:     []*client.VertexLog{{Vertex: one, Data: []byte("begun")}},
	})
	r.add(&client.SolveStatus{
		Vertexes: []*client.Vertex{
			{Digest: one, Name: "one", Started: at(10)}, // said twice
			{Digest: two, Name: "two", Started: at(11), Completed: at(11), Cached: true},
		},
		Logs: []*client.VertexLog{{Vertex: one, Data: []byte(", ended\n")}},
	})
	r.add(&client.SolveStatus{Vertexes: []*client.Vertex{{Digest: one, Name: "one", Started: at(10), Completed: at(13)}}})
	r.add(&client.SolveStatus{Vertexes: []*client.Vertex{{Digest: one, Name: "one", Started: at(20), Completed: at(21), Error: "exit code: 1"}}})
	if got, want := strings.Join(events, "; "), "one started; one output; two started; two cached; one output; one completed; one failed"; got != want {
		t.Errorf("events %s, want %s", got, want)
	}
	want := "==> #1 one\nbegun\n==> #2 two\nCACHED\n==> #1 one\n, ended\nDONE 3.0s\nERROR: exit code: 1\n"
	if got := string(r.log.bytes()); got != want {
		t.Errorf("log\n%s, want\n%s", got, want)
	}
	steps := r.steps()
	if len(steps) != 2 || steps[0].Name != "two" || !steps[0].Cached || steps[1].Duration != 4*time.Second {
		t.Errorf("steps %+v", steps)
	}
}

func TestLastLinesAreBounded(t *testing.T) {
	r := newRecorder("a", nil, func(pipeline.Event) {})
	id := digest.FromString("1")
	for i := range 100000 {
		r.output(&client.VertexLog{Vertex: id, Data: fmt.Appendf(nil, "line %d\n", i)})
	}
	r.output(&client.VertexLog{Vertex: id, Data: []byte("\xff end")})
	lines := r.lastLines(id)
	if len(lines) != tailLines || lines[tailLines-1] != "\uFFFD end" || lines[0] != "line 99981" {
		t.Errorf("%d lines, from %q to %q", len(lines), lines[0], lines[len(lines)-1])
	}
	r.output(&client.VertexLog{Vertex: id, Data: bytes.Repeat([]byte("x"), 1<<20)})
	if lines := r.lastLines(id); len(lines) != 1 || len(lines[0]) > 2*tailBytes {
		t.Errorf("%d lines, the first of %d bytes", len(lines), len(lines[0]))
	}
}
