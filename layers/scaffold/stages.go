package scaffold

import (
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

// declares reports whether the Dockerfile has an ARG of the name.
func (d *dockerfile) declares(name string) bool {
	if declaresIn(d.meta, name) {
		return true
	}
	for _, stage := range d.list {
		for _, cmd := range stage.Commands {
			if arg, ok := cmd.(*instructions.ArgCommand); ok && declaresIn([]instructions.ArgCommand{*arg}, name) {
				return true
			}
		}
	}
	return false
}

// hasDefault reports whether an ARG before the first FROM gives a value.
func (d *dockerfile) hasDefault(name string) bool {
	for _, cmd := range d.meta {
		for _, arg := range cmd.Args {
			if arg.Key == name && arg.Value != nil && *arg.Value != "" {
				return true
			}
		}
	}
	return false
}

func declaresIn(cmds []instructions.ArgCommand, name string) bool {
	for _, cmd := range cmds {
		for _, arg := range cmd.Args {
			if arg.Key == name {
				return true
			}
		}
	}
	return false
}

// ownStages finds the stages before the last that are images of their own:
// ends that nothing copies from, the stages that several such ends stand on,
// and chains in which a framework is installed below the last stage. Builder
// stages, which only serve COPY --from, are none.
func (d *dockerfile) ownStages() map[int]bool {
	n := len(d.list)
	copied := make([]bool, n) // something copies from it
	used := make([]bool, n)   // some stage stands on it
	r := &reader{dockerfile: d, global: d.global(nil)}
	r.findBases()
	below := r.under // the stage that each stands on
	for i := range d.list {
		if below[i] >= 0 {
			used[below[i]] = true
		}
		for _, name := range d.copiesFrom(i) {
			j := -1
			if n, err := strconv.Atoi(name); err == nil {
				j = n
			} else if name != "" {
				j = d.find(name)
			}
			if j >= 0 && j < i {
				copied[j] = true
			}
		}
	}
	own := map[int]bool{}
	ends := 0
	for i := range d.list {
		if i == n-1 || !used[i] && !copied[i] && d.looksLikeImage(i) {
			own[i] = true
			ends++
		}
	}
	// What several ends share, or a framework below the end, splits a chain.
	installs := make([]bool, n)
	for i := range d.list {
		installs[i] = n > 1 && len(frameworksIn(d.runsOf(i), d.list[i].Name)) > 0
	}
	shares := make([]int, n)
	split := make([]bool, n)
	for end := range own {
		framework := false
		for i := below[end]; i >= 0; i = below[i] {
			shares[i]++
			framework = framework || installs[i]
			split[i] = framework
		}
	}
	for i := range d.list {
		if (split[i] || ends > 1 && shares[i] > 1) && !copied[i] && d.looksLikeImage(i) {
			own[i] = true
			for j := below[i]; j >= 0 && split[i]; j = below[j] {
				if !copied[j] && d.looksLikeImage(j) {
					own[j] = true
				}
			}
		}
	}
	delete(own, n-1)
	return own
}

// copiesFrom lists what a stage's instructions copy or mount from.
func (d *dockerfile) copiesFrom(i int) []string {
	var names []string
	for _, cmd := range d.list[i].Commands {
		switch c := cmd.(type) {
		case *instructions.CopyCommand:
			names = append(names, c.From)
		case *instructions.RunCommand:
			for _, mount := range instructions.GetMounts(c) {
				names = append(names, mount.From)
			}
		}
	}
	return names
}

// runsOf is the text of a stage's RUN instructions.
func (d *dockerfile) runsOf(i int) []string {
	var runs []string
	for _, cmd := range d.list[i].Commands {
		if c, ok := cmd.(*instructions.RunCommand); ok {
			runs = append(runs, strings.Join(c.CmdLine, " "))
			for _, file := range c.Files {
				runs = append(runs, file.Data)
			}
		}
	}
	return runs
}

// serving are parts of stage names that tell of a step on the way.
var serving = words(`build builder builds building compile compiler deps dependencies
	download downloader fetch files test tests testing lint linter check ci dev debug cache
	tmp temp export artifacts source src vendor buildscripts prefetch`)

// looksLikeImage reports whether a stage does something and is not named for
// a step on the way.
func (d *dockerfile) looksLikeImage(i int) bool {
	if name := d.list[i].Name; len(name) > maxName || !targetName.MatchString(name) {
		return false
	}
	for _, part := range strings.FieldsFunc(strings.ToLower(d.list[i].Name), func(r rune) bool { return r == '-' || r == '_' || r == '.' }) {
		if serving[part] {
			return false
		}
	}
	for _, cmd := range d.list[i].Commands {
		switch cmd.(type) {
		case *instructions.RunCommand, *instructions.CopyCommand, *instructions.AddCommand:
			return true
		}
	}
	return false
}
