package postgres

import (
	"slices"
	"testing"
	"time"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/agent/cleanup"
	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/layers"
)

// TestSubmission asks what refs had at moments of the past.
func TestSubmission(t *testing.T) {
	s := newStore(t)
	const main, v1, v2 layers.Ref = "refs/heads/main", "refs/tags/v1", "refs/tags/v2"
	now := func() (at time.Time) {
		t.Helper()
		if err := s.pool.QueryRow(t.Context(), "select clock_timestamp()").Scan(&at); err != nil {
			t.Fatal(err)
		}
		return at
	}
	before := now()
	first := build(t, s, main, "", "a", map[string]string{"bert": "1"}, "bert")
	atFirst := now()
	second := build(t, s, main, "a", "b", map[string]string{"bert": "2"}, "bert")
	build(t, s, v1, "", "a", map[string]string{"bert": "1"})
	build(t, s, v2, "", "b", map[string]string{"bert": "2"})
	atSecond := now()
	// The same commit again, with another image: its snapshot gets that one.
	repository := must[agent.RepositoryID](t)(s.Repository(t.Context(), labURL))
	must[*agent.Run](t)(s.Again(t.Context(), agent.Move{Repository: repository, URL: labURL, Ref: main, New: commit("b")}))
	run := mustClaim(t, s, "one")
	third := verdict(run, lab(t, s, map[string]string{"bert": "3"}), "bert")
	if err := s.Finish(t.Context(), run, third); err != nil {
		t.Fatal(err)
	}
	must[[]agent.Run](t)(s.Record(t.Context(), []agent.Move{{Repository: repository, URL: labURL, Ref: v2, Old: commit("b")}}))
	atThird := now()

	mains, err := deploy.ParseTrack("main")
	if err != nil {
		t.Fatal(err)
	}
	versions, err := deploy.ParseTrack("v*")
	if err != nil {
		t.Fatal(err)
	}
	type chosen struct {
		ref layers.Ref
		run agent.RunID
	}
	for name, c := range map[string]struct {
		track       deploy.Track
		layer       layers.Name
		moment      time.Time
		then, since chosen
	}{
		"nothing yet":       {mains, "bert", before, chosen{}, chosen{main, first.run.ID}},
		"the first":         {mains, "bert", atFirst, chosen{main, first.run.ID}, chosen{main, second.run.ID}},
		"the second":        {mains, "bert", atSecond, chosen{main, second.run.ID}, chosen{main, run.ID}},
		"the third":         {mains, "bert", atThird, chosen{main, run.ID}, chosen{}},
		"no such layer":     {mains, "unet", atThird, chosen{main, run.ID}, chosen{}},
		"no tag yet":        {versions, "bert", atFirst, chosen{}, chosen{v1, second.run.ID + 1}},
		"the highest tag":   {versions, "bert", atSecond, chosen{v2, second.run.ID + 2}, chosen{}},
		"one that was gone": {versions, "bert", atThird, chosen{v1, second.run.ID + 1}, chosen{}},
	} {
		refs, tags := c.track.Refs()
		sub := must[deploy.Submission](t)(s.Submission(t.Context(), labURL, refs, tags, c.layer, c.moment))
		told := func(i *deploy.LayerImage) (c chosen) {
			if i != nil {
				c = chosen{i.Ref, agent.RunID(i.Run)}
				if i.Recorded.IsZero() || i.Lost {
					t.Errorf("%s: %+v", name, i)
				}
			}
			return c
		}
		then := sub.At(c.track)
		if told(then) != c.then || told(sub.First(c.track)) != c.since {
			t.Errorf("%s: %+v", name, sub)
		}
		if then != nil && (then.Image == "") != (c.layer == "unet") {
			t.Errorf("%s has image %q", name, then.Image)
		}
	}

	// What the registry lost is told; a digest is known as that of its layer alone.
	image := second.Snapshot.Images["bert"]
	if got := must[*deploy.LayerImage](t)(s.LayerImage(t.Context(), labURL, "bert", image.Digest)); got == nil || got.Digest() != image.Digest || got.Commit != commit("b") || got.Lost {
		t.Errorf("the image is %+v", got)
	}
	for _, c := range []struct {
		url   string
		layer layers.Name
	}{{labURL, "gpt"}, {"https://git.example/other.git", "bert"}} {
		if got := must[*deploy.LayerImage](t)(s.LayerImage(t.Context(), c.url, c.layer, image.Digest)); got != nil {
			t.Errorf("%s of %s has it: %+v", c.layer, c.url, got)
		}
	}
	if err := s.Forget(t.Context(), image.Key, image.Digest); err != nil {
		t.Fatal(err)
	}
	sub := must[deploy.Submission](t)(s.Submission(t.Context(), labURL, []layers.Ref{main}, false, "bert", atSecond))
	if then := sub.At(mains); then == nil || then.Digest() != image.Digest || !then.Lost {
		t.Errorf("what was lost is %+v", then)
	}
}

