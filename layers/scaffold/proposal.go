package scaffold

import (
	"fmt"

	"github.com/lab-layers/lab-layers/layers"
)

// Proposal is what a repository's Dockerfiles seem to describe.
type Proposal struct {
	// Layers in dependency order: a parent stands before its children.
	Layers []Layer
	// LeftOut are the Dockerfiles that no layer was made of, by path.
	LeftOut []LeftOut
	// Notes concern the repository as a whole.
	Notes []string
}

// Layer is a proposed layer with the grounds for it.
type Layer struct {
	layers.Layer
	// Image is the image from outside that a layer without a parent stands
	// on, as its FROM line expands.
	Image string
	// Evidence says what the guesses rest on, one sentence each.
	Evidence []string
	// Doubts are what a person should check, one sentence each.
	Doubts []string
}

// LeftOut is a Dockerfile that is probably not a lab image.
type LeftOut struct {
	Dockerfile string
	Reason     string
	// Layer is what it would be; nil if it cannot be one.
	Layer *Layer
}

// Propose reads the Dockerfiles of a tree and guesses its layers. A repository
// without any gives an empty proposal. The error says that the tree could not
// be read or is larger than anybody's lab; mistakes in Dockerfiles are told in
// the proposal.
func Propose(tree layers.Tree) (*Proposal, error) {
	repo, err := readRepository(tree)
	if err != nil {
		return nil, fmt.Errorf("look for Dockerfiles: %w", err)
	}
	p := &Proposal{Notes: repo.notes}
	set := newImages(repo)
	set.nameAll()
	set.findParents()
	set.locateContexts()
	set.guessKinds()
	set.fill(p)
	return p, nil
}
