package layers

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// MaxConfig is how many bytes a lab-layers.yaml may have.
const MaxConfig = 1 << 20

// parseYAML returns the root of the one document in data, or nil and a fault.
// Aliases stay unexpanded, so that the outcome is no larger than the text.
func parseYAML(file string, data []byte, faults *faultList) *yaml.Node {
	if len(data) > MaxConfig {
		faults.add(Position{File: file}, fmt.Sprintf("the file has %d bytes, at most %d are read", len(data), MaxConfig), "split the repository, or generate less")
		return nil
	}
	if at, what := badCharacter(data); what != "" {
		at.File = file
		faults.add(at, what, "save the file as UTF-8 text")
		return nil
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document, second yaml.Node
	err := decoder.Decode(&document)
	if errors.Is(err, io.EOF) {
		faults.add(Position{File: file, Line: 1, Column: 1}, "the file is empty", "list the layers, or let \"lab-layers init\" write a first version")
		return nil
	}
	if err == nil {
		if err = decoder.Decode(&second); err == nil {
			faults.add(Position{file, second.Line, second.Column}, "a second YAML document begins", "keep one document in the file")
			return nil
		}
		if errors.Is(err, io.EOF) {
			return document.Content[0]
		}
	}
	addSyntaxFault(file, data, err, faults)
	return nil
}

// badCharacter finds the first character that YAML does not allow.
func badCharacter(data []byte) (at Position, what string) {
	line, column := 1, 1
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			return Position{Line: line, Column: column}, fmt.Sprintf("byte 0x%02x is not UTF-8", data[i])
		case r < ' ' && r != '\t' && r != '\n' && r != '\r', r == 0x7f:
			return Position{Line: line, Column: column}, fmt.Sprintf("control character %U", r)
		case r == '\n':
			line, column = line+1, 0
		}
		i += size
		column++
	}
	return Position{}, ""
}

var yamlError = regexp.MustCompile(`^yaml: (?:line [0-9]+: )?`)

// addSyntaxFault reports what the parser did not understand.
func addSyntaxFault(file string, data []byte, err error, faults *faultList) {
	lines := bytes.SplitAfter(data, []byte("\n"))
	line := failingLine(data, lines)
	text := lines[line-1]
	indent := text[:len(text)-len(bytes.TrimLeft(text, " \t"))]
	at := Position{File: file, Line: line, Column: len(indent) + 1}
	remedy := "check the indentation, quotes and brackets of this line and the one above"
	switch tab := bytes.IndexByte(indent, '\t'); {
	case tab >= 0:
		at.Column = tab + 1
		remedy = "indent with spaces, YAML does not take tabs"
	case strings.Contains(err.Error(), "mapping values are not allowed"):
		remedy = "put text that contains \": \" in quotes, and check the indentation"
	case strings.Contains(err.Error(), "unknown anchor"):
		remedy = "define it with \"&\" before, or write the value out"
	}
	faults.add(at, "not YAML: "+yamlError.ReplaceAllString(err.Error(), ""), remedy)
}

// Bounds of the search for a syntax fault's line.
const (
	maxConstruct = 32       // lines in which the end of a bracket is looked for
	maxProbed    = 64 << 10 // bytes of text up to which that is done
	maxSearched  = 4 << 20  // bytes to parse in all
)

// failingLine finds the first line with which the text stops to be YAML. The
// parser itself often names the line where the surrounding list begins. A text
// may fail to parse up to a line just because a bracket is open there, so what
// a search by halves finds is checked against the lines after it.
func failingLine(data []byte, lines [][]byte) int {
	ends := make([]int, len(lines)+1) // of the first n lines
	for i, line := range lines {
		ends[i+1] = ends[i] + len(line)
	}
	good := 0
	budget := maxSearched
	parses := func(n int) bool {
		budget -= ends[n]
		var node yaml.Node
		return budget > 0 && yaml.Unmarshal(data[:ends[n]], &node) == nil
	}
	for {
		bad := len(lines)
		for good+1 < bad {
			if middle := (good + bad) / 2; parses(middle) {
				good = middle
			} else {
				bad = middle
			}
		}
		before := good
		for n := min(bad+maxConstruct, len(lines)-1); n > bad && good == before; n-- {
			if ends[n] <= maxProbed && parses(n) {
				good = n
			}
		}
		if good == before {
			return min(good+1, len(lines))
		}
	}
}
