package forge

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

const commit = layers.Commit("0123456789abcdef0123456789abcdef01234567")

// report is of a run on a feature branch that builds one of three layers.
func report(state agent.State) agent.Report {
	at := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	r := agent.Report{
		Attempt: 1,
		Run: agent.Run{
			ID: 42, State: state, Queued: at, Move: agent.Move{URL: labURL, Ref: "refs/heads/feature/bert", New: commit},
		},
		Layers: []agent.ReportedLayer{
			{Name: "base", Step: layers.Reuse},
			{Name: "pytorch", Step: layers.Reuse},
			{
				Name: "bert", Step: layers.Build, Estimate: 95, Own: 0,
				Reasons: []layers.Reason{{Kind: layers.ReasonPath, Detail: "bert/train.py changed"}},
			},
		},
	}
	if !state.Final() {
		return r
	}
	r.Run.Finished = at.Add(34 * time.Second)
	r.Layers[0].State, r.Layers[1].State = pipeline.Reused, pipeline.Reused
	bert := &r.Layers[2]
	bert.Seconds, bert.Estimate = 31, 0
	switch state {
	case agent.Succeeded:
		bert.State, bert.Own, bert.Image = pipeline.Made, 210_000_000, "registry.example/lab/bert@sha256:00"
	case agent.Failed:
		bert.State = pipeline.Broken
		bert.Error = &agent.Failure{
			Text: "bert/Dockerfile:4: RUN pip install torch: exit code 1", File: "bert/Dockerfile", Line: 4,
			Instruction: "RUN pip install torch", Tail: []string{"Collecting torch", "ERROR: no space left on device"},
		}
		r.Run.Reason = "bert: bert/Dockerfile:4: RUN pip install torch: exit code 1"
	default:
		r.Layers, r.Run.Reason = nil, "overtaken by run 43"
	}
	return r
}

