package layers

// Plan is what one commit means: every layer in dependency order.
type Plan struct {
	Repo   string          `json:"repo"`
	From   Commit          `json:"from,omitempty"`
	To     Commit          `json:"to"`
	Layers []*PlannedLayer `json:"layers"`
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
	// Notes say where an input could not be narrowed exactly and the wider
	// one was taken, or an outside image counts by its reference alone.
	Notes []string `json:"notes,omitempty"`

	// Recipe is what a build of the layer needs; nil if it is absent.
	Recipe *Recipe `json:"-"`
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
)

// Reason is one input that moved, told to people: which, from what, to what.
type Reason struct {
	Kind   ReasonKind `json:"kind"`
	Detail string     `json:"detail"`
}
