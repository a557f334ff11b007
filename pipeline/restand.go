package pipeline

import (
	"fmt"
	"slices"

	"github.com/lab-layers/lab-layers/layers"
)

// restand gives a layer the reason why it is built though its key has an image:
// that does not stand on its parent's image, whose blobs all children share.
func restand(layer *layers.PlannedLayer, image Image, parent *Image) {
	reason := layers.Reason{
		Kind:   layers.ReasonParent,
		Detail: fmt.Sprintf("%s was built anew: %.19s → %.19s", *layer.Parent, image.Parent, parent.Digest),
	}
	if !slices.Contains(layer.Reasons, reason) {
		layer.Reasons = append(layer.Reasons, reason)
	}
}

// settled finds the layers whose images are sure to be what a plan's end has:
// they are reused, and so is all that they stand on.
func settled(plan *layers.Plan) map[layers.Name]bool {
	sure := make(map[layers.Name]bool, len(plan.Layers))
	for _, layer := range plan.Layers { // parents stand before their children
		sure[layer.Name] = layer.Step == layers.Reuse && (layer.Parent == nil || sure[*layer.Parent])
	}
	return sure
}
