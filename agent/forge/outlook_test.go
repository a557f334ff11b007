package forge

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
)

// known is an outlook by the branch that is merged into.
type known map[layers.Ref][]Touched

func (k known) Touched(_ context.Context, _ agent.Report, into layers.Ref) ([]Touched, bool) {
	all, ok := k[into]
	return all, ok
}

const mainRef layers.Ref = "refs/heads/main"

// cohort are environments as they are found, judged or not.
func cohort(judged bool) []Touched {
	all := []Touched{
		{
			Name: "course-ml/jupyter", Kind: "Deployment", GPUs: 12, Layers: []layers.Name{"bert"}, Verdict: Refused,
			Reason: "bert: needs driver ≥ 580.65.06 (CUDA 13.0: wheel torch-2.9.0+cu130); nodes gpu-3 and gpu-7 have 550.54.14; pin cu126 or upgrade",
			Rolls:  "held",
		},
		{
			Name: "vision/bert", Kind: "LabEnvironment", GPUs: 1, Layers: []layers.Name{"bert"}, Verdict: Unsure,
			Reason: "bert: needs driver ≥ 580.65.06 (CUDA 13.0: wheel torch-2.9.0+cu130); node gpu-9 tells no driver; run GPU Feature Discovery or lab-layers node-probe there",
			Rolls:  "Tue 2026-03-03 02:00 UTC, outside its window (0 2 * * * for 3h)",
		},
		{Name: "vision/docs", Kind: "StatefulSet", Layers: []layers.Name{"bert", "pytorch"}, Verdict: OK},
	}
	for i := range all {
		if !judged {
			all[i].Verdict, all[i].Reason = "", ""
			if all[i].Rolls == "held" {
				all[i].Rolls = ""
			}
		}
	}
	return all
}

// TestProspect holds what comments say of the environments that a merge would
// roll: into main, and into a branch that none follows.
func TestProspect(t *testing.T) {
	eachForge(t, func(t *testing.T, s *standIn, target *Target, _ map[State]string) {
		s.changes = []change{{number: 5, branch: "feature/bert"}, {number: 6, branch: "feature/bert", into: "exam"}, {number: 7, branch: "feature/bert", into: "gone"}}
		of := func(change int64) string {
			for _, c := range s.comments {
				if c.change == change {
					return c.body
				}
			}
			return ""
		}
		target.Outlook = known{mainRef: cohort(false), "refs/heads/exam": nil}
		tell(t, target, report(agent.Building))
		wantText(t, "prospect-building", of(5))
		target.Outlook = known{mainRef: cohort(true), "refs/heads/exam": nil}
		tell(t, target, report(agent.Succeeded))
		wantText(t, "prospect-succeeded", of(5))
		for change, want := range map[int64]string{
			6: "Merging it into `exam` touches no environment.\n",
			7: "Which environments a merge would roll is not known: the cluster could not be asked.\n",
		} {
			if got := of(change); !strings.HasSuffix(got, "\n\n"+want) {
				t.Errorf("of change %d: %s", change, got)
			}
		}
		if len(s.comments) != 3 {
			t.Errorf("%d comments", len(s.comments))
		}
		tell(t, target, report(agent.Failed))
		if got := of(5); strings.Contains(got, "Merging it") {
			t.Errorf("a run that failed: %s", got)
		}
	})
}

// wantText compares a comment with a file.
func wantText(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".md")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
	}
}

// TestLongProspect bounds what is told of a whole university.
func TestLongProspect(t *testing.T) {
	for _, verdict := range []Verdict{"", Refused} {
		var all []Touched
		for i := range 200 {
			all = append(all, Touched{
				Name: fmt.Sprintf("%063d/%0253d", i, i), Kind: "Deployment", GPUs: 1 << 40, Layers: []layers.Name{layers.Name(strings.Repeat("x", 5000))},
				Verdict: verdict, Reason: strings.Repeat("é", 5000), Rolls: strings.Repeat("ü", 5000),
			})
		}
		text := prospect(all, mainRef)
		if n := len([]rune(text)); n > 15_000 || !strings.Contains(text, "touches 200 environments") || !strings.Contains(text, "and 190 more") {
			t.Errorf("%d characters: %.400s", n, text)
		}
	}
}

// TestHostileProspect puts hostile text wherever text from the cluster and from
// images goes, and finds nothing of it outside of code.
func TestHostileProspect(t *testing.T) {
	for _, attack := range attacks {
		for _, verdict := range []Verdict{"", Warned, Refused} {
			one := Touched{Name: attack, Kind: attack, Layers: []layers.Name{layers.Name(attack)}, Verdict: verdict, Reason: attack, Rolls: attack}
			text := prospect([]Touched{one, one}, layers.Ref("refs/heads/"+attack))
			rows := 0
			for line := range strings.Lines(text) {
				if strings.HasPrefix(line, "|") {
					rows++
					if n := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|"); n != 6 {
						t.Errorf("%.20q: a row of %d cells: %s", attack, n-1, line)
					}
				}
			}
			if verdict != "" && rows != 4 {
				t.Errorf("%.20q: %d rows", attack, rows)
			}
			rest := span.ReplaceAllString(text, "")
			if strings.ContainsAny(rest, "`@<>\x00\x1b\\\r#[") || strings.Contains(rest, "://") || strings.Contains(rest, "www.") || strings.Contains(rest, "evil") {
				t.Errorf("%.20q is outside of code: %q", attack, rest)
			}
			if strings.Contains(text, "@everyone") || strings.Contains(text, "<script") || strings.ContainsAny(text, "\u202e\x1b\x00") {
				t.Errorf("%.20q stands as it was", attack)
			}
		}
	}
}
