package layers

import "time"

// ConfigFile is where a repository keeps its configuration.
const ConfigFile = "lab-layers.yaml"

// Config is a valid lab-layers.yaml with its defaults filled in.
type Config struct {
	// Version of the file's schema; 1.
	Version int
	// Platform that every layer is built for, such as linux/amd64.
	Platform string
	// Layers in dependency order: a parent stands before its children, and
	// otherwise in the order of the file.
	Layers []Layer
	// Refs gives the tag convention: the first rule that matches a ref counts.
	Refs []RefRule
}

// Layer is one node of the graph: an image built on its parent. Paths are
// slash-separated, clean and relative to the repository's root.
type Layer struct {
	Name Name
	Kind Kind
	// Parent is empty for a layer on an image from outside.
	Parent Name
	// From is the FROM reference in the Dockerfile that the parent's image
	// stands in for, as written there or as it expands. Empty: the one that
	// the target's chain of stages ends in, or, where the parent is a target
	// of the same Dockerfile, that stage.
	From string
	// Context is the build context's directory.
	Context string
	// Dockerfile is a file anywhere in the repository.
	Dockerfile string
	// Target is a stage of the Dockerfile; empty is its last.
	Target string
	// Args are build arguments.
	Args map[string]string
	// Secrets and SSH are the ids that RUN mounts may ask for. Their values
	// come from the agent's own configuration, never from the repository.
	Secrets []string
	SSH     []string
	// Position is where lab-layers.yaml names the layer.
	Position Position

	at layerPlaces
}

// layerPlaces is where lab-layers.yaml gives a layer's fields; unknown for
// those that have their defaults.
type layerPlaces struct {
	Kind, Parent, From, Context, Dockerfile, Target Position
}

// RefRule says which tags a ref gives to every layer of its snapshot.
type RefRule struct {
	// Ref is a pattern over full ref names, such as refs/heads/feature/**: "*"
	// stands for any characters but a slash, "**" for any characters.
	Ref string
	// Tags are templates: {branch}, {tag} and {commit} are replaced. Refs of a
	// rule without any are not built.
	Tags []string
	// TTL is how long temporary tags stay after the ref last moved; 0 makes
	// them lasting.
	TTL time.Duration
	// Immutable tags are never moved once they exist.
	Immutable bool
}

// Position is a place in a file; lines and columns count from 1, 0 is unknown.
type Position struct {
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
}

// Fault is one mistake in what a person wrote.
type Fault struct {
	Position
	// Problem says what is wrong; Remedy what to do about it.
	Problem string `json:"problem"`
	Remedy  string `json:"remedy,omitempty"`
}

// Faults is every mistake found, in the order of the files. It is an error.
type Faults []Fault

// TagSet is what a ref's tags are called at a commit.
type TagSet struct {
	Names     []string      `json:"names"`
	TTL       time.Duration `json:"ttl"` // nanoseconds; 0 for lasting tags
	Immutable bool          `json:"immutable"`
}
