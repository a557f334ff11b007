package web

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/lab-layers/lab-layers/agent"
)

// Told answers a delivery that waits: what came of it so far.
type Told struct {
	Runs []ToldRun `json:"runs"`
}

// ToldRun is one run that a push gave.
type ToldRun struct {
	agent.Run
	// Plan is nil if it is not known yet.
	Plan *Planned `json:"plan,omitempty"`
}

// wakeAndTell wakes, and answers with the runs that the looks found and with
// their plans, as far as they are known within ?wait=, which is a duration.
func (h *handler) wakeAndTell(w http.ResponseWriter, r *http.Request, repositories []string, commits map[string]string) {
	wait, err := time.ParseDuration(r.URL.Query().Get("wait"))
	if err != nil || wait < 0 {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), min(wait, maxWait))
	defer cancel()
	told := Told{Runs: []ToldRun{}}
	for _, repository := range repositories {
		runs, err := h.Waker.WakeAndWait(ctx, repository)
		if err != nil && ctx.Err() == nil {
			h.Log.Debug("a look that was asked for failed", "repository", repository, "error", err)
		}
		for _, run := range runs {
			told.Runs = append(told.Runs, ToldRun{Run: run})
		}
		told.Runs = append(told.Runs, h.earlier(ctx, repository, commits, runs)...)
	}
	for i := range told.Runs {
		told.Runs[i].Plan = h.plan(ctx, told.Runs[i].ID)
	}
	reply(w, http.StatusAccepted, told)
}

// earlier finds the runs of pushed commits that a look before the delivery
// found: the agent polls, too.
func (h *handler) earlier(ctx context.Context, repository string, commits map[string]string, found []agent.Run) (more []ToldRun) {
	if len(commits) == 0 {
		return nil
	}
	runs, err := h.Records.Runs(ctx, 100)
	if err != nil {
		return nil // it is only told
	}
	for _, run := range runs {
		known := slices.ContainsFunc(found, func(f agent.Run) bool { return f.ID == run.ID })
		if !known && run.Move.URL == repository && run.Move.New != "" && commits[string(run.Move.Ref)] == string(run.Move.New) {
			delete(commits, string(run.Move.Ref)) // the newest of a commit
			more = append(more, ToldRun{Run: run.Run})
		}
	}
	return more
}

// plan waits for a run's plan; nil if the run or the time ends without one.
func (h *handler) plan(ctx context.Context, run agent.RunID) *Planned {
	for {
		p, known, over, changed := h.Feed.planned(run)
		switch {
		case known:
			return &p
		case over:
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}