func TestTasks(t *testing.T) {
	s := newStore(t)
	v := build(t, s, "refs/heads/main", "", "a", map[string]string{"bert": "1"}, "bert")
	bert := v.Snapshot.Images["bert"].Digest
	at := time.Now().Truncate(time.Second)
	task := deploy.Task{
		Namespace: "vision", Name: "train", UID: "1", User: "ada\x00", Repository: labURL, Layer: "bert", Track: "main", GPUs: 2, Queue: "ada",
		State: deploy.TaskWaiting, Reason: "main has no image of bert", TaskTimes: deploy.TaskTimes{Submitted: at},
	}
	record := func(task deploy.Task) {
		t.Helper()
		for range 2 { // as after an answer that was lost
			if err := s.RecordTask(t.Context(), task); err != nil {
				t.Fatal(err)
			}
		}
	}
	open := func() []deploy.Task { t.Helper(); return must[[]deploy.Task](t)(s.OpenTasks(t.Context())) }
	used := func() (open, ended bool) {
		for _, u := range must[cleanup.Estate](t)(s.Estate(t.Context())).Running {
			open, ended = open || u.Digest == bert && u.Gone.IsZero(), ended || u.Digest == bert && !u.Gone.IsZero()
		}
		return open, ended
	}
	record(task)
	if all := open(); len(all) != 1 || all[0].User != "ada\uFFFD" || all[0].Digest != "" {
		t.Errorf("the open tasks are %+v", all)
	}
	task.User, task.Digest, task.Ref, task.Commit, task.Run = "ada\uFFFD", bert, "refs/heads/main", commit("a"), int64(v.run.ID)
	task.State, task.Reason, task.Attempts = deploy.TaskRunning, "", 1
	task.Admitted, task.Scheduled, task.Started = at.Add(time.Second), at.Add(2*time.Second), at.Add(3*time.Second)
	record(task)
	if is, was := used(); !is || was {
		t.Errorf("clean-up knows its image as used %t, as used before %t", is, was)
	}
	task.State, task.Finished, task.Released = deploy.TaskSucceeded, at.Add(time.Minute), at.Add(time.Minute+time.Second)
	record(task)
	if is, was := used(); is || !was || len(open()) != 0 {
		t.Errorf("after its end clean-up knows its image as used %t, as used before %t", is, was)
	}
	stale := task
	stale.State = deploy.TaskRunning
	record(stale)
	got := must[[]deploy.Task](t)(s.Tasks(t.Context(), "", "", 10))
	if len(got) != 1 || !got[0].Released.Equal(task.Released) || got[0].State != deploy.TaskSucceeded {
		t.Fatalf("the tasks are %+v", got)
	}
	if d := got[0].Durations(); *d.Scheduling != 2*time.Second || *d.Initialisation != time.Second || *d.Run != 57*time.Second || *d.Reclaim != time.Second {
		t.Errorf("the durations are %+v", d)
	}
	if n := count(t, s, "select count(*) from task_times where run_time = '57 seconds' and reclaim_time = '1 second' and scheduling_delay = '2 seconds'"); n != 1 {
		t.Errorf("%d such tasks in the view", n)
	}

	trace := must[*Trace](t)(s.Trace(t.Context(), string(bert)))
	if len(trace.Tasks) != 1 || trace.Tasks[0].Name != "train" {
		t.Errorf("the trace of its image has %+v", trace.Tasks)
	}

	// One that is made anew under the name ends the one before, which was deleted.
	next := task
	next.UID, next.State, next.Finished, next.Released = "2", deploy.TaskRunning, time.Time{}, time.Time{}
	record(next)
	next.UID = "3"
	record(next)
	if all := open(); len(all) != 1 || all[0].UID != "3" {
		t.Errorf("the open tasks are %+v", all)
	}
	for range 2 {
		if err := s.TaskGone(t.Context(), "vision", "train"); err != nil {
			t.Fatal(err)
		}
		for _, uid := range []string{"1", "3", "\x00"} {
			for _, end := range []struct {
				namespace string
				at        time.Time
			}{{"nlp", at.Add(time.Minute)}, {"vision", at.Add(time.Hour)}} { // its own alone counts
				if err := s.TaskEnds(t.Context(), end.namespace, uid, end.at); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	got = must[[]deploy.Task](t)(s.Tasks(t.Context(), "", "", 2))
	states := []deploy.TaskState{got[0].State, got[1].State}
	if !slices.Equal(states, []deploy.TaskState{deploy.TaskDeleted, deploy.TaskDeleted}) || got[0].UID != "3" || !got[0].Finished.Equal(at.Add(time.Hour)) || !got[1].Finished.IsZero() {
		t.Errorf("the tasks are %+v", got)
	}
	if of := must[[]deploy.Task](t)(s.Tasks(t.Context(), "vision", "ada\uFFFD", 10)); len(of) != 3 {
		t.Errorf("the user's are %+v", of)
	}
	if of := must[[]deploy.Task](t)(s.Tasks(t.Context(), "nlp", "", 10)); len(of) != 0 {
		t.Errorf("elsewhere are %+v", of)
	}
	if all := must[[]deploy.Task](t)(s.Tasks(t.Context(), "", "", 3)); !all[2].Finished.Equal(task.Finished) {
		t.Errorf("what had ended is %+v", all[2])
	}

	// One that was submitted before all others, and seen after them.
	late := task
	late.Name, late.UID, late.Submitted = "late", "4", at.Add(-time.Hour)
	record(late)
	if all := must[[]deploy.Task](t)(s.Tasks(t.Context(), "", "", 10)); len(all) != 4 || all[0].UID != "3" || all[3].UID != "4" {
		t.Errorf("by submission they are %+v", all)
	}
}
