package layers

import (
	"fmt"
	"strings"
)

// maxCycle is how many names of a cycle are told.
const maxCycle = 50

// order checks how layers stand on each other, and returns them in dependency
// order: each parent directly before the first of its children that needs it,
// the rest as in the file.
func order(list []Layer, faults *faultList) []Layer {
	at := make(map[Name]int, len(list)) // of the first layer of a name
	names := make([]string, 0, len(list))
	for i, l := range list {
		if l.Name == "" {
			continue
		}
		if first, ok := at[l.Name]; ok {
			faults.add(l.Position, "two layers are named "+quoted(string(l.Name)),
				fmt.Sprintf("give one of them another name, the first is at line %d", list[first].Position.Line))
			continue
		}
		at[l.Name] = i
		names = append(names, string(l.Name))
	}
	parents := make([]int, len(list)) // -1 for none
	for i, l := range list {
		parent, ok := at[l.Parent]
		switch {
		case !l.at.Parent.known():
			parent = -1
		case !ok && l.Parent == "":
			parent = -1
			faults.add(l.at.Parent, "\"parent\" is empty", "name a layer, or take the line out")
		case !ok:
			parent = -1
			faults.add(l.at.Parent, fmt.Sprintf("layer %s stands on %s, which is not there", quoted(string(l.Name)), quoted(string(l.Parent))),
				faults.didYouMean(string(l.Parent), names, "add that layer, or for an image from outside leave \"parent\" out and name it in the Dockerfile's FROM line"))
		case l.Kind.rank() >= 0 && l.Kind.rank() < list[parent].Kind.rank():
			faults.add(l.at.Kind, fmt.Sprintf("layer %s is of kind %s and stands on %s of kind %s", quoted(string(l.Name)), l.Kind, quoted(string(l.Parent)), list[parent].Kind),
				"a layer never stands on one of a higher kind (base, framework, experiment)")
		}
		parents[i] = parent
	}
	sorted := make([]Layer, 0, len(list))
	const (
		untouched = iota
		onChain   // of the layer that is being placed
		placed
	)
	state := make([]int, len(list))
	for i := range list {
		var chain []int
		for j := i; j >= 0 && state[j] != placed; j = parents[j] {
			if state[j] == onChain {
				addCycle(list, chain, j, faults)
				break
			}
			state[j] = onChain
			chain = append(chain, j)
		}
		for n := len(chain) - 1; n >= 0; n-- {
			state[chain[n]] = placed
			sorted = append(sorted, list[chain[n]])
		}
	}
	return sorted
}

// addCycle reports the part of a chain of parents that begins and ends at a
// layer, at the first of its layers in the file.
func addCycle(list []Layer, chain []int, again int, faults *faultList) {
	for chain[0] != again {
		chain = chain[1:]
	}
	first := 0
	for i := range chain {
		if chain[i] < chain[first] {
			first = i
		}
	}
	var names []string
	for i := range chain {
		if i == maxCycle {
			names = append(names, fmt.Sprintf("(%d more)", len(chain)-i))
			break
		}
		names = append(names, string(list[chain[(first+i)%len(chain)]].Name))
	}
	top := list[chain[first]]
	names = append(names, string(top.Name))
	faults.add(top.at.Parent, "layers stand on each other in a circle: "+strings.Join(names, " on "), "take one \"parent\" out")
}

func (p Position) known() bool { return p.Line != 0 }
