package scaffold

import (
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// Limits on what is computed of one bake file. HCL's own evaluation has none:
// loops in loops and functions that call themselves would run without end.
const (
	maxEvaluations = 50_000
	maxElements    = 256 // of a list
)

// hclValues computes the plain expressions of a bake file. A value is a
// string, numbers and truth as they are written; a list, []any; an object,
// map[string]any; or nil for null. What is not plain is unknown.
type hclValues struct {
	variables map[string]hclsyntax.Expression
	functions map[string]hclFunction
	steps     int
}

// hclFunction is one that the file defines.
type hclFunction struct {
	params []string
	result hclsyntax.Expression
}

// newHCLValues finds variables and functions.
func newHCLValues(body *hclsyntax.Body) *hclValues {
	v := &hclValues{variables: map[string]hclsyntax.Expression{}, functions: map[string]hclFunction{}}
	for name, attribute := range body.Attributes {
		v.variables[name] = attribute.Expr
	}
	for _, block := range body.Blocks {
		if len(block.Labels) != 1 {
			continue
		}
		of := block.Body.Attributes
		switch {
		case block.Type == "variable" && of["default"] != nil:
			v.variables[block.Labels[0]] = of["default"].Expr
		case block.Type == "function" && of["result"] != nil:
			f := hclFunction{result: of["result"].Expr}
			if params := of["params"]; params != nil {
				list, _ := params.Expr.(*hclsyntax.TupleConsExpr)
				for i := 0; list != nil && i < len(list.Exprs); i++ {
					f.params = append(f.params, hcl.ExprAsKeyword(list.Exprs[i]))
				}
			}
			v.functions[block.Labels[0]] = f
		}
	}
	return v
}

// eval computes an expression, given what stands for names beside variables.
func (v *hclValues) eval(expr hclsyntax.Expression, locals map[string]any) any {
	if v.steps++; v.steps > maxEvaluations {
		return unknown
	}
	switch e := expr.(type) {
	case *hclsyntax.LiteralValueExpr:
		return literal(e.Val)
	case *hclsyntax.ParenthesesExpr:
		return v.eval(e.Expression, locals)
	case *hclsyntax.TemplateWrapExpr:
		return v.eval(e.Wrapped, locals)
	case *hclsyntax.TemplateExpr:
		var out strings.Builder
		for _, part := range e.Parts {
			text, ok := v.eval(part, locals).(string)
			if !ok {
				text = unknown
			}
			if out.WriteString(text); out.Len() > 8*maxWord {
				return unknown
			}
		}
		return out.String()
	case *hclsyntax.ScopeTraversalExpr:
		name := e.Traversal.RootName()
		value, ok := locals[name]
		if set := v.variables[name]; !ok && set != nil {
			value, ok = v.eval(set, nil), true
		}
		if !ok {
			return unknown
		}
		return follow(value, e.Traversal[1:])
	case *hclsyntax.RelativeTraversalExpr:
		return follow(v.eval(e.Source, locals), e.Traversal)
	case *hclsyntax.IndexExpr:
		return index(v.eval(e.Collection, locals), v.eval(e.Key, locals))
	case *hclsyntax.TupleConsExpr:
		list := []any{}
		for _, item := range e.Exprs[:min(len(e.Exprs), maxElements)] {
			list = append(list, v.eval(item, locals))
		}
		return list
	case *hclsyntax.ObjectConsExpr:
		object := map[string]any{}
		for _, item := range e.Items[:min(len(e.Items), maxElements)] {
			object[v.key(item.KeyExpr, locals)] = v.eval(item.ValueExpr, locals)
		}
		return object
	case *hclsyntax.ConditionalExpr:
		switch v.eval(e.Condition, locals) {
		case "true":
			return v.eval(e.TrueResult, locals)
		case "false":
			return v.eval(e.FalseResult, locals)
		}
	case *hclsyntax.UnaryOpExpr:
		if e.Op == hclsyntax.OpLogicalNot {
			return same(v.eval(e.Val, locals), "false")
		}
	case *hclsyntax.BinaryOpExpr:
		return binary(e.Op, v.eval(e.LHS, locals), v.eval(e.RHS, locals))
	case *hclsyntax.FunctionCallExpr:
		return v.call(e, locals)
	}
	return unknown
}

// key is the name that an object's item has.
func (v *hclValues) key(expr hclsyntax.Expression, locals map[string]any) string {
	if key, ok := expr.(*hclsyntax.ObjectConsKeyExpr); ok {
		if word := hcl.ExprAsKeyword(key.Wrapped); word != "" && !key.ForceNonLiteral {
			return word
		}
		expr = key.Wrapped
	}
	text, _ := v.eval(expr, locals).(string)
	return text
}

// literal is a plain value as it is written.
func literal(value cty.Value) any {
	switch {
	case value.IsNull():
		return nil
	case value.Type() == cty.String:
		return value.AsString()
	case value.Type() == cty.Number:
		return value.AsBigFloat().Text('g', 16)
	case value.True():
		return "true"
	}
	return "false"
}
