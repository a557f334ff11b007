package layers

// DirectoriesChanged counts the layers that the common rule of thumb would
// rebuild against an earlier plan: those whose context directory or Dockerfile
// differs at all, and everything that stands on them. It is there to compare
// with, and decides nothing.
func (p *Plan) DirectoriesChanged(before *Plan) int {
	changed := map[Name]bool{}
	for _, layer := range p.Layers {
		if layer.Step == Absent {
			continue
		}
		var old *PlannedLayer
		if before != nil {
			old = before.Layer(layer.Name)
		}
		switch {
		case old == nil || old.directory != layer.directory:
			changed[layer.Name] = true
		case layer.Parent != nil && changed[*layer.Parent]:
			changed[layer.Name] = true
		}
	}
	return len(changed)
}
