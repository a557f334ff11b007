package pipeline

import (
	"fmt"

	"github.com/lab-layers/lab-layers/layers"
)

// Grant is the secrets and ssh keys that the builds of a run may be given.
type Grant struct {
	// Secrets and SSH are the Builder's names of them, by the ids that
	// Dockerfiles use.
	Secrets map[string]string
	SSH     map[string]string
	// Withheld says why the run is not given them, and what to do about it;
	// empty if it is given them.
	Withheld string
}

// give adds to an order what its layer lists, as far as there is such a thing.
//
// Two asks end the build before it begins, since it could go on without what it
// asks for, and what it made would then be every other ref's image of the key:
// for what is withheld from the run, and for what the layer does not list.
func (g Grant) give(layer *layers.PlannedLayer, order *Order) error {
	order.Secrets, order.SSH = map[string]string{}, map[string]string{}
	for _, ask := range layer.Recipe.Asks() {
		names, given := g.Secrets, order.Secrets
		if ask.Kind == layers.AskSSH {
			names, given = g.SSH, order.SSH
		}
		name, known := names[ask.ID]
		switch {
		case !ask.Listed:
			return refuse(layer, ask, fmt.Sprintf("layer %s does not list it: add it to the layer's %q in %s", layer.Name, ask.Kind.Field(), layers.ConfigFile))
		case known && g.Withheld != "":
			return refuse(layer, ask, g.Withheld)
		case known:
			given[ask.ID] = name
		}
	}
	return nil
}

func refuse(layer *layers.PlannedLayer, ask layers.Ask, why string) error {
	return &BuildError{
		File: layer.Dockerfile, Line: ask.At.Line, Instruction: ask.At.Text,
		Err: fmt.Errorf("layer %s asks for the %s id %q: %s", layer.Name, ask.Kind, ask.ID, why),
	}
}
