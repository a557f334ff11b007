package layers

import "fmt"

// Plan is what one commit means: every layer in dependency order.
type Plan struct {
	Repo   string          `json:"repo"`
	From   Commit          `json:"from"`
	To     Commit          `json:"to"`
	Layers []*PlannedLayer `json:"layers"`

	outside Outside // as it answered the planner
	salt    string  // that is in every key
}

// Step is what is to be done about a layer.
type Step string

// The steps. Absent says that the commit does not have the layer's Dockerfile.
const (
	Reuse  Step = "reuse"
	Build  Step = "build"
	Absent Step = "absent"
)

// PlannedLayer is one layer of a plan.
type PlannedLayer struct {
	Name        Name     `json:"name"`
	Kind        Kind     `json:"kind"`
	Parent      *Name    `json:"parent"`
	Context     string   `json:"context"`
	Dockerfile  string   `json:"dockerfile"`
	Target      string   `json:"target"`
	Key         Key      `json:"key"`
	PreviousKey Key      `json:"previous_key"`
	Step        Step     `json:"step"`
	Reasons     []Reason `json:"reasons"`
	// ChangedPaths are the files that moved among those the layer reads.
	ChangedPaths []string `json:"changed_paths"`
	// RebuildFrom is the first instruction whose inputs moved: where BuildKit
	// will leave its cache, if it still has the steps before.
	RebuildFrom *Instruction `json:"rebuild_from,omitempty"`
	// Notes say where an input could not be narrowed exactly and the wider
	// one was taken, or an outside image counts by its reference alone.
	Notes []string `json:"notes,omitempty"`

	// Fault is a mistake in the repository that keeps the layer from being
	// built, such as a Dockerfile that does not parse. It has no key then.
	Fault string `json:"fault,omitempty"`

	// Recipe is what a build of the layer needs; nil if it is absent or has a
	// fault.
	Recipe *Recipe `json:"-"`

	inputs *inputs
	// directory is the state of the layer's directory and Dockerfile, read or
	// not.
	directory [2]ObjectID
	// missing is the image outside that a fault is about.
	missing string
	// unknown says that the configuration of an image below is not known.
	unknown bool
}

// ByReference reports whether the key counts an image from outside by its reference,
// as it was not looked up: whoever looks it up has another key.
func (l *PlannedLayer) ByReference() bool { return l.unknown }

func (l *PlannedLayer) note(format string, args ...any) {
	l.Notes = append(l.Notes, fmt.Sprintf(format, args...))
}

// Instruction is a place in a Dockerfile.
type Instruction struct {
	File string `json:"file"`
	Line int    `json:"line"`
	Text string `json:"text"`
}

// Decide sets each layer's step: Reuse where there is an image of its key.
func (p *Plan) Decide(have func(Key) bool) {
	for _, layer := range p.Layers {
		if layer.Step == Absent {
			continue
		}
		layer.Step = Build
		if layer.Key != "" && have(layer.Key) {
			layer.Step = Reuse
		}
	}
}

// Builds counts the layers to be built.
func (p *Plan) Builds() int {
	n := 0
	for _, layer := range p.Layers {
		if layer.Step == Build {
			n++
		}
	}
	return n
}

// Layer returns the layer of a name, nil if there is none.
func (p *Plan) Layer(name Name) *PlannedLayer {
	for _, layer := range p.Layers {
		if layer.Name == name {
			return layer
		}
	}
	return nil
}

// ReasonKind classifies what moved.
type ReasonKind string

// The kinds of reasons.
const (
	ReasonPath       ReasonKind = "path"
	ReasonDockerfile ReasonKind = "dockerfile"
	ReasonParent     ReasonKind = "parent"
	ReasonBaseImage  ReasonKind = "base-image"
	ReasonArgument   ReasonKind = "argument"
	ReasonNew        ReasonKind = "new"
	ReasonSchedule   ReasonKind = "schedule"
)

// Reason is one input that moved, told to people: which, from what, to what.
type Reason struct {
	Kind   ReasonKind `json:"kind"`
	Detail string     `json:"detail"`
}
