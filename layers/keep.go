package layers

import "fmt"

// Keep reduces a plan to the named layers and what they stand on; no names
// keep all.
func (p *Plan) Keep(names []string) error {
	if len(names) == 0 {
		return nil
	}
	keep := map[Name]bool{}
	for _, name := range names {
		layer := p.Layer(Name(name))
		if layer == nil {
			return fmt.Errorf("there is no layer %q", name)
		}
		for layer != nil && !keep[layer.Name] {
			keep[layer.Name] = true
			if layer.Parent == nil {
				break
			}
			layer = p.Layer(*layer.Parent)
		}
	}
	var kept []*PlannedLayer
	for _, layer := range p.Layers {
		if keep[layer.Name] {
			kept = append(kept, layer)
		}
	}
	p.Layers = kept
	return nil
}
