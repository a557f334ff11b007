package layers

// Name is the name of a layer: one path component of an OCI repository name.
type Name string

// Kind is a layer's place in the graph.
type Kind string

// The kinds, from the bottom of the graph to its top. A layer never stands on
// one of a higher kind.
const (
	Base       Kind = "base"
	Framework  Kind = "framework"
	Experiment Kind = "experiment"
)

// Commit is the full hexadecimal object id of a Git commit.
type Commit string

// Short is the abbreviated commit for people and for tags: 12 digits.
func (c Commit) Short() string {
	if len(c) > 12 {
		return string(c[:12])
	}
	return string(c)
}

// Ref is a full Git ref name, such as refs/heads/main.
type Ref string

// Key is the content identity of a layer at a commit, in the form of a digest
// ("sha256:" and 64 hexadecimal digits): a hash of everything that decides
// what the layer's build makes. Two layers of one key have one image.
type Key string
