package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/lab-layers/lab-layers/deploy"
)

func TestTasksAreListed(t *testing.T) {
	at := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	tasks := []deploy.Task{{
		Namespace: "vision", Name: "train", User: "ada\x1b[31m", Layer: "bert", GPUs: 2, State: deploy.TaskQueued,
		Reason: "exceeded quota: gpus", TaskTimes: deploy.TaskTimes{Submitted: at},
	}, {
		Namespace: "vision", Name: "done", User: "ada", Layer: "bert", State: deploy.TaskSucceeded,
		TaskTimes: deploy.TaskTimes{Submitted: at, Scheduled: at.Add(3 * time.Second), Started: at.Add(10 * time.Second), Finished: at.Add(time.Hour), Released: at.Add(time.Hour)},
	}}
	var out bytes.Buffer
	if err := printTasks(&out, listFormat{"table"}, tasks); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"vision/train", "exceeded quota: gpus", "2026-03-01 09:00:00  3s", "7s", "59m50s", "0s"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	if strings.ContainsFunc(out.String(), plays) {
		t.Errorf("%q", out.String())
	}
	out.Reset()
	if err := printTasks(&out, listFormat{"json"}, tasks); err != nil {
		t.Fatal(err)
	}
	var first, second map[string]any
	decoder := json.NewDecoder(&out)
	if err := decoder.Decode(&first); err != nil {
		t.Fatal(err)
	}
	if err := decoder.Decode(&second); err != nil {
		t.Fatal(err)
	}
	if _, ok := first["run_seconds"]; ok || first["state"] != "queued" || first["finished"] != nil {
		t.Errorf("what waits is %v", first)
	}
	if second["scheduling_seconds"] != 3.0 || second["initialisation_seconds"] != 7.0 || second["run_seconds"] != 3590.0 || second["reclaim_seconds"] != 0.0 {
		t.Errorf("what is done is %v", second)
	}
}
