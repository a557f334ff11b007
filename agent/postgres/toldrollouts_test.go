package postgres

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/agent/notify"
	"github.com/lab-layers/lab-layers/deploy"
)

// lapseRollouts makes all leases and pauses of telling end.
func lapseRollouts(t testing.TB, s *Store) {
	execute(t, s, "update told_rollouts set not_before = now() - interval '1 s'")
}

// TestUntoldRollout follows rollouts from their begin to their end being told.
func TestUntoldRollout(t *testing.T) {
	s := newStore(t)
	build(t, s, "refs/heads/main", "", "a", nil, "bert")
	begin := func(r deploy.Rollout) deploy.Rollout {
		t.Helper()
		return must[deploy.Rollout](t)(s.Begin(t.Context(), r))
	}
	advance := func(r deploy.Rollout, to deploy.State, reason string) deploy.Rollout {
		t.Helper()
		return must[deploy.Rollout](t)(s.Advance(t.Context(), r, to, reason))
	}
	take := func(wants ...int64) (r *agent.RolloutReport) {
		t.Helper()
		r = must[*agent.RolloutReport](t)(s.UntoldRollout(t.Context(), target, time.Minute, labURL))
		if r == nil && len(wants) == 0 || r != nil && len(wants) == 1 && r.ID == wants[0] {
			return r
		}
		t.Fatalf("took %+v, want %v", r, wants)
		return nil
	}
	told := func(r deploy.Rollout, state string) {
		t.Helper()
		if err := s.ToldRollout(t.Context(), target, r.ID, state); err != nil {
			t.Fatal(err)
		}
	}
	// One that never began is nobody's business.
	begin(rolls("x", "0"))
	first := begin(rolls("x", "a"))
	take()
	first = advance(first, deploy.Held, "not now")
	take()
	first = advance(first, deploy.Rolling, "0 of 3 replaced")
	r := take(first.ID)
	if r.State != "rolling" || r.Ended || r.Reason != "" || r.Attempt != 1 || r.Started.IsZero() || r.Environment != unet.String() || r.Run != 1 || r.Commit != commit("a") ||
		len(r.Images) != 1 || r.Images[0].FromDigest != string(sum("x")) || r.Images[0].ToDigest != string(sum("a")) {
		t.Errorf("told %+v", r)
	}
	take() // it is taken
	other := rolls("x", "a")
	other.Environment.Name = "resnet50"
	other = advance(begin(other), deploy.Rolling, "")
	take(other.ID)
	told(other, "rolling")
	// The one who took the first was killed, and it went on meanwhile.
	first = advance(first, deploy.RollingBack, "it crashes")
	lapseRollouts(t, s)
	if r := take(first.ID); r.Attempt != 2 || r.State != "rolling" || r.Reason != "" {
		t.Errorf("told %+v", r)
	}
	if err := s.UnheardRollout(t.Context(), target, first.ID, time.Hour); err != nil {
		t.Fatal(err)
	}
	take() // put off
	first = advance(first, deploy.RolledBack, "it crashes")
	lapseRollouts(t, s)
	if r := take(first.ID); r.State != "rolled-back" || !r.Ended || r.Reason != "it crashes" || r.Finished.IsZero() {
		t.Errorf("told %+v", r)
	}
	told(first, "rolled-back")
	take()
	// Others are told for themselves, and of their repositories alone.
	if r := must[*agent.RolloutReport](t)(s.UntoldRollout(t.Context(), "other", time.Minute, labURL)); r == nil || r.ID != first.ID || r.Attempt != 1 {
		t.Errorf("the other target is told %+v", r)
	}
	if r := must[*agent.RolloutReport](t)(s.UntoldRollout(t.Context(), "third", time.Minute, "https://elsewhere")); r != nil {
		t.Errorf("a repository that is not watched gives %+v", r)
	}
	execute(t, s, "update rollouts set finished = now() - interval '25 hours' where id = $1", first.ID)
	if r := must[*agent.RolloutReport](t)(s.UntoldRollout(t.Context(), "fourth", time.Minute, labURL)); r == nil || r.ID != other.ID {
		t.Errorf("what ended long ago is told: %+v", r)
	}
}

