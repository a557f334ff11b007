package operator

import (
	"testing"
	"time"

	"github.com/lab-layers/lab-layers/deploy"
)

// TestNews has an environment stand as it did, whoever pins it.
func TestNews(t *testing.T) {
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	pinned := func(by string, since time.Time) *deploy.Pin { return &deploy.Pin{By: by, Since: since} }
	ada, emmy := pinned("ada", at), pinned("emmy", at.Add(time.Second))
	for _, test := range []struct {
		name    string
		was, is deploy.Listed
		want    bool
	}{
		{"nothing", deploy.Listed{Changed: at}, deploy.Listed{Changed: at.In(time.FixedZone("", 3600))}, false},
		{"it stands elsewhere", deploy.Listed{Changed: at}, deploy.Listed{Changed: at.Add(time.Second)}, true},
		{"pinned", deploy.Listed{Changed: at}, deploy.Listed{Changed: at, Pinned: ada}, true},
		{"still pinned", deploy.Listed{Changed: at, Pinned: ada}, deploy.Listed{Changed: at, Pinned: pinned("ada", at)}, false},
		{"pinned by another", deploy.Listed{Changed: at, Pinned: ada}, deploy.Listed{Changed: at, Pinned: emmy}, true},
		{"resumed", deploy.Listed{Changed: at, Pinned: ada}, deploy.Listed{Changed: at}, true},
	} {
		if got := news(test.was, test.is); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}
