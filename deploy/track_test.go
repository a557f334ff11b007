package deploy

import (
	"strings"
	"testing"

	"github.com/lab-layers/lab-layers/layers"
)

func TestTrack(t *testing.T) {
	var releases []Release
	for run, ref := range []layers.Ref{
		"refs/tags/v2.0.0", "refs/heads/main", "refs/heads/v1", "refs/tags/v1.10.0", "refs/tags/v1.9.1", "refs/tags/v3.0.0-rc1", "refs/tags/vacation", "refs/heads/exam/june",
	} {
		releases = append(releases, Release{Ref: ref, Run: int64(run + 1)})
	}
	for track, want := range map[string]layers.Ref{
		"main": "refs/heads/main", "exam/june": "refs/heads/exam/june", "v1": "refs/heads/v1", "gone": "",
		"v*": "refs/tags/v2.0.0", "v1.*": "refs/tags/v1.10.0", "v*-*": "refs/tags/v3.0.0-rc1", "va*": "refs/tags/vacation",
		"refs/tags/v1.9.1": "refs/tags/v1.9.1", "refs/heads/main": "refs/heads/main",
	} {
		parsed, err := ParseTrack(track)
		if err != nil {
			t.Errorf("%s: %v", track, err)
			continue
		}
		got := layers.Ref("")
		if newest := parsed.Newest(releases); newest != nil {
			got = newest.Ref
		}
		if got != want {
			t.Errorf("%s follows %q, want %q", track, got, want)
		}
	}
	for _, bad := range []string{"", "a b", "refs/heads/*", "a..b", "-\x00"} {
		if parsed, err := ParseTrack(bad); err == nil {
			t.Errorf("%q is taken as %+v", bad, parsed)
		}
	}
}

func TestPick(t *testing.T) {
	all := []Environment{
		{"vision", Deployment, "unet"}, {"vision", CronJob, "unet"}, {"nlp", StatefulSet, "bert"},
		{"class", Deployment, "gpt-emmy"}, {"class", Deployment, "gpt-ada"}, {"other", Deployment, "gpt-kurt"},
	}
	for text, want := range map[string]string{
		"nlp/bert": "nlp/statefulset/bert", "nlp/sts/bert": "nlp/statefulset/bert", "vision/Deployment/unet": "vision/deployment/unet",
		"class/gpt-*": "class/deployment/gpt-ada class/deployment/gpt-emmy", "class/deploy/gpt-e*": "class/deployment/gpt-emmy", "vision/unet*": "vision/cronjob/unet vision/deployment/unet",
	} {
		if picked, err := PickAll(text, all); err != nil || written(picked, " ") != want {
			t.Errorf("%s is %s, %v, want %q", text, picked, err, want)
		}
	}
	if e, err := Pick("nlp/be*", all); err != nil || e != all[2] {
		t.Errorf("one is %s, %v", e, err)
	}
	if e, err := Pick("class/*", all); err == nil || !strings.Contains(err.Error(), "class/deployment/gpt-ada, class/deployment/gpt-emmy: name one") {
		t.Errorf("one of several is %s, %v", e, err)
	}
	for text, want := range map[string]string{
		"vision/unet":     "vision/unet could be vision/cronjob/unet or vision/deployment/unet: name one",
		"nlp/deploy/bert": `there is no environment nlp/deploy/bert; "lab-layers environments" lists them`,
		"bert":            "NAMESPACE/KIND/NAME", "a/b/c/d": "NAMESPACE/KIND/NAME", "nlp/pod/bert": "is no kind of workload",
		"nlp/brt":   "there is no environment nlp/brt; did you mean nlp/bert?",
		"class/gpt": "there is no environment class/gpt; if it is of students, theirs are class/deployment/gpt-ada, class/deployment/gpt-emmy: name one, or all by 'class/gpt-*'",
		"class/b*":  `there is no environment class/b*; "lab-layers environments" lists them`,
	} {
		if picked, err := PickAll(text, all); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is %s, %v, want %q", text, picked, err, want)
		}
	}
}
