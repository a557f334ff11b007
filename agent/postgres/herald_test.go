package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/agent/forge"
	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

// board is a forge that shows statuses and has no open changes.
type board struct {
	mu    sync.Mutex
	shown []posted
}

// posted is one status, in the order in which they came.
type posted struct{ Commit, State, Context, Description string }

func (b *board) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.Method == http.MethodPost {
		p := posted{Commit: r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]}
		if err := json.NewDecoder(r.Body).Decode(&p); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		b.shown = append(b.shown, p)
	}
	_, _ = w.Write([]byte("[]"))
}

func newBoard(t testing.TB) (*board, *forge.Target) {
	t.Helper()
	b := &board{}
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	f := must[forge.Forge](t)(forge.NewGitea(forge.Options{URL: server.URL, Token: func() (string, error) { return "token", nil }}))
	return b, &forge.Target{Forge: f, Label: target, Projects: map[string]forge.Project{labURL: {Host: "git.example", Owner: "uni", Name: "lab"}}}
}

// dying is records whose agent is killed around a call of them.
type dying struct {
	*Store
	mu    sync.Mutex
	left  int // calls until then; below 0 is never
	after bool
	kill  func()
	// called has what became of runs.
	called chan string
}

var errKilled = errors.New("killed")

// call makes a call, or dies before or after it.
func (d *dying) call(do func() error) error {
	d.mu.Lock()
	d.left--
	now := d.left == 0
	dead := d.kill != nil && d.left <= 0 && d.left > -1000
	d.mu.Unlock()
	switch {
	case now:
		defer d.kill()
		if d.after {
			_ = do()
		}
		return errKilled
	case dead:
		return errKilled
	}
	return do()
}

func (d *dying) Untold(ctx context.Context, target string, lease time.Duration, waiting bool, urls ...string) (r *agent.Report, err error) {
	err = d.call(func() error {
		r, err = d.Store.Untold(ctx, target, lease, waiting, urls...)
		return err
	})
	return r, err
}

func (d *dying) Telling(ctx context.Context, target string, lease time.Duration, run agent.RunID) (r *agent.Report, err error) {
	err = d.call(func() error {
		r, err = d.Store.Telling(ctx, target, lease, run)
		return err
	})
	return r, err
}

func (d *dying) Told(ctx context.Context, target string, run agent.RunID, state agent.State) error {
	err := d.call(func() error { return d.Store.Told(ctx, target, run, state) })
	if err == nil {
		d.called <- fmt.Sprintf("told %d %s", run, state)
	}
	return err
}

func (d *dying) Unheard(ctx context.Context, target string, run agent.RunID, after time.Duration) error {
	err := d.call(func() error { return d.Store.Unheard(ctx, target, run, after) })
	if err == nil {
		d.called <- fmt.Sprintf("unheard %d for %v", run, after)
	}
	return err
}

// herald serves until the test ends or the records die.
func herald(t testing.TB, s *Store, left int, after bool, targets ...agent.Target) (h *agent.Herald, d *dying, dead <-chan struct{}) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	d = &dying{Store: s, left: left, after: after, called: make(chan string, 100)}
	if left > 0 {
		d.kill = cancel
	}
	h = &agent.Herald{Records: d, Targets: targets, Repositories: []string{labURL}, Log: slog.New(slog.DiscardHandler)}
	h.Progress() // so that plans may be told from now on
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.Serve(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return h, d, done
}

func wantCalled(t testing.TB, d *dying, want string) {
	t.Helper()
	select {
	case got := <-d.called:
		if got != want {
			t.Fatalf("records say %q, want %q", got, want)
		}
	case <-time.After(time.Minute):
		t.Fatalf("records never say %q", want)
	}
}

// failed is the end of a run by a mistake in bert.
func failed(run agent.Run, images []pipeline.Image) agent.Verdict {
	v := verdict(run, images, "torch")
	v.State, v.Reason, v.Tags = agent.Failed, "bert: bert/Dockerfile:4: RUN x: exit code 1", nil
	v.Outcomes[2] = pipeline.Outcome{Layer: "bert", State: pipeline.Broken, Error: &pipeline.BuildError{
		File: "bert/Dockerfile", Line: 4, Instruction: "RUN x", Err: errors.New("exit code 1")}}
	delete(v.Snapshot.Images, "bert")
	return v
}

