package layers

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// maxEntries is how many entries a list may have.
const maxEntries = 10_000

// maxAliased is how many nodes may be read through aliases: without a bound, a
// small file could ask for the same large mapping in each of its layers.
const maxAliased = 100_000

// yamlReader fills the structs that give a file its shape (their yaml tags
// name the fields), and reports everything that does not fit.
type yamlReader struct {
	file    string
	faults  *faultList
	aliased int
	inAlias int
	names   map[reflect.Type][]string // of the fields of a struct, "-" for none
}

func newYAMLReader(file string, faults *faultList) *yamlReader {
	return &yamlReader{file: file, faults: faults, names: map[reflect.Type][]string{}}
}

// Scalars as they are written, with where. Line 0 says that there is none; Bad
// that it is not a scalar of the type, which has been reported.
type (
	yamlText struct {
		Value string
		At    Position
		Bad   bool
	}
	yamlNumber struct {
		Value int
		At    Position
	}
	yamlFlag struct {
		Value bool
		At    Position
	}
)

// yamlArgument is one entry of a mapping from names to values of any scalar type.
type yamlArgument struct{ Name, Value yamlText }

// yamlArguments keeps the order of the file.
type yamlArguments []yamlArgument

func (r *yamlReader) at(n *yaml.Node) Position { return Position{r.file, n.Line, n.Column} }

func (r *yamlReader) fault(n *yaml.Node, remedy, problem string, args ...any) {
	r.faults.add(r.at(n), fmt.Sprintf(problem, args...), remedy)
}

// read reads a node into what it points to; what names it in faults.
func (r *yamlReader) read(n *yaml.Node, what string, into any) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
		r.inAlias++
		defer func() { r.inAlias-- }()
	}
	if !r.afford(n) {
		return
	}
	switch v := into.(type) {
	case *yamlText:
		ok := r.scalar(n, what, "text", "!!str")
		if *v = (yamlText{At: r.at(n), Bad: !ok}); ok {
			v.Value = n.Value
		}
	case *yamlNumber:
		if r.scalar(n, what, "a whole number", "!!int") {
			value, err := strconv.Atoi(n.Value)
			if err != nil {
				r.fault(n, "write it in decimal digits", "%s is %s", what, quoted(n.Value))
			}
			*v = yamlNumber{value, r.at(n)}
		}
	case *yamlFlag:
		if r.scalar(n, what, "true or false", "!!bool") {
			*v = yamlFlag{strings.EqualFold(n.Value, "true"), r.at(n)}
		}
	case *yamlArguments:
		*v = r.arguments(n, what)
	case *[]yamlText:
		*v = readList[yamlText](r, n, what)
	case *[]layerText:
		*v = readList[layerText](r, n, what)
	case *[]refText:
		*v = readList[refText](r, n, what)
	default:
		r.fields(n, what, reflect.ValueOf(into).Elem())
	}
}

// afford counts what is read through aliases; false says that it is too much.
func (r *yamlReader) afford(n *yaml.Node) bool {
	if r.inAlias == 0 {
		return true
	}
	r.aliased++
	if r.aliased == maxAliased+1 {
		r.fault(n, "write the values out", "aliases stand for more than %d values", maxAliased)
	}
	return r.aliased <= maxAliased
}

// scalar reports whether a node is a scalar of one of the types, named by
// their tags.
func (r *yamlReader) scalar(n *yaml.Node, what, want string, tags ...string) bool {
	if n.Kind == yaml.ScalarNode {
		for _, tag := range tags {
			if n.ShortTag() == tag {
				return true
			}
		}
	}
	remedy := "write " + want
	switch {
	case n.ShortTag() == "!!null":
		remedy = "write " + want + ", or take the line out"
	case n.Kind == yaml.ScalarNode && want == "text":
		remedy = "put it in quotes"
	}
	r.fault(n, remedy, "%s is %s, not %s", what, kindOf(n), want)
	return false
}

// kindOf says what a node is, for people.
func kindOf(n *yaml.Node) string {
	switch tag := n.ShortTag(); tag {
	case "!!map":
		return "a mapping"
	case "!!seq":
		return "a list"
	case "!!null":
		return "empty"
	case "!!str":
		return "text"
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	case "!!timestamp":
		return "a date"
	default:
		return "of type " + quoted(tag)
	}
}

func readList[T any](r *yamlReader, n *yaml.Node, what string) []T {
	if n.Kind != yaml.SequenceNode {
		r.fault(n, "begin each entry with \"- \"", "%s is %s, not a list", what, kindOf(n))
		return make([]T, 1) // an entry without a place: it is not missing
	}
	items := n.Content
	if len(items) > maxEntries {
		r.fault(items[maxEntries], "split the repository", "%s has %d entries, at most %d are allowed", what, len(items), maxEntries)
		items = items[:maxEntries]
	}
	list := make([]T, len(items))
	entry := "an entry of " + what
	for i, item := range items {
		r.read(item, entry, &list[i])
	}
	return list
}

// keys calls f for each pair of a mapping, once for each key.
func (r *yamlReader) keys(n *yaml.Node, what string, f func(key, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		r.fault(n, "write \"name: value\" lines", "%s is %s, not a mapping", what, kindOf(n))
		return
	}
	seen := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch first := seen[key.Value]; {
		case key.ShortTag() == "!!merge":
			r.fault(key, "write the fields out", "merge keys (\"<<\") are not supported")
		case key.Kind != yaml.ScalarNode || key.ShortTag() == "!!null":
			r.fault(key, "write plain names", "a name in %s is %s", what, kindOf(key))
		case first != 0:
			r.fault(key, "keep one of them", "%s is there twice, first at line %d", quoted(key.Value), first)
		default:
			seen[key.Value] = key.Line
			f(key, value)
		}
	}
}

// fields reads a mapping into a struct.
func (r *yamlReader) fields(n *yaml.Node, what string, into reflect.Value) {
	if n.Kind == yaml.MappingNode {
		into.FieldByName("At").Set(reflect.ValueOf(r.at(n)))
	}
	names := r.fieldNames(into.Type())
	r.keys(n, what, func(key, value *yaml.Node) {
		if i := slices.Index(names, key.Value); i >= 0 && key.Value != "-" {
			r.read(value, `"`+key.Value+`"`, into.Field(i).Addr().Interface())
			return
		}
		known := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == "-" })
		r.fault(key, r.faults.didYouMean(key.Value, known, "there are "+strings.Join(known, ", ")), "unknown field %s in %s", quoted(key.Value), what)
	})
}

// fieldNames are the names that a struct's tags give, in order.
func (r *yamlReader) fieldNames(t reflect.Type) []string {
	if names, ok := r.names[t]; ok {
		return names
	}
	var names []string
	for i := range t.NumField() {
		names = append(names, t.Field(i).Tag.Get("yaml"))
	}
	r.names[t] = names
	return names
}

// arguments reads values as they are written: 12.10 keeps its zero.
func (r *yamlReader) arguments(n *yaml.Node, what string) yamlArguments {
	var list yamlArguments
	r.keys(n, what, func(key, value *yaml.Node) {
		if value.Kind == yaml.AliasNode {
			value = value.Alias
		}
		if r.afford(value) && r.scalar(value, quoted(key.Value), "a value", "!!str", "!!int", "!!float", "!!bool", "!!timestamp") {
			list = append(list, yamlArgument{yamlText{Value: key.Value, At: r.at(key)}, yamlText{Value: value.Value, At: r.at(value)}})
		}
	})
	return list
}
