package forge

import (
	"context"
	"fmt"
	"strings"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
)

// Outlook knows what a merge would roll.
type Outlook interface {
	// Touched returns the environments that would get other images were the
	// commit of a run merged into a branch, those first of which there is most to
	// say. It takes some seconds at the most; known is false if it could not be
	// found out.
	Touched(ctx context.Context, r agent.Report, into layers.Ref) (all []Touched, known bool)
}

// Touched is an environment that a merge would roll.
type Touched struct {
	// Name is NAMESPACE/NAME.
	Name string
	Kind string
	// GPUs that all its pods together ask for.
	GPUs   int64
	Layers []layers.Name
	// Verdict on whether the images run on its nodes; empty while they are not
	// built. Reason says why.
	Verdict Verdict
	Reason  string
	// Rolls says when it would; empty is at once.
	Rolls string
}

// Verdict is a word for people.
type Verdict string

// The verdicts, the gravest first.
const (
	Refused Verdict = "refused"
	Unsure  Verdict = "unknown"
	Warned  Verdict = "warned"
	OK      Verdict = "ok"
)

// maxTouched bounds the environments that are named.
const maxTouched = 10

// outlook tells what a merge of a run's commit would roll. A run that did not
// succeed releases nothing.
func (t *Target) outlook(ctx context.Context, r agent.Report, into layers.Ref) string {
	switch r.Run.State {
	case agent.Building, agent.Deploying, agent.Succeeded:
	default:
		return ""
	}
	if t.Outlook == nil || into == r.Run.Move.Ref {
		return ""
	}
	all, known := t.Outlook.Touched(ctx, r, into)
	if !known {
		return "\nWhich environments a merge would roll is not known: the cluster could not be asked.\n"
	}
	return prospect(all, into)
}

func prospect(all []Touched, into layers.Ref) string {
	begin := fmt.Sprintf("\nMerging it into %s touches ", code(short(into), 100))
	if len(all) == 0 {
		return begin + "no environment.\n"
	}
	verdicts := map[Verdict]int{}
	for _, t := range all {
		verdicts[t.Verdict]++
	}
	begin += count(len(all), "environment") + ": "
	if verdicts[""] == len(all) {
		return begin + named(all) + ".\n"
	}
	var counted []string
	for _, v := range []Verdict{Refused, Unsure, Warned, OK} {
		if n := verdicts[v]; n > 0 {
			counted = append(counted, fmt.Sprintf("%d %s", n, v))
		}
	}
	text := begin + strings.Join(counted, ", ") + ".\n" + touchedTable(all)
	if verdicts[Refused] > 0 {
		text += "\nWhat is refused keeps its present images until that is mended.\n"
	}
	return text
}

// named lists environments in a sentence.
func named(all []Touched) string {
	var names []string
	for i, t := range all {
		if i == maxTouched {
			names = append(names, fmt.Sprintf("and %d more", len(all)-maxTouched))
			break
		}
		name := code(t.title(), maxTitle)
		if t.Rolls != "" {
			name += " (" + code(t.Rolls, maxReason) + ")"
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

func touchedTable(all []Touched) string {
	var b strings.Builder
	b.WriteString("\n| environment | layers | driver and GPU | rolls | why |\n| --- | --- | --- | --- | --- |\n")
	for i, t := range all {
		if i == maxTouched {
			fmt.Fprintf(&b, "| … and %d more | | | | |\n", len(all)-maxTouched)
			break
		}
		verdict, rolls := string(t.Verdict), "on merge"
		if t.Verdict == Refused {
			verdict = "**refused**"
		}
		if t.Rolls != "" {
			rolls = cell(t.Rolls, maxReason)
		}
		var names []string
		for _, l := range t.Layers {
			names = append(names, string(l))
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", cell(t.title(), maxTitle), cell(strings.Join(names, ", "), maxReason), verdict, rolls, cell(t.Reason, maxVerdict))
	}
	return b.String()
}

const (
	maxTitle   = 350 // a namespace and a name are 317 at the most
	maxVerdict = 400
)

// title is an environment with what it is.
func (t Touched) title() string {
	text := t.Name + " (" + t.Kind
	if t.GPUs > 0 {
		text += ", " + count(int(t.GPUs), "GPU")
	}
	return text + ")"
}

func branchRef(name string) layers.Ref { return layers.Ref("refs/heads/" + name) }
