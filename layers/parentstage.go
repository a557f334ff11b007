package layers

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// argument is what an ARG line of a stage leaves to the stages on it.
type argument struct {
	value  string
	set    bool
	masked bool // an ENV line decides the value, which the image carries
}

// replace returns the Dockerfile with stage i standing for the image
// parentImage. Lines keep their numbers, so that places still tell the truth.
//
// If the image is that of the stage itself, its ARG lines stay, with what they
// and those below them came to: stages built on it inherit them, which an image
// cannot carry. Its ONBUILD lines stay too, as they run in the stages on it and
// not in the stage itself. An image from elsewhere brings neither.
func (s *stages) replace(i int, args map[string]argument) []byte {
	lines := bytes.Split(s.text, []byte("\n"))
	first, last := s.lines(i)
	stays := make(map[int][]byte)
	if args != nil {
		left := s.argumentNames(s.below(i))
		for _, cmd := range s.list[i].Commands {
			switch cmd := cmd.(type) {
			case *instructions.ArgCommand:
				names := make([]string, len(cmd.Args))
				for n, arg := range cmd.Args {
					names[n] = arg.Key
					left = without(left, arg.Key)
				}
				stays[startLine(cmd.Location())] = s.argumentLine(names, args)
			case *instructions.OnbuildCommand:
				for _, r := range cmd.Location() {
					for n := r.Start.Line; n <= r.End.Line; n++ {
						stays[n] = lines[n-1]
					}
				}
			}
		}
		if line := s.argumentLine(left, args); line != nil {
			n := first + 1
			for stays[n] != nil {
				n++
			}
			if n > last { // no line is free: places below are one off
				lines = slices.Insert(lines, last, nil)
				last++
			}
			stays[n] = line
		}
	}
	for n := first; n <= last; n++ {
		lines[n-1] = stays[n]
	}
	lines[first-1] = []byte("FROM " + parentImage + " AS " + s.list[i].Name)
	return bytes.Join(lines, []byte("\n"))
}

func without(names []string, name string) []string {
	var out []string
	for _, n := range names {
		if n != name {
			out = append(out, n)
		}
	}
	return out
}

// lines are the first and last line of a stage, counted from 1.
func (s *stages) lines(i int) (first, last int) {
	first, last = startLine(s.list[i].Location), bytes.Count(s.text, []byte("\n"))+1
	if i+1 < len(s.list) {
		last = startLine(s.list[i+1].Location) - 1
	}
	return first, last
}

// argumentNames are the ARG names of stage i and of those that it stands on;
// there are none below the lowest.
func (s *stages) argumentNames(i int) []string {
	var names []string
	for j := i; j >= 0; j = s.below(j) {
		for _, cmd := range s.list[j].Commands {
			if cmd, ok := cmd.(*instructions.ArgCommand); ok {
				for _, arg := range cmd.Args {
					names = append(without(names, arg.Key), arg.Key)
				}
			}
		}
	}
	return names
}

// argumentLine sets arguments to what they came to; nil if there are none.
func (s *stages) argumentLine(names []string, args map[string]argument) []byte {
	var words []string
	for _, name := range names {
		switch arg := args[name]; {
		case arg.masked:
		case !arg.set:
			words = append(words, name)
		default:
			// Nothing has a meaning between single quotes.
			words = append(words, name+"='"+strings.ReplaceAll(arg.value, "'", `'"'"'`)+"'")
		}
	}
	if words == nil {
		return nil
	}
	return []byte("ARG " + strings.Join(words, " "))
}

// arguments finds what the ARG lines of stage i, and of those it stands on,
// come to at its end with a child's build arguments. BuildKit itself tells: the
// values are put into labels of the stage's image. made is the conversion of
// that stage.
func (s *stages) arguments(ctx context.Context, i int, made source, given map[string]string, outside Outside) (map[string]argument, error) {
	args := map[string]argument{}
	names := s.argumentNames(i)
	if len(names) == 0 {
		return args, nil
	}
	_, last := s.lines(i)
	last += bytes.Count(made.text, []byte("\n")) - bytes.Count(s.text, []byte("\n"))
	lines := bytes.Split(made.text, []byte("\n"))[:last]
	for n, name := range names {
		lines = append(lines, fmt.Appendf(nil, `LABEL lab-layers.%d="${%s+=}$%s"`, n, name, name))
	}
	made.text, made.args = bytes.Join(lines, []byte("\n")), given
	c, err := convert(ctx, made, parentImage, placeholder, outside, nil)
	if err != nil {
		return nil, err
	}
	var image struct {
		Config struct {
			Env    []string
			Labels map[string]string
		} `json:"config"`
	}
	if err := json.Unmarshal(c.image, &image); err != nil {
		return nil, err
	}
	env := map[string]string{}
	for _, pair := range image.Config.Env {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = value
	}
	for n, name := range names {
		var arg argument
		arg.value, arg.set = strings.CutPrefix(image.Config.Labels[fmt.Sprintf("lab-layers.%d", n)], "=")
		value, carried := env[name]
		arg.masked = arg.set && carried && value == arg.value
		if _, ok := given[name]; ok && !arg.masked {
			arg.set = false // it is given to the child as well
		}
		if arg.set && strings.ContainsAny(arg.value, "\r\n") {
			return nil, parser.WithLocation(fmt.Errorf("ARG %s has a line break in its value, which a layer on this stage cannot inherit", name), s.list[i].Location)
		}
		args[name] = arg
	}
	return args, nil
}
