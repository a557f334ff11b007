package scaffold

import (
	"maps"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// values are what expressions of a workflow may name: "inputs.image",
// "matrix.python", "env.REGISTRY".
type values map[string]string

// with returns the values and others, which go before.
func (v values) with(others values) values {
	all := maps.Clone(v)
	if all == nil {
		all = values{}
	}
	maps.Copy(all, others)
	return all
}

// add sets plain values under a prefix, with expressions filled in.
func (v values) add(prefix string, nodes map[string]yaml.Node, vars values) {
	for _, name := range slices.Sorted(maps.Keys(nodes)) {
		if node := nodes[name]; node.Kind == yaml.ScalarNode && len(node.Value) <= 64*maxWord {
			v[prefix+name] = vars.expand(node.Value)
		}
	}
}

// expand fills in the expressions of a text. One that is not a plain name, or
// whose value is not known, is unknown; of "a || b" the first known counts.
func (v values) expand(text string) string {
	return expression.ReplaceAllStringFunc(text, func(match string) string {
		inside := expression.FindStringSubmatch(match)[1]
		if strings.TrimSpace(inside) == "github.workspace" {
			return inRepository
		}
		for part := range strings.SplitSeq(inside, "||") {
			part = strings.TrimSpace(part)
			if value := v[part]; value != "" && !strings.Contains(value, unknown) {
				return value
			}
			if quoted := strings.Trim(part, "'"); len(part) >= 2 && quoted == part[1:len(part)-1] {
				return quoted
			}
		}
		return unknown
	})
}

// defaultInputs are the defaults of what a workflow may be called with.
func defaultInputs(on yaml.Node) values {
	type call struct {
		Inputs map[string]struct{ Default yaml.Node }
	}
	var events struct {
		Call     call `yaml:"workflow_call"`
		Dispatch call `yaml:"workflow_dispatch"`
	}
	given := values{}
	if on.Decode(&events) != nil {
		return given
	}
	for _, inputs := range []call{events.Dispatch, events.Call} {
		for name, input := range inputs.Inputs {
			if input.Default.Kind == yaml.ScalarNode && !strings.Contains(input.Default.Value, "${{") {
				given["inputs."+name] = input.Default.Value
			}
		}
	}
	return given
}

// combinations are the values of a matrix, each set once; one empty set where
// there is none, or where it is only computed.
func combinations(matrix yaml.Node) []values {
	sets := []values{{}}
	if matrix.Kind != yaml.MappingNode {
		return sets
	}
	var include []values
	for i := 0; i+1 < len(matrix.Content); i += 2 {
		name, list := matrix.Content[i].Value, matrix.Content[i+1]
		if list.Kind != yaml.SequenceNode || name == "exclude" {
			continue
		}
		var items []values
		for _, item := range list.Content {
			items = append(items, flatten("matrix."+name, item))
		}
		if name == "include" {
			for _, item := range list.Content {
				include = append(include, flatten("matrix", item))
			}
			continue
		}
		var product []values
		for _, set := range sets {
			for _, item := range items {
				if len(product) < maxCombinations {
					product = append(product, set.with(item))
				}
			}
		}
		if len(product) > 0 {
			sets = product
		}
	}
	return included(sets, include)
}

// included adds the sets of include: to those that they agree with, or else as
// further ones.
func included(sets, include []values) []values {
	plain := len(sets) == 1 && len(sets[0]) == 0
	var further []values
	original := slices.Clone(sets)
	for _, extra := range include {
		agrees := false
		for i, set := range original {
			fits := !plain
			for name, value := range extra {
				if old, ok := set[name]; ok && old != value {
					fits = false
				}
			}
			if fits {
				sets[i] = sets[i].with(extra)
				agrees = true
			}
		}
		if !agrees && len(further) < maxCombinations {
			further = append(further, extra)
		}
	}
	if plain && len(further) > 0 {
		return further
	}
	return append(sets, further...)
}

// flatten names the plain values of an item: matrix.image.name.
func flatten(name string, item *yaml.Node) values {
	set := values{}
	switch item.Kind {
	case yaml.ScalarNode:
		set[name] = item.Value
	case yaml.MappingNode:
		for i := 0; i+1 < len(item.Content) && i < 2*maxCombinations; i += 2 {
			if item.Content[i+1].Kind == yaml.ScalarNode {
				set[name+"."+item.Content[i].Value] = item.Content[i+1].Value
			}
		}
	}
	return set
}