func tell(t testing.TB, target *Target, r agent.Report) {
	t.Helper()
	if err := target.Tell(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

// TestTell follows a run from the queue to its end: its statuses, and one
// comment on each open change of the branch, whatever else there is.
func TestTell(t *testing.T) {
	eachForge(t, func(t *testing.T, s *standIn, target *Target, states map[State]string) {
		target.Link = func(agent.Run) string { return "https://labs.example/runs/42" }
		s.changes = []change{
			{number: 1, branch: "other"}, {number: 2, branch: "feature/bert", fork: true}, {number: 3, branch: "feature/bert", closed: true},
			{number: 4, branch: "main"}, {number: 5, branch: "feature/bert"}, {number: 6, branch: "feature/bert"},
		}
		copied := &remark{id: 90, change: 5, author: 66, body: mark + "\nall is well"}
		s.comments = []*remark{copied, {id: 91, change: 5, author: 66, body: "nice"}, {id: 92, change: 5, author: 67, body: "x " + mark}}
		queued := report(agent.Queued)
		queued.Layers = nil
		tell(t, target, queued)
		if len(s.comments) != 3 {
			t.Error("a run that waits is commented")
		}
		for range 2 {
			tell(t, target, report(agent.Building))
			tell(t, target, report(agent.Failed))
		}
		wanted := []shown{
			{state: states[Waiting], description: "queued"},
			{state: states[Running], description: "1 of 3 layers to build: bert"},
			{state: states[Failure], description: "bert/Dockerfile:4: RUN pip install torch: exit code 1"},
		}
		for i, want := range wanted {
			want.commit, want.context, want.url = string(commit), "lab-layers/feature/bert", "https://labs.example/runs/42"
			if s.statuses[i] != want {
				t.Errorf("status %+v, want %+v", s.statuses[i], want)
			}
		}
		if last := s.statuses[len(s.statuses)-1]; len(s.statuses) != 5 || last != s.statuses[2] {
			t.Errorf("statuses %+v", s.statuses)
		}
		if copied.body != mark+"\nall is well" {
			t.Errorf("somebody else's comment is now %q", copied.body)
		}
		var own []*remark
		for _, c := range s.comments {
			if c.author == ownID {
				own = append(own, c)
			}
		}
		if len(own) != 2 || own[0].change != 5 || own[1].change != 6 {
			t.Fatalf("%d comments of our own: %+v", len(own), own)
		}
		for _, c := range own {
			if c.edits != 3 || !strings.Contains(c.body, "no space left on device") {
				t.Errorf("after %d edits: %s", c.edits, c.body)
			}
		}
	})
}

// TestStates shows each end as what it is.
func TestStates(t *testing.T) {
	overtaken := report(agent.Superseded)
	overtaken.Next, overtaken.NextCommit = 43, "fedcba9876543210fedcba9876543210fedcba98"
	nothing := report(agent.Cancelled)
	nothing.Run.Reason = "nothing to do: no rule of lab-layers.yaml covers refs/heads/feature/bert"
	stopped := report(agent.Cancelled)
	stopped.Run.Reason = "cancelled by hand"
	broken := report(agent.Failed)
	broken.Layers, broken.Run.Reason = nil, "lab-layers.yaml:3:5: no such key\nand more\x1b[31m"
	same := report(agent.Succeeded)
	same.Layers = same.Layers[:2]
	cases := []struct {
		report agent.Report
		state  State
		text   string
	}{
		{report(agent.Succeeded), Success, "1 built, 2 reused in 34 s"},
		{same, Success, "nothing to build: 2 layers as before"},
		{overtaken, Cancelled, "superseded by fedcba987654"},
		{nothing, Success, "nothing to do: no rule of lab-layers.yaml covers refs/heads/feature/bert"},
		{stopped, Cancelled, "cancelled: cancelled by hand"},
		{broken, Failure, "lab-layers.yaml:3:5: no such key and more[31m"},
	}
	eachForge(t, func(t *testing.T, s *standIn, target *Target, states map[State]string) {
		for i, c := range cases {
			tell(t, target, c.report)
			if got := s.statuses[i]; got.state != states[c.state] || got.description != c.text {
				t.Errorf("%s is shown as %+v, want %s: %s", c.report.Run.State, got, c.state, c.text)
			}
		}
	})
}

// TestLaterRuns leaves the status of a commit and the comment to the runs that
// came later.
func TestLaterRuns(t *testing.T) {
	eachForge(t, func(t *testing.T, s *standIn, target *Target, _ map[State]string) {
		s.changes = []change{{number: 5, branch: "feature/bert"}}
		r := report(agent.Failed)
		r.Next = 43
		tell(t, target, r)
		if len(s.statuses) != 1 || len(s.comments) != 0 {
			t.Errorf("with a later run of the ref: %d statuses, %d comments", len(s.statuses), len(s.comments))
		}
		r.Twin = 43
		tell(t, target, r)
		if len(s.statuses) != 1 || len(s.comments) != 0 {
			t.Errorf("with a later run of the commit: %d statuses, %d comments", len(s.statuses), len(s.comments))
		}
		r = report(agent.Succeeded)
		r.Run.Move.Ref = "refs/tags/v1"
		tell(t, target, r)
		if len(s.comments) != 0 || s.statuses[1].context != "lab-layers/refs/tags/v1" {
			t.Errorf("a tag: %+v, %d comments", s.statuses[1], len(s.comments))
		}
		r.Run.Move.URL = "https://elsewhere.example/a/b"
		tell(t, target, r)
		if len(s.statuses) != 2 {
			t.Error("a project of another forge is told")
		}
	})
}

// TestRefusals sorts what a forge answers by whom it concerns and how long to
// wait.
func TestRefusals(t *testing.T) {
	reset := time.Now().Add(30 * time.Minute)
	cases := map[string]struct {
		status   int
		header   map[string]string
		alone    bool
		min, max time.Duration
	}{
		"no such token":  {401, nil, false, 5 * time.Minute, 5 * time.Minute},
		"no right":       {403, nil, true, 0, 0},
		"none such":      {404, nil, true, 0, 0},
		"no such commit": {422, nil, true, 0, 0},
		"moved":          {301, map[string]string{"Location": "/elsewhere"}, true, 0, 0},
		"slow down":      {429, map[string]string{"Retry-After": "120"}, false, 2 * time.Minute, 2 * time.Minute},
		"slow down, 403": {403, map[string]string{"Retry-After": "90"}, false, 90 * time.Second, 90 * time.Second},
		"spent": {403, map[string]string{"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": itoa(reset.Unix())},
			false, 29 * time.Minute, 30 * time.Minute},
		"broken":      {500, nil, false, 0, 0},
		"restarts":    {503, map[string]string{"Retry-After": "30"}, false, 30 * time.Second, 30 * time.Second},
		"wait, a day": {503, map[string]string{"Retry-After": "9999999"}, false, 24 * time.Hour, 24 * time.Hour},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			eachForge(t, func(t *testing.T, s *standIn, target *Target, _ map[State]string) {
				s.fault = func(w http.ResponseWriter, _ *http.Request) bool {
					for key, value := range c.header {
						w.Header().Set(key, value)
					}
					w.WriteHeader(c.status)
					_, _ = w.Write([]byte(`{"message":"so it is"}`))
					return true
				}
				err := target.Tell(t.Context(), report(agent.Succeeded))
				var u *agent.Unheard
				if !errors.As(err, &u) {
					t.Fatalf("error %v", err)
				}
				if u.Alone != c.alone || u.After.Round(time.Second) < c.min || u.After > c.max {
					t.Errorf("alone %v, after %v: %v", u.Alone, u.After, err)
				}
				if strings.Contains(err.Error(), token) {
					t.Errorf("the error shows the token: %v", err)
				}
				if s.asked != 1 {
					t.Errorf("it asked %d times", s.asked)
				}
			})
		})
	}
}

