package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lab-layers/lab-layers/deploy"
)

func TestResumed(t *testing.T) {
	listed := func(state deploy.State) deploy.Listed {
		return deploy.Listed{Standing: deploy.Standing{Track: "main", State: state, Reason: "its reason"}}
	}
	const already = "follows main already: nothing was to be resumed"
	for state, want := range map[deploy.State]string{
		deploy.Failed: "goes on", deploy.RolledBack: "goes on", deploy.Drifted: "goes on",
		deploy.Held:        "is held by what resume does not go past: its reason",
		deploy.RollingBack: "is going back: resume it once it has, to have its images tried again",
		deploy.Healthy:     already, deploy.Degraded: already, deploy.Waiting: already, deploy.Pending: already, deploy.Rolling: already,
	} {
		if got := resumed(listed(state), deploy.Resumption{}); got != want {
			t.Errorf("one that is %s %s, want %s", state, got, want)
		}
	}
	at := time.Unix(1, 0)
	if got := resumed(listed(deploy.Healthy), deploy.Resumption{Pinned: at}); got != "follows main again; it was pinned since "+at.Format(time.DateTime) {
		t.Errorf("one that was pinned %s", got)
	}
	if got := resumed(listed(deploy.Held), deploy.Resumption{Passed: &deploy.Pass{Gate: "calendar", Reason: "frozen"}}); got != "goes past its calendar gate: frozen" {
		t.Errorf("one that was held %s", got)
	}
}

func TestEnvironmentsNamed(t *testing.T) {
	for names, want := range map[string]string{
		"vision/lab-ada":                             "lab-ada",
		"vision/lab-*":                               "lab-ada lab-kurt",
		"vision/lab-kurt vision/lab-ada":             "lab-ada lab-kurt",
		"vision/lab-ada vision/lab-* vision/lab-ada": "lab-ada lab-kurt",
		"vision/unet vision/lab":                     "",
	} {
		var listed []deploy.Listed
		for _, name := range []string{"lab-ada", "lab-kurt", "unet"} {
			listed = append(listed, deploy.Listed{Standing: deploy.Standing{Environment: deploy.Environment{Namespace: "vision", Kind: deploy.Deployment, Name: name}}})
		}
		found, err := listedAs(listed, strings.Fields(names))
		var got []string
		for _, e := range found {
			got = append(got, e.Environment.Name)
		}
		if strings.Join(got, " ") != want || (err != nil) != (want == "") || err != nil && !errors.As(err, new(inputError)) {
			t.Errorf("%s: %q, %v", names, got, err)
		}
	}
}
