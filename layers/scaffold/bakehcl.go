package scaffold

import (
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Limits on bake files in HCL, whose parser follows brackets and conditions by
// recursion.
const (
	maxHCL     = 64 << 10 // bytes
	maxNesting = 100      // brackets in brackets
)

// readBakeHCL reads the target blocks of a bake file, with its variables at
// their defaults.
func readBakeHCL(text []byte) map[string]bakeTarget {
	if len(text) > maxHCL || nesting(text) > maxNesting {
		return nil
	}
	file, diagnostics := hclsyntax.ParseConfig(text, "", hcl.InitialPos)
	if diagnostics.HasErrors() {
		return nil
	}
	body, ok := file.Body.(*hclsyntax.Body)
	if !ok {
		return nil
	}
	v := newHCLValues(body)
	targets := map[string]bakeTarget{}
	for _, block := range body.Blocks {
		if block.Type != "target" || len(block.Labels) != 1 {
			continue
		}
		for _, locals := range v.matrix(block.Body) {
			name := block.Labels[0]
			if given := v.text(block.Body, "name", locals); given != "" {
				name = given
			}
			if len(targets) < maxTargets && !strings.Contains(name, unknown) {
				targets[name] = targets[name].under(v.target(block.Body, locals))
			}
		}
	}
	return targets
}

// nesting is how deep brackets stand in each other, those in strings and
// comments counted too.
func nesting(text []byte) int {
	depth, deepest := 0, 0
	for _, c := range text {
		switch c {
		case '(', '[', '{':
			depth++
			deepest = max(deepest, depth)
		case ')', ']', '}':
			depth--
		}
	}
	return deepest
}

// target reads a block's attributes.
func (v *hclValues) target(body *hclsyntax.Body, locals map[string]any) bakeTarget {
	t := bakeTarget{
		Context:    v.text(body, "context", locals),
		Dockerfile: v.text(body, "dockerfile", locals),
		Target:     v.text(body, "target", locals),
		Args:       map[string]*string{},
		Tags:       texts(v.attribute(body, "tags", locals)),
		Inherits:   texts(v.attribute(body, "inherits", locals)),
	}
	for name, value := range v.fields(body, "args", locals) {
		t.Args[name] = &value
	}
	t.Contexts = v.fields(body, "contexts", locals)
	return t
}

// matrix is the sets of values that a block is read with, each set once.
func (v *hclValues) matrix(body *hclsyntax.Body) []map[string]any {
	sets := []map[string]any{nil}
	axes, _ := v.attribute(body, "matrix", nil).(map[string]any)
	for _, axis := range sortedKeys(axes) {
		items, _ := axes[axis].([]any)
		var product []map[string]any
		for _, set := range sets {
			for _, item := range items {
				if len(product) < maxCombinations {
					product = append(product, laid(set, map[string]any{axis: item}))
				}
			}
		}
		if len(product) > 0 {
			sets = product
		}
	}
	return sets
}

// attribute is an attribute's value; nil if it is not there.
func (v *hclValues) attribute(body *hclsyntax.Body, name string, locals map[string]any) any {
	if attribute := body.Attributes[name]; attribute != nil {
		return v.eval(attribute.Expr, locals)
	}
	return nil
}

func (v *hclValues) text(body *hclsyntax.Body, name string, locals map[string]any) string {
	text, _ := v.attribute(body, name, locals).(string)
	return text
}

// fields are the texts of an attribute that is an object.
func (v *hclValues) fields(body *hclsyntax.Body, name string, locals map[string]any) map[string]string {
	object, _ := v.attribute(body, name, locals).(map[string]any)
	fields := map[string]string{}
	for name, value := range object {
		if text, ok := value.(string); ok {
			fields[name] = text
		}
	}
	return fields
}

// texts are the texts of a list.
func texts(value any) []string {
	list, _ := value.([]any)
	var out []string
	for _, item := range list {
		if text, ok := item.(string); ok && text != "" {
			out = append(out, text)
		}
	}
	return out
}
