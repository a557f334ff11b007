package operator

import (
	"context"
	"fmt"
	"testing"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/layers"
)

// asked counts what the records are asked.
type asked struct {
	TaskRecords
	refs           []layers.Ref
	named, release int
}

func (a *asked) ReleasedRefs(context.Context, string) ([]layers.Ref, error) {
	a.named++
	return a.refs, nil
}

func (a *asked) Releases(_ context.Context, _ string, refs []layers.Ref, tags bool) ([]deploy.Release, error) {
	if len(refs) != 1 || tags {
		return nil, fmt.Errorf("asked for %q, of all tags %v", refs, tags)
	}
	a.release++
	return []deploy.Release{{Ref: refs[0], Images: map[layers.Name]string{"bert": "vision/bert"}}}, nil
}

// TestHints has many tasks wait, each for a track of its own.
func TestHints(t *testing.T) {
	records := &asked{refs: []layers.Ref{"refs/tags/v2", "refs/heads/main"}}
	for i := range 100 {
		records.refs = append(records.refs, layers.Ref(fmt.Sprintf("refs/tags/exam%d", i)))
	}
	h := &hints{records: records, repositories: map[string]*hinted{}}
	meant := func(track string) string {
		t.Helper()
		parsed, err := deploy.ParseTrack(track)
		if err != nil {
			t.Fatal(err)
		}
		text, err := h.meant(t.Context(), "https://git.example/vision", parsed, "brt")
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	const layer = "; did you mean bert?"
	for look := range 3 {
		if got := meant("v*"); got != layer {
			t.Errorf("of v* it says %q", got)
		}
		for i := range 100 {
			want := layer
			if i >= maxHinted-1 {
				want = "" // there is such a ref
			}
			if got := meant(fmt.Sprintf("exam%d*", i)); got != want {
				t.Errorf("look %d: of exam%d* it says %q, not %q", look, i, got, want)
			}
		}
		if got := meant("mian"); got != "; did you mean main?" {
			t.Errorf("of mian it says %q", got)
		}
		if got := meant("project-*"); got != "; 102 other refs have images" {
			t.Errorf("of project-* it says %q", got)
		}
		h.renew()
	}
	if records.named != 3 || records.release != 3*maxHinted {
		t.Errorf("the records were asked %d times for refs, %d times for a release", records.named, records.release)
	}
	for range hintedFor {
		h.renew()
	}
	if got := meant("exam99*"); got != layer {
		t.Errorf("where others ask no more it says %q", got)
	}
}
