package scaffold

import (
	"cmp"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

// reading is what the build of one target reads.
type reading struct {
	// word is the FROM word that the target's chain of stages ends in, ground
	// what it expands to, unset its variables without a value.
	word   string
	ground string
	unset  []string
	// chain are the stages from the target down.
	chain []int
	// others are the images that COPY --from, mounts and side stages name.
	others []string
	// sources are the context's paths that COPY, ADD and mounts name, as far
	// as they are known without running anything.
	sources []string
	// runs are the texts of RUN instructions.
	runs []string
	// secrets and ssh are the ids that mounts ask for.
	secrets []string
	ssh     []string
	// onbuild are the triggers that the chain leaves to children.
	onbuild []string
}

// reader follows a target through its Dockerfile.
type reader struct {
	*dockerfile
	args   map[string]string
	global scope
	under  []int // the stage that each stands on, -1 for an image
	bases  []string
	ends   map[int]scope // what is set at the end of a stage
	until  int           // a stage that another layer builds; -1 for none
	out    reading
}

// read finds what the stage's build reads under the given build arguments.
func (d *dockerfile) read(stage int, args map[string]string) reading {
	return d.readUntil(stage, -1, args)
}

// readUntil is read where another layer builds one of the stages below: what
// that stage reads is not the target's.
func (d *dockerfile) readUntil(stage, until int, args map[string]string) reading {
	r := &reader{dockerfile: d, args: args, global: d.global(args), ends: map[int]scope{}, until: until}
	r.findBases()
	for i := stage; i >= 0; i = r.under[i] {
		r.out.chain = append(r.out.chain, i)
	}
	last := r.out.chain[len(r.out.chain)-1]
	r.out.word = d.list[last].BaseName
	r.out.ground, r.out.unset, _ = r.global.expand(r.out.word)
	r.stage(stage)
	r.out.others = slices.DeleteFunc(r.out.others, func(ref string) bool { return ref == r.out.ground })
	return r.out
}

// findBases expands the FROM lines and finds the stages among them. BuildKit
// compares the FROM name with the lower-cased names of earlier stages.
func (r *reader) findBases() {
	named := map[string]int{}
	for i, s := range r.list {
		base, _, _ := r.global.expand(s.BaseName)
		r.bases = append(r.bases, base)
		at, ok := named[base]
		if !ok || base == "" {
			at = -1
		}
		r.under = append(r.under, at)
		named[strings.ToLower(s.Name)] = i
	}
}

// stage visits a stage and what it reads, and returns what is set at its end.
func (r *reader) stage(i int) scope {
	if end, ok := r.ends[i]; ok {
		return end
	}
	if i == r.until {
		before := r.out
		defer func() {
			before.secrets, before.ssh = r.out.secrets, r.out.ssh // checked with the whole Dockerfile
			r.out = before
		}()
	}
	env := scope{r.global.lex, map[string]string{}}
	if j := r.under[i]; j >= 0 {
		env = r.stage(j).clone()
	} else {
		r.image(r.bases[i])
	}
	for _, cmd := range r.list[i].Commands {
		r.command(i, cmd, env)
	}
	r.ends[i] = env
	return env
}

func (r *reader) command(at int, cmd instructions.Command, env scope) {
	switch c := cmd.(type) {
	case *instructions.ArgCommand:
		for _, arg := range c.Args {
			env.declare(arg, r.args, r.global.vars)
		}
	case *instructions.EnvCommand:
		for _, pair := range c.Env {
			if value, unset, ok := env.expand(pair.Value); ok && len(unset) == 0 {
				env.set(pair.Key, value)
			}
		}
	case *instructions.CopyCommand:
		if c.From != "" {
			r.from(at, c.From, env)
			return
		}
		r.source(env, c.SourcePaths...)
	case *instructions.AddCommand:
		r.source(env, c.SourcePaths...)
	case *instructions.RunCommand:
		r.out.runs = append(r.out.runs, strings.Join(c.CmdLine, " "))
		for _, file := range c.Files {
			r.out.runs = append(r.out.runs, file.Data)
		}
		for _, mount := range instructions.GetMounts(c) {
			switch {
			case mount.From != "":
				r.from(at, mount.From, env)
			case mount.Type == instructions.MountTypeBind && mount.Source != "":
				r.source(env, mount.Source)
			case mount.Type == instructions.MountTypeSecret:
				ask(&r.out.secrets, cmp.Or(mount.Source, mount.CacheID, path.Base(mount.Target)))
			case mount.Type == instructions.MountTypeSSH:
				ask(&r.out.ssh, cmp.Or(mount.CacheID, "default"))
			}
		}
	case *instructions.OnbuildCommand:
		r.out.onbuild = append(r.out.onbuild, c.Expression)
	}
}

// from visits what --from names: a stage by name or number, or an image.
func (r *reader) from(at int, name string, env scope) {
	name, _, ok := env.expand(name)
	if !ok {
		return
	}
	if n, err := strconv.Atoi(name); err == nil {
		if n >= 0 && n < at {
			r.stage(n)
		}
		return
	}
	for j := at - 1; j >= 0; j-- {
		if strings.EqualFold(r.list[j].Name, name) {
			r.stage(j)
			return
		}
	}
	r.image(name)
}

func (r *reader) image(ref string) {
	if ref != "" && ref != "scratch" && !slices.Contains(r.out.others, ref) {
		r.out.others = append(r.out.others, ref)
	}
}

// ask keeps an id that lab-layers.yaml can list.
func ask(ids *[]string, id string) {
	if len(id) <= maxName && secretID.MatchString(id) && !slices.Contains(*ids, id) {
		*ids = append(*ids, id)
	}
}

// source keeps sources that lie in the context and are fully known.
func (r *reader) source(env scope, paths ...string) {
	for _, name := range paths {
		value, unset, ok := env.expand(name)
		if !ok || len(unset) > 0 || value == "" || strings.Contains(value, "://") || strings.HasPrefix(value, "git@") || strings.HasPrefix(value, "<<") || name == ".git" {
			continue
		}
		if !slices.Contains(r.out.sources, value) {
			r.out.sources = append(r.out.sources, value)
		}
	}
}