// TestKilledHerald kills the agent around each thing that it says to the
// records. The next one tells the end again at the worst, in the same words, and
// nothing else after it.
func TestKilledHerald(t *testing.T) {
	for call := 1; ; call++ {
		died := false
		for _, after := range []bool{false, true} {
			s := newStore(t)
			images := lab(t, s, nil)
			b, forge := newBoard(t)
			run := push(t, s, "refs/heads/main", "", "a")
			mustClaim(t, s, "one")
			h, first, dead := herald(t, s, call, after, forge)
			v := failed(run, images)
			v.Plan.Layers[2].Step = layers.Build
			h.Progress().Plan(run, v.Plan)
			// The end comes while that is told, or was, or not.
			end(t, s, run, v)
			h.Progress().End(run, v)
			for over := false; !over; {
				select {
				case <-dead:
					over, died = true, true
				case said := <-first.called:
					over = said == "told 1 failed"
				case <-time.After(time.Minute):
					t.Fatalf("killed at call %d: it goes on for ever", call)
				}
			}
			lapse(t, s)
			if told := count(t, s, "select count(*) from told where state = 'failed'"); told == 0 {
				_, second, _ := herald(t, s, 0, false, forge)
				wantCalled(t, second, "told 1 failed")
			}
			b.mu.Lock()
			ends := slices.IndexFunc(b.shown, func(p posted) bool { return p.State != "pending" })
			if ends < 0 || len(b.shown)-ends > 2 {
				t.Fatalf("killed at call %d: shown %+v", call, b.shown)
			}
			want := posted{string(commit("a")), "failure", "lab-layers/main", "bert/Dockerfile:4: RUN x: exit code 1"}
			for _, p := range b.shown[ends:] {
				if p != want {
					t.Errorf("killed at call %d: after the end %+v, want %+v", call, p, want)
				}
			}
			b.mu.Unlock()
			wantNoneTaken(t, s)
		}
		if !died {
			if call < 3 {
				t.Fatal("it was never killed")
			}
			return
		}
	}
}

// TestNewerRunDecides tells of a commit only what its newest run says, however
// late the others are told.
func TestNewerRunDecides(t *testing.T) {
	s := newStore(t)
	images := lab(t, s, nil)
	first := push(t, s, "refs/heads/main", "", "a")
	mustClaim(t, s, "one")
	end(t, s, first, failed(first, images))
	second := must[*agent.Run](t)(s.Retry(t.Context(), first.ID))
	mustClaim(t, s, "one")
	end(t, s, *second, verdict(*second, images))
	b, forge := newBoard(t)
	_, d, _ := herald(t, s, 0, false, forge)
	wantCalled(t, d, "told 1 failed")
	wantCalled(t, d, "told 2 succeeded")
	if len(b.shown) != 1 || b.shown[0].State != "success" {
		t.Errorf("shown %+v", b.shown)
	}
}

// says is a target that answers as it is told to.
type says struct {
	name string
	err  error
	// tell is called, unless it is nil.
	tell func(context.Context, agent.Report)
}

func (s says) Name() string { return s.name }

func (s says) Tell(ctx context.Context, r agent.Report) error {
	if s.tell != nil {
		s.tell(ctx, r)
	}
	return s.err
}

// TestSilentTarget holds up neither runs nor other targets.
func TestSilentTarget(t *testing.T) {
	s := newStore(t)
	images := lab(t, s, nil)
	asked := make(chan struct{})
	silent := says{name: "silent", err: context.DeadlineExceeded, tell: func(ctx context.Context, _ agent.Report) {
		close(asked)
		<-ctx.Done()
	}}
	h, d, _ := herald(t, s, 0, false, silent, says{name: "other"})
	before := ""
	for i, name := range []string{"a", "b", "c"} {
		run := push(t, s, "refs/heads/main", before, name)
		before = name
		mustClaim(t, s, "one")
		v := verdict(run, images, "torch")
		h.Progress().Plan(run, v.Plan)
		end(t, s, run, v)
		h.Progress().End(run, v)
		for {
			if said := <-d.called; strings.HasSuffix(said, fmt.Sprintf("%d succeeded", i+1)) {
				break
			}
		}
	}
	<-asked
}

// TestUnheard puts off what a target does not take: for as long as it asks, or
// longer each time.
func TestUnheard(t *testing.T) {
	no := errors.New("no")
	for name, c := range map[string]struct {
		err  error
		want []string
	}{
		"about one run":          {&agent.Unheard{Err: no, Alone: true}, []string{"1m0s", "2m0s"}},
		"about one run, waiting": {&agent.Unheard{Err: no, Alone: true, After: 90 * time.Second}, []string{"1m30s", "2m0s"}},
		"asks to wait":           {&agent.Unheard{Err: no, After: 5 * time.Minute}, []string{"5m0s"}},
		"asks to wait too long":  {&agent.Unheard{Err: no, After: 24 * time.Hour}, []string{"1h0m0s"}},
		"is down":                {no, []string{"2s"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			run := push(t, s, "refs/heads/main", "", "a")
			mustClaim(t, s, "one")
			end(t, s, run, verdict(run, lab(t, s, nil)))
			h, d, _ := herald(t, s, 0, false, says{name: target, err: c.err})
			for _, want := range c.want {
				wantCalled(t, d, "unheard 1 for "+want)
				lapse(t, s)
				h.Progress().End(run, agent.Verdict{}) // looks again
			}
		})
	}
}
