package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/layers"
)

// TestListsEndWithTheLine: the last column alone is shortened, and only where a
// terminal shows it.
func TestListsEndWithTheLine(t *testing.T) {
	why := strings.Repeat("é", 200)
	for line, want := range map[int]int{0: 200, 80: 67, 300: 200, 10: leastWhy} {
		rows := [][]string{{"NAME", "N", "WHY"}, {"resnet5\n", "1", why}, {"x", "", "short"}}
		fit(rows, line)
		if got := len([]rune(rows[1][2])); got != want || rows[2][2] != "short" {
			t.Errorf("of %d characters it has %d, not %d", line, got, want)
		}
	}
	e := deploy.Listed{Standing: deploy.Standing{
		Environment: deploy.Environment{Namespace: "vision", Kind: "deployment", Name: "unet"}, Reason: why,
		Commit: layers.Commit(strings.Repeat("c", 40)), Images: []deploy.Image{{Layer: "unet", To: "registry.example/unet@sha256:" + strings.Repeat("d", 64)}},
		Nodes: &deploy.Nodes{Eligible: 12, Holding: 9, Missing: []string{"gpu-3", "gpu-7"}},
	}}
	for format, want := range map[string][]string{
		"table": {strings.Repeat("c", 12) + "  unet " + strings.Repeat("d", 12) + "  9/12  ", why},
		"wide":  {strings.Repeat("c", 40), "unet@sha256:" + strings.Repeat("d", 64), "9 of 12; not on gpu-3, gpu-7 and 1 more", why},
	} {
		var output listFormat
		if err := output.Set(format); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		heading := strings.Split("ENVIRONMENT STATE TRACK COMMIT IMAGES NODES PINNED REASON", " ")
		row := func(e deploy.Listed) []string { return environmentRow(e, output.wide()) }
		if err := printList(&b, output, heading, []deploy.Listed{e}, row); err != nil {
			t.Fatal(err)
		}
		for _, text := range want {
			if !strings.Contains(b.String(), text) {
				t.Errorf("%q is not in\n%s", text, b.String())
			}
		}
	}
	if err := new(listFormat).Set("yaml"); err == nil {
		t.Error("it takes yaml")
	}
}
