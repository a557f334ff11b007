package layers

import (
	"regexp"
	"strings"

	"github.com/moby/buildkit/solver/pb"
)

// commitRef is a commit in full, at the end of what a Git source names before
// its directory.
var commitRef = regexp.MustCompile(`#[0-9a-f]{40}([0-9a-f]{24})?(:|$)`)

// unpinned says what would pin a source that may give another content each
// time; empty if it is pinned.
func unpinned(src *pb.SourceOp) string {
	switch scheme, _, _ := strings.Cut(src.Identifier, "://"); {
	case (scheme == "http" || scheme == "https") && src.Attrs[pb.AttrHTTPChecksum] == "":
		return "--checksum=sha256:…"
	case scheme == "git" && src.Attrs[pb.AttrGitChecksum] == "" && !commitRef.MatchString(src.Identifier):
		return "--checksum=COMMIT, or the commit after # in the URL"
	}
	return ""
}

// notePinned tells of the sources that no key pins. URLs may hold passwords, so
// the place must do.
func (l *PlannedLayer) notePinned(g *graph) {
	for _, o := range g.ops {
		for _, in := range o.inputs {
			if pin := g.ops[in].unpinned; pin != "" {
				l.note("%s:%d: what this ADD fetches may change with no change of the key: pin it with %s", l.Dockerfile, o.line, pin)
			}
		}
	}
}
