package scaffold

import "path"

// build is what a file other than the Dockerfile says about an image.
type build struct {
	source     string // the file that says so
	dockerfile string // path in the repository
	context    string // path in the repository; empty if not said
	target     string
	args       map[string]string
	names      []string // what the image is called: names or references
	parent     string   // name of the image it stands on; empty if not said
	// sure says that parent is what the image stands on, not only something
	// that is made before it.
	sure bool
	// targets are the names in FROM that other builds of the same source stand
	// in for, by their own names.
	targets map[string]string
	// rank is how far the source is from the repository's own description of
	// its images: what a lower one says of a target goes before.
	rank int
}

// Ranks of sources. CI often builds the same image in several ways.
const (
	rankDescription = iota
	rankScript
	rankCI
)

// isEvidence goes by a file's path.
func isEvidence(file string) bool {
	name := path.Base(file)
	return isWorkflow(file) || isPipeline(name) || isCompose(name) || isBake(name) || isMake(name) || isSpec(name) || isScript(name)
}

// readBuilds collects what the repository's other files say. Those that do
// not parse say nothing.
func (r *repository) readBuilds() []build {
	var builds []build
	for _, file := range r.evidence {
		if saysNothing(file) {
			continue
		}
		text, err := r.read(file, maxEvidence)
		if err != nil {
			continue
		}
		name := path.Base(file)
		switch {
		case isWorkflow(file):
			builds = append(builds, r.readWorkflow(file, text)...)
		case isPipeline(name):
			builds = append(builds, r.readPipeline(file, text)...)
		case isCompose(name):
			builds = append(builds, r.readCompose(file, text)...)
		case isBake(name):
			builds = append(builds, r.readBake(file, text)...)
		case isMake(name):
			builds = append(builds, r.readMake(file, text)...)
		case isSpec(name):
			builds = append(builds, r.readSpec(file, text)...)
		case isScript(name):
			builds = append(builds, r.readScript(file, text)...)
		}
	}
	return builds
}