// TestSettledRollouts: where all was told, little is gone through again, and nothing is
// left out.
func TestSettledRollouts(t *testing.T) {
	s := newStore(t)
	build(t, s, "refs/heads/main", "", "a", nil, "bert")
	end := func(name, ago string) deploy.Rollout {
		t.Helper()
		r := rolls("x", "a")
		r.Environment.Name = name
		r = must[deploy.Rollout](t)(s.Begin(t.Context(), r))
		r = must[deploy.Rollout](t)(s.Advance(t.Context(), r, deploy.Rolling, ""))
		r = must[deploy.Rollout](t)(s.Advance(t.Context(), r, deploy.Healthy, ""))
		execute(t, s, "update rollouts set finished = now() - $2::interval where id = $1", r.ID, ago)
		return r
	}
	take := func(want int64, urls ...string) {
		t.Helper()
		if r := must[*agent.RolloutReport](t)(s.UntoldRollout(t.Context(), target, time.Minute, urls...)); r == nil && want != 0 || r != nil && r.ID != want {
			t.Fatalf("took %+v, want %d", r, want)
		}
	}
	told := func(r deploy.Rollout) {
		t.Helper()
		if err := s.ToldRollout(t.Context(), target, r.ID, "healthy"); err != nil {
			t.Fatal(err)
		}
	}
	early, late := end("early", "2 hours"), end("late", "1 hour")
	since := func() time.Duration {
		t.Helper()
		return time.Since(*s.settledRollouts(target).since).Truncate(10 * time.Minute)
	}
	take(0, "https://elsewhere")
	if got := since(); got != 2*time.Hour {
		t.Errorf("what is left to tell to another may have ended %v ago", got)
	}
	take(early.ID, labURL)
	told(early)
	take(late.ID, labURL)
	if err := s.UnheardRollout(t.Context(), target, late.ID, time.Hour); err != nil {
		t.Fatal(err)
	}
	take(0, labURL)
	if got := since(); got != time.Hour {
		t.Errorf("what is put off may have ended %v ago", got)
	}
	lapseRollouts(t, s)
	take(late.ID, labURL)
	told(late)
	take(0, labURL)
	if got := since(); got != settledAfter {
		t.Errorf("where all was told, what is left may have ended %v ago", got)
	}
	// One that is seen late is told of, and one that was seen out of all time later.
	slow := end("slow", "9 minutes")
	take(slow.ID, labURL)
	told(slow)
	lost := end("lost", "3 hours")
	take(0, labURL)
	s.settled[target] = settled{since: s.settled[target].since, swept: time.Now().Add(-sweepEvery)}
	take(lost.ID, labURL)
}

// noting passes on what targets were told.
type noting struct {
	*Store
	told chan string
}

func (n noting) ToldRollout(ctx context.Context, target string, rollout int64, state string) error {
	err := n.Store.ToldRollout(ctx, target, rollout, state)
	n.told <- state
	return err
}

// TestHeraldOfRollouts has an endpoint told of a rollout's begin and end, and told
// again where it is not known whether it was.
func TestHeraldOfRollouts(t *testing.T) {
	s := newStore(t)
	build(t, s, "refs/heads/main", "", "a", nil, "bert")
	type event struct {
		ID, Type, Subject, Source string
		Data                      agent.RolloutReport
	}
	bodies := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies <- string(body)
	}))
	t.Cleanup(server.Close)
	told := must[*notify.Target](t)(notify.New(server.URL, nil, nil))
	noted := noting{s, make(chan string, 10)}
	h := &agent.Herald{Records: s, Rollouts: noted, Targets: []agent.Target{told}, Repositories: []string{labURL}, Log: slog.New(slog.DiscardHandler)}
	rollout := must[deploy.Rollout](t)(s.Begin(t.Context(), rolls("x", "a")))
	rollout = must[deploy.Rollout](t)(s.Advance(t.Context(), rollout, deploy.Rolling, "0 of 3"))
	go h.Serve(t.Context())
	next := func() (text string, e event) {
		t.Helper()
		for {
			select {
			case text = <-bodies:
			case <-time.After(time.Minute):
				t.Fatal("nothing is told")
			}
			if err := json.Unmarshal([]byte(text), &e); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
			if e.Subject == unet.String() {
				return text, e
			}
		}
	}
	if _, e := next(); e.Type != "dev.lab-layers.rollout.begun" || e.Source != labURL || e.Data.State != "rolling" {
		t.Errorf("told %+v", e)
	}
	rollout = must[deploy.Rollout](t)(s.Advance(t.Context(), rollout, deploy.Healthy, ""))
	h.Wake()
	first, e := next()
	if e.Type != "dev.lab-layers.rollout.finished" || e.Data.State != "healthy" || e.Data.ID != rollout.ID || e.Data.Images[0].ToDigest != string(sum("a")) || e.Data.Commit != commit("a") {
		t.Errorf("told %+v", e)
	}
	// As if it had been killed before it noted that.
	for state := range noted.told {
		if state == "healthy" {
			break
		}
	}
	execute(t, s, "update told_rollouts set state = 'rolling', busy = true, attempt = 1, not_before = now() - interval '1 s'")
	h.Wake()
	if again, _ := next(); again != first {
		t.Errorf("told again\n%s\nnot\n%s", again, first)
	}
}
