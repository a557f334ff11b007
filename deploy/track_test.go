package deploy

import (
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
	all := []Environment{{"vision", Deployment, "unet"}, {"vision", CronJob, "unet"}, {"nlp", StatefulSet, "bert"}}
	for text, want := range map[string]string{
		"nlp/bert": "nlp/statefulset/bert", "nlp/sts/bert": "nlp/statefulset/bert", "vision/Deployment/unet": "vision/deployment/unet",
		"vision/unet": "", "nlp/deploy/bert": "", "bert": "", "a/b/c/d": "", "nlp/pod/bert": "",
	} {
		e, err := Pick(text, all)
		if (err == nil) != (want != "") || err == nil && e.String() != want {
			t.Errorf("%s is %s, %v, want %q", text, e, err, want)
		}
	}
}
