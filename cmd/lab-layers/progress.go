package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

// liveProgress tells people what goes on, a line for each thing that happened.
func liveProgress(w io.Writer) agent.Progress {
	var mu sync.Mutex // runs go on side by side
	began := map[string]time.Time{}
	return agent.Progress{
		Plan: func(run agent.Run, plan *layers.Plan) {
			mu.Lock()
			defer mu.Unlock()
			fmt.Fprintf(w, "%s %s at %s: %d of %d layers to build\n", oneLine(plan.Repo), oneLine(string(run.Move.Ref)), plan.To.Short(), plan.Builds(), len(plan.Layers))
			for _, l := range plan.Layers {
				if l.Step == layers.Build {
					fmt.Fprintf(w, "%-14s %s\n", l.Name, why(l))
				}
			}
		},
		Build: func(_ agent.Run, e pipeline.Event) {
			mu.Lock()
			defer mu.Unlock()
			step := string(e.Layer) + "\x00" + e.Step
			switch e.State {
			case pipeline.Started:
				began[step] = e.Time
			case pipeline.Cached:
				fmt.Fprintf(w, "%-14s cached  %s\n", e.Layer, cut(e.Step, 90))
				delete(began, step)
			case pipeline.Completed, pipeline.Failed:
				start, ok := began[step]
				if !ok || e.Step == "" || strings.HasPrefix(e.Step, "[internal]") {
					break // BuildKit tells some ends twice
				}
				delete(began, step)
				word := "done   "
				if e.State == pipeline.Failed {
					word = "FAILED "
				}
				fmt.Fprintf(w, "%-14s %s %s (%.1fs)\n", e.Layer, word, cut(e.Step, 90), e.Time.Sub(start).Seconds())
			case pipeline.Output:
				for line := range strings.Lines(printable(string(e.Log))) {
					fmt.Fprintf(w, "%-14s | %s\n", e.Layer, strings.TrimRight(line, "\r\n"))
				}
			}
		},
		End: func(run agent.Run, verdict agent.Verdict) {
			mu.Lock()
			defer mu.Unlock()
			printVerdict(w, run, verdict)
		},
	}
}

// printVerdict says how a run ended.
func printVerdict(w io.Writer, run agent.Run, verdict agent.Verdict) {
	rows := [][]string{{"LAYER", "OUTCOME", "DIGEST", "SECONDS", "OWN BYTES"}}
	for _, out := range verdict.Outcomes {
		row := []string{string(out.Layer), string(out.State), "", "", ""}
		if out.Image != nil {
			row[2] = fmt.Sprintf("%.19s", out.Image.Digest)
			row[4] = bytesOf(ownBytes(out.Image))
		}
		if out.Duration > 0 {
			row[3] = fmt.Sprintf("%.2f", out.Duration.Seconds())
		}
		rows = append(rows, row)
	}
	if len(rows) > 1 {
		_ = table(w, rows...) // a closed terminal is no reason to fail a run
	}
	if len(verdict.Tags) > 0 {
		names := map[string]bool{}
		var list []string
		for _, tag := range verdict.Tags {
			if !names[tag.Name] {
				names[tag.Name] = true
				list = append(list, tag.Name)
			}
		}
		fmt.Fprintf(w, "tagged %s\n", strings.Join(list, ", "))
	}
	if run.ID != 0 {
		fmt.Fprintf(w, "run %d ", run.ID)
	}
	fmt.Fprint(w, verdict.State)
	if verdict.Reason != "" {
		fmt.Fprintf(w, ": %s", printable(verdict.Reason))
	}
	fmt.Fprintln(w)
	for _, out := range verdict.Outcomes {
		printFailure(w, out)
	}
}

func ownBytes(image *pipeline.Image) (n int64) {
	for _, blob := range image.Blobs {
		if blob.Own {
			n += blob.Size
		}
	}
	return n
}

// bytesOf writes a number of bytes for people.
func bytesOf(n int64) string {
	units := []string{"B", "kB", "MB", "GB"}
	value := float64(n)
	i := 0
	for value >= 1000 && i < len(units)-1 {
		value /= 1000
		i++
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", value, units[i])
}
