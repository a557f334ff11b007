package scaffold

import (
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// call computes the functions that the file defines, and the few of bake's own
// that tags and contexts are made with.
func (v *hclValues) call(e *hclsyntax.FunctionCallExpr, locals map[string]any) any {
	var args []any
	for _, arg := range e.Args[:min(len(e.Args), maxElements)] {
		args = append(args, v.eval(arg, locals))
	}
	if f, ok := v.functions[e.Name]; ok {
		given := map[string]any{}
		for i, name := range f.params {
			if i < len(args) {
				given[name] = args[i]
			}
		}
		return v.eval(f.result, given)
	}
	switch {
	case e.Name == "concat":
		all := []any{}
		for _, arg := range args {
			list, _ := arg.([]any)
			if all = append(all, list...); len(all) > maxElements {
				return unknown
			}
		}
		return all
	case e.Name == "compact" && len(args) == 1:
		full := []any{}
		list, _ := args[0].([]any)
		for _, item := range list {
			if item != "" && item != nil {
				full = append(full, item)
			}
		}
		return full
	case e.Name == "equal" && len(args) == 2:
		return same(args[0], args[1])
	case e.Name == "notequal" && len(args) == 2:
		return same(same(args[0], args[1]), "false")
	}
	return unknown
}

// binary computes the operators that conditions are made of.
func binary(op *hclsyntax.Operation, a, b any) any {
	switch op {
	case hclsyntax.OpEqual:
		return same(a, b)
	case hclsyntax.OpNotEqual:
		return same(same(a, b), "false")
	case hclsyntax.OpLogicalAnd:
		switch {
		case a == "false" || b == "false":
			return "false"
		case a == "true" && b == "true":
			return "true"
		}
	case hclsyntax.OpLogicalOr:
		switch {
		case a == "true" || b == "true":
			return "true"
		case a == "false" && b == "false":
			return "false"
		}
	}
	return unknown
}

// same compares two texts; it is unknown for what is not.
func same(a, b any) any {
	x, okx := a.(string)
	y, oky := b.(string)
	if !okx || !oky || strings.Contains(x+y, unknown) {
		return unknown
	}
	return strconv.FormatBool(x == y)
}

// follow takes the steps of ".name" and "[0]" into a value.
func follow(value any, steps hcl.Traversal) any {
	for _, step := range steps {
		switch s := step.(type) {
		case hcl.TraverseAttr:
			value = index(value, s.Name)
		case hcl.TraverseIndex:
			value = index(value, literal(s.Key))
		default:
			return unknown
		}
	}
	return value
}

func index(value, key any) any {
	name, _ := key.(string)
	switch of := value.(type) {
	case map[string]any:
		if field, ok := of[name]; ok {
			return field
		}
	case []any:
		if n, err := strconv.Atoi(name); err == nil && n >= 0 && n < len(of) {
			return of[n]
		}
	}
	return unknown
}
