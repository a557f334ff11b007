package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/moby/buildkit/util/suggest"
	"github.com/spf13/pflag"
	"gopkg.in/yaml.v3"

	"github.com/lab-layers/lab-layers/layers"
)

// environmentPrefix is before a flag's name in the environment.
const environmentPrefix = "LAB_LAYERS_"

// setFromEnvironment sets the flags that the command line did not set and a
// variable such as LAB_LAYERS_RUN_LIMIT does. An empty one counts as none.
func setFromEnvironment(flags *pflag.FlagSet, lookup func(string) (string, bool)) (err error) {
	flags.VisitAll(func(flag *pflag.Flag) {
		name := environmentPrefix + strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))
		value, _ := lookup(name)
		if err != nil || value == "" || flag.Changed || flag.Name == "help" {
			return
		}
		if wrong := flags.Set(flag.Name, value); wrong != nil {
			err = inputf("%s is %q; %s", name, value, remedyFor(flag))
		}
	})
	return err
}

// agentFile is where a file sets which flag. The zero value sets none.
type agentFile map[string]layers.Position

// readAgentFile sets the flags that are not set yet to what the file says. Its
// keys are the flags' names. The error is every fault in it.
func readAgentFile(name string, flags *pflag.FlagSet) (agentFile, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, inputError{err}
	}
	r := &agentFileReader{file: name, flags: flags, set: agentFile{}}
	r.document(text)
	if len(r.faults) > 0 {
		return nil, r.faults
	}
	return r.set, nil
}

var flagInError = regexp.MustCompile(`--([a-z][a-z-]*)`)

// locate adds to an error about a flag where the file sets it.
func (f agentFile) locate(err error) error {
	if err == nil {
		return nil
	}
	if name := flagInError.FindStringSubmatch(err.Error()); name != nil {
		if at, ok := f[name[1]]; ok {
			return inputf("%s: %w", at, err)
		}
	}
	return err
}

// agentFileReader reads one file.
type agentFileReader struct {
	file   string
	flags  *pflag.FlagSet
	set    agentFile
	faults layers.Faults
}

func (r *agentFileReader) fault(line int, remedy, problem string, args ...any) {
	r.faults = append(r.faults, layers.Fault{Position: layers.Position{File: r.file, Line: line}, Problem: fmt.Sprintf(problem, args...), Remedy: remedy})
}

var (
	syntaxLine   = regexp.MustCompile(`^yaml: line ([0-9]+): `)
	syntaxPrefix = regexp.MustCompile(`^yaml: (line [0-9]+: )?`)
)

func (r *agentFileReader) document(text []byte) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var document, second yaml.Node
	err := decoder.Decode(&document)
	if errors.Is(err, io.EOF) {
		return // it sets nothing
	}
	if err == nil {
		if err = decoder.Decode(&second); err == nil {
			r.fault(second.Line, "keep one document in the file", "a second YAML document begins")
			return
		}
	}
	if !errors.Is(err, io.EOF) {
		line := 1 // is not named
		if at := syntaxLine.FindStringSubmatch(err.Error()); at != nil {
			line, _ = strconv.Atoi(at[1])
		}
		r.fault(line, "check the indentation, quotes and brackets there and above", "not YAML: %s", syntaxPrefix.ReplaceAllString(err.Error(), ""))
		return
	}
	root := document.Content[0]
	if root.Kind != yaml.MappingNode {
		r.fault(root.Line, "write \"name: value\" lines, such as \"interval: 1m\"", "the file is no mapping")
		return
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		r.key(root.Content[i], root.Content[i+1])
	}
}