// TestTokenStays sends the token to the forge alone, also where it says that
// something is elsewhere.
func TestTokenStays(t *testing.T) {
	thief := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("the thief is asked %s %s with %q", r.Method, r.URL, r.Header.Get("Authorization"))
	}))
	defer thief.Close()
	eachForge(t, func(t *testing.T, s *standIn, target *Target, _ map[State]string) {
		s.fault = func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, thief.URL+r.URL.Path, http.StatusTemporaryRedirect)
			return true
		}
		if err := target.Tell(t.Context(), report(agent.Succeeded)); err == nil {
			t.Error("it was told")
		}
	})
}

// TestMovedProject follows a project that has another name on the same forge.
func TestMovedProject(t *testing.T) {
	eachForge(t, func(t *testing.T, s *standIn, target *Target, _ map[State]string) {
		target.Projects[labURL] = Project{Host: "forge.example", Owner: "uni", Name: "old"}
		s.fault = func(w http.ResponseWriter, r *http.Request) bool {
			path := r.URL.EscapedPath()
			now := strings.NewReplacer("uni/old", "uni/lab", "uni%2Fold", "uni%2Flab").Replace(path)
			if now == path {
				return false
			}
			http.Redirect(w, r, now+"?"+r.URL.RawQuery, http.StatusTemporaryRedirect)
			return true
		}
		tell(t, target, report(agent.Succeeded))
		if len(s.statuses) != 1 {
			t.Errorf("statuses %+v", s.statuses)
		}
	})
}

// TestManyThings takes no more memory than an answer is long, whatever it lists:
// changes and comments without end, or reasons for a refusal.
func TestManyThings(t *testing.T) {
	many := strings.Repeat("{},", maxBody/3-100) + "{}"
	eachForge(t, func(t *testing.T, s *standIn, target *Target, _ map[State]string) {
		status, answer := http.StatusOK, "["+many+"]"
		s.fault = func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Link", `<`+s.URL+r.URL.Path+`?page=2>; rel="next"`)
			w.WriteHeader(status)
			_, _ = w.Write([]byte(answer))
			return true
		}
		for what, ask := range map[string]func() error{
			"changes": func() error {
				_, err := target.Forge.Changes(t.Context(), target.Projects[labURL], "main")
				return err
			},
			"comments": func() error {
				_, err := target.Forge.Comments(t.Context(), target.Projects[labURL], 1, mark)
				return err
			},
			"reasons": func() error {
				status, answer = http.StatusBadRequest, `{"message":"no","errors":[`+many+`]}`
				defer func() { status, answer = http.StatusOK, "["+many+"]" }()
				_, err := target.Forge.Changes(t.Context(), target.Projects[labURL], "main")
				return err
			},
		} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := ask()
			runtime.ReadMemStats(&after)
			if taken := after.TotalAlloc - before.TotalAlloc; err == nil || taken > 12*maxBody {
				t.Errorf("%s: %d MB of memory, error %v", what, taken>>20, err)
			}
		}
	})
}

// TestRepeatedToken shows no token in an error, though the forge repeats it.
func TestRepeatedToken(t *testing.T) {
	eachForge(t, func(t *testing.T, s *standIn, target *Target, _ map[State]string) {
		for _, status := range []int{400, 401, 403, 500} {
			s.fault = func(w http.ResponseWriter, r *http.Request) bool {
				w.Header().Set("X-RateLimit-Limit", "60")
				w.Header().Set("X-RateLimit-Remaining", "0")
				w.Header().Set("X-RateLimit-Reset", itoa(time.Now().Unix()))
				w.WriteHeader(status)
				_, _ = fmt.Fprintf(w, `{"message":"you sent %s"}`, r.Header.Get("Authorization"))
				return true
			}
			if err := target.Tell(t.Context(), report(agent.Succeeded)); err == nil || strings.Contains(err.Error(), token) || !strings.Contains(err.Error(), "you sent") {
				t.Errorf("%d: %v", status, err)
			}
		}
	})
}

// TestHugeAnswer does not read an answer without end.
func TestHugeAnswer(t *testing.T) {
	eachForge(t, func(t *testing.T, s *standIn, target *Target, _ map[State]string) {
		s.fault = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodGet {
				return false
			}
			line := []byte(`{"number":` + strings.Repeat("1", 1<<20))
			for range 20 {
				if _, err := w.Write(line); err != nil {
					return true
				}
				line = line[10:]
			}
			return true
		}
		if err := target.Tell(t.Context(), report(agent.Succeeded)); err == nil {
			t.Error("it was taken")
		}
	})
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