func (r *agentFileReader) key(key, value *yaml.Node) {
	flag := r.flags.Lookup(key.Value)
	if flag == nil || flag.Name == "help" || flag.Name == "config" {
		r.unknown(key)
		return
	}
	if first, twice := r.set[flag.Name]; twice {
		r.fault(key.Line, "keep one of them", "%q is there twice, first at line %d", flag.Name, first.Line)
		return
	}
	r.set[flag.Name] = layers.Position{File: r.file, Line: key.Line}
	if value.Kind == yaml.AliasNode {
		value = value.Alias
	}
	// What is overridden is checked too, on a flag that is thrown away.
	if flag.Changed {
		flag = newAgent().Flags().Lookup(flag.Name)
	}
	switch list, ok := flag.Value.(pflag.SliceValue); {
	case ok:
		r.list(flag, list, value)
	case flag.Value.Type() == "stringToString":
		r.mapping(flag, value)
	case value.Kind != yaml.ScalarNode || value.ShortTag() == "!!null":
		r.fault(value.Line, remedyFor(flag)+", or take the line out", "%q is not one value", flag.Name)
	case flag.Name == "database-url" && hasPassword(value.Value):
		r.fault(value.Line, "put \"?passfile=FILE\" at its end, or give the URL as LAB_LAYERS_DATABASE_URL", "%q has a password in it", flag.Name)
	default:
		r.value(flag, value, value.Value)
	}
}

func (r *agentFileReader) unknown(key *yaml.Node) {
	var names []string
	r.flags.VisitAll(func(flag *pflag.Flag) {
		if flag.Name != "help" && flag.Name != "config" {
			names = append(names, flag.Name)
		}
	})
	remedy := "\"lab-layers agent --help\" lists what there is"
	if match, ok := suggest.Search(key.Value, names, true); ok {
		remedy = fmt.Sprintf("did you mean %q?", match)
	}
	r.fault(key.Line, remedy, "there is no setting %q", key.Value)
}

func (r *agentFileReader) value(flag *pflag.Flag, at *yaml.Node, value string) {
	if err := flag.Value.Set(value); err != nil {
		r.fault(at.Line, remedyFor(flag), "%q is %q", flag.Name, value)
		return
	}
	flag.Changed = true
}

func (r *agentFileReader) list(flag *pflag.Flag, list pflag.SliceValue, value *yaml.Node) {
	if value.Kind != yaml.SequenceNode {
		r.fault(value.Line, "begin each entry with \"- \"", "%q is no list", flag.Name)
		return
	}
	var entries []string
	for _, entry := range value.Content {
		if entry.Kind != yaml.ScalarNode || entry.ShortTag() == "!!null" {
			r.fault(entry.Line, "write each entry as one text", "an entry of %q is not one value", flag.Name)
			return
		}
		entries = append(entries, entry.Value)
	}
	if err := list.Replace(entries); err != nil {
		r.fault(value.Line, remedyFor(flag), "%q: %v", flag.Name, err)
		return
	}
	flag.Changed = true
}

func (r *agentFileReader) mapping(flag *pflag.Flag, value *yaml.Node) {
	if value.Kind != yaml.MappingNode {
		r.fault(value.Line, "write \"ID: FILE\" lines below it", "%q is no mapping", flag.Name)
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(value.Content); i += 2 {
		id, file := value.Content[i], value.Content[i+1]
		switch {
		case file.Kind != yaml.ScalarNode || file.ShortTag() == "!!null":
			r.fault(id.Line, "name one file", "%q of %q is not one value", id.Value, flag.Name)
			return
		case seen[id.Value]:
			r.fault(id.Line, "keep one of them", "%q is there twice in %q", id.Value, flag.Name)
			return
		}
		seen[id.Value] = true
		var entry strings.Builder // as the flag takes text that has commas
		w := csv.NewWriter(&entry)
		_ = w.Write([]string{id.Value + "=" + file.Value})
		w.Flush()
		r.value(flag, id, strings.TrimSuffix(entry.String(), "\n"))
	}
}

// remedyFor says what a flag takes.
func remedyFor(flag *pflag.Flag) string {
	switch flag.Value.Type() {
	case "bool":
		return "write true or false"
	case "int":
		return "write a whole number"
	case "duration":
		return "write a time such as 90s, 5m or 24h"
	case "stringToString":
		return "write ID=FILE"
	default:
		return "write one text, in quotes"
	}
}

// passwordWord is a password in the form of NAME=VALUE words, or in a query.
var passwordWord = regexp.MustCompile(`(?:^|[\s?&])(?:ssl)?password\s*=`)

func hasPassword(address string) bool {
	if passwordWord.MatchString(address) {
		return true
	}
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	_, has := u.User.Password()
	return has
}
