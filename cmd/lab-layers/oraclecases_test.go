package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
)

// checkout is a repository's work tree: files by path.
type checkout map[string]checkedOut

// checkedOut is a file's content, or a link's target.
type checkedOut struct {
	data       string
	executable bool
	link       bool
}

func (c checkout) put(name, data string) { c[name] = checkedOut{data: data} }

// chance makes repositories and edits, the same ones for the same seed.
type chance struct {
	*rand.Rand
	known *[]string // paths in the context that sources are drawn from
}

func newChance(seed uint64) chance {
	return chance{rand.New(rand.NewPCG(seed, seed)), &[]string{"."}}
}

// learn makes sources name what is there, most of the time.
func (c chance) learn(files checkout) {
	*c.known = []string{"."}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		for name != "lab" && strings.HasPrefix(name, "lab/") && name != "lab/.dockerignore" {
			*c.known = append(*c.known, strings.TrimPrefix(name, "lab/"))
			name = path.Dir(name)
		}
	}
}

// there is the path of something in the context, quoted for a pattern and for
// the JSON form of a COPY.
func (c chance) there() string {
	name := c.of(*c.known...)
	if c.once(4) {
		return strings.ReplaceAll(name, `\`, `\\`)
	}
	return strings.NewReplacer(`[`, `[[]`, `*`, `[*]`, `?`, `[?]`, `\`, `\\`).Replace(name)
}

func (c chance) of(list ...string) string { return list[c.IntN(len(list))] }

func (c chance) once(in int) bool { return c.IntN(in) == 0 }

// name is one path element. There are few, so that patterns and links meet
// files.
func (c chance) name() string {
	if c.once(6) {
		return c.of("-dash", "sp ace", "ü.py", "[x]", "st*r", "qu?.py", "!not", "#hash", `back\slash`, "a-b", "a.b")
	}
	return c.of("a", "b", "ab", "a.py", "b.py", "c.txt", "README.md", "sub", "lib", "data", "sub.d")
}

func (c chance) path() string {
	name := c.name()
	for c.once(2) {
		name = c.of("sub", "lib", "data", "a", c.name()) + "/" + name
	}
	return name
}

// add puts a file into the context unless its path crosses another file's.
func (c chance) add(files checkout) {
	name := "lab/" + c.path()
	if !files.fits(name) {
		return
	}
	f := checkedOut{data: c.of("1", "2", "3", "one", ""), executable: c.once(4)}
	if c.once(5) {
		up := strings.Repeat("../", c.IntN(strings.Count(name, "/")+1))
		f = checkedOut{link: true, data: c.of(c.name(), up+c.path(), "/"+c.path(), "missing", ".", path.Base(name), "sub", "lib")}
	}
	files[name] = f
}

// fits reports whether a file can be made at a path.
func (c checkout) fits(name string) bool {
	if name == "lab/Dockerfile" || name == "lab/.dockerignore" {
		return false
	}
	for other := range c {
		if other == name || strings.HasPrefix(other, name+"/") || strings.HasPrefix(name, other+"/") {
			return false
		}
	}
	return true
}

// archive is a tar archive with one file.
func archive(data string) string {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "packed/file", Mode: 0o644, Size: int64(len(data)), Format: tar.FormatUSTAR}); err != nil {
		panic(err)
	}
	io.WriteString(w, data)
	w.Close()
	return b.String()
}

// oracleDockerfile is where the layer "lab" has its Dockerfile.
const oracleDockerfile = "docker/lab.Dockerfile"

// repository makes one; tools is the reference of an image with a shell.
func (c chance) repository(tools string) checkout {
	files := checkout{}
	for range 6 + c.IntN(12) {
		c.add(files)
	}
	c.ignore(files)
	c.learn(files)
	files.put("lab/archive.tar", archive("1"))
	files.put("base/top", "1")
	base := "FROM " + c.of("scratch", "scratch", tools) + "\nCOPY top /base/\nENV FROM_BASE=sub\n"
	if c.once(2) {
		base += "ONBUILD COPY " + c.source() + "\"/onbuild/\"]\n"
	}
	for range c.IntN(3) {
		base += c.of("ONBUILD ENV DIR=sub", "ONBUILD ARG DIR=lib", "ENV DIR=$FROM_BASE", "ONBUILD COPY $DIR /triggered/", "ONBUILD COPY --exclude=*.py . /triggered/", "ONBUILD WORKDIR /triggered") + "\n"
	}
	files.put("base/Dockerfile", base)
	files.put(oracleDockerfile, c.dockerfile(tools))
	text := "version: 1\nlayers:\n  - {name: base, kind: base, context: base}\n  - {name: lab, kind: framework, parent: base, context: lab, dockerfile: " + oracleDockerfile
	if c.once(3) {
		text += ", args: {DIR: " + c.of("sub", "lib", "a") + "}"
	}
	files.put("lab-layers.yaml", text+"}\n")
	return files
}

func (c chance) ignore(files checkout) {
	if c.once(2) {
		files.put("lab/.dockerignore", c.patterns())
	}
	if c.once(5) {
		files.put(oracleDockerfile+".dockerignore", c.patterns())
	}
}

func (c chance) patterns() string {
	var lines []string
	if c.once(3) {
		lines = append(lines, c.of("*", "**", "sub", "lib", "*.py"))
	}
	for range c.IntN(4) {
		lines = append(lines, c.of("", "!")+c.of("", "", "**/", "sub/", "/")+c.of("*", "*.py", "*.md", "a*", "?", "**", "sub", "lib/**", "[ab]", c.path()))
	}
	return strings.Join(lines, "\n") + "\n"
}

// dockerfile makes stages, of which the last is the target.
func (c chance) dockerfile(tools string) string {
	lines := []string{"ARG OUTSIDE=lib", "FROM scratch AS unused", "COPY . /unused/", "FROM " + c.of("scratch", tools) + " AS one"}
	for range c.IntN(3) {
		lines = append(lines, c.instruction(lines, "unused"))
	}
	lines = append(lines, "FROM base AS last")
	for range 1 + c.IntN(4) {
		lines = append(lines, c.instruction(lines, "one"))
	}
	return strings.Join(lines, "\n") + "\n"
}

// source is what a COPY may name, as one element of its JSON form.
func (c chance) source() string {
	source := c.there()
	switch c.IntN(4) {
	case 0, 1:
		source = c.of("*", "*.py", "su*/", "*/a", "[ab]", "?", "a*", "s?b/*", "**/a", "[[]x]", "sub*/*.py", "*/*/a", "[^a]*", "*b", "l*/*")
	case 2:
		if c.once(3) {
			source = c.of("sub", "lib/", "./sub/../lib", "../a", "$DIR", "${DIR}/a", "$FROM_BASE", "$OUTSIDE", "${DIR:-sub}", "${NONE:+x}lib", "$DIR*", `\\[x\\]`, `back\\slash`)
		}
	}
	return `["` + source + `", `
}

// instruction makes one that suits what stands above it.
func (c chance) instruction(above []string, stage string) string {
	from := ""
	for _, line := range above {
		if strings.HasPrefix(line, "FROM ") {
			from = line
		}
	}
	dest := fmt.Sprintf("/d%d/", c.IntN(3))
	flags := c.of("", "", "", "--link ", "--chmod=700 ", "--exclude=*.py ", "--exclude=**/a ", "--exclude=!b --exclude=* ", "--parents ", "--parents --exclude=sub ", "--chmod=u+x,go-r ", "--link --exclude=*.py ", "--parents --link ", "--exclude=$DIR ", "--parents --exclude=**/*.py --exclude=!a.py ", "--chown=7:$NONE ")
	source := c.source()
	switch c.IntN(12) {
	case 0:
		return "ARG " + c.of("DIR=sub", "DIR=lib", "DIR=a", "DIR", "OUTSIDE", "DIR=$OUTSIDE", "DIR=${FROM_BASE:-lib}", "OUTSIDE=$DIR")
	case 1:
		return c.of("ENV DIR=data", "WORKDIR /work/"+c.name(), "LABEL x=y", "CMD [\"x\"]", "# a comment", "USER 1000", "ENV DIR=$DIR/a", "ENV DIR=${DIR%/*}", "ENV OUTSIDE=$DIR", "ONBUILD COPY . /never/")
	case 2:
		return `ADD ["archive.tar", "` + dest + `"]`
	case 3:
		return "COPY " + c.of("<<EOF", "<<-EOF", "<<'EOF'", "--chmod=600 <<EOF") + " /inline\n$DIR " + c.of("one", "two", "$OUTSIDE") + "\nEOF"
	case 4:
		return "COPY --from=" + c.of(stage, stage, strings.ToUpper(stage), "0") + " / /from/"
	case 5, 6:
		if !strings.Contains(from, "/tools") || stage != "unused" {
			break
		}
		mount := c.of("source="+c.of(strings.NewReplacer(" ", "", ",", "").Replace(c.of(*c.known...)), "sub"), "source=.", "", "from=unused", "from=unused,source=unused", "source=$DIR", "source=sub,rw")
		more := c.of("", "", "--mount=type=cache,target=/cache ", "--mount=type=tmpfs,target=/tmp ", "--mount=source=lib,target=/lib2 ")
		return "RUN " + more + "--mount=type=bind,target=/mnt," + strings.TrimSuffix(mount, ",") +
			` mkdir -p /out && cd /mnt && (find . | sort; find . -type f -exec md5sum {} + | sort; find . -exec stat -c "%a %N" {} + | sort) >> /out/list`
	}
	if strings.Contains(flags, "--parents") && c.once(2) {
		source = `["` + c.of("sub/./*", "./sub/./a", "*/./a", "lib/./**/b", "./**/*.py", "a/./b") + `", `
	}
	return "COPY " + flags + source + `"` + dest + `"]`
}

// edit changes one thing and says what.
func (c chance) edit(before checkout, tools string) (after checkout, what string) {
	after = maps.Clone(before)
	c.learn(before)
	var own []string
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if strings.HasPrefix(name, "lab/") && name != "lab/.dockerignore" {
			own = append(own, name)
		}
	}
	if len(own) == 0 {
		c.add(after)
		return after, "add"
	}
	name := c.of(own...)
	f := after[name]
	switch what = c.of("content", "content", "size", "chmod", "rename", "delete", "add", "add", "relink", "ignore", "dockerfile", "dockerfile", "swap", "base", "kind", "argument", "document", "line"); what {
	case "content": // of the same size, if there is any
		if f.link {
			what = "relink"
			f.data = c.of(c.name(), "../"+c.path(), "sub", "/"+c.path())
		} else if f.data == "" {
			f.data = "1"
		} else if name == "lab/archive.tar" {
			f.data = archive(c.of("1", "2"))
		} else {
			f.data = string(rune(f.data[0])^3) + f.data[1:]
		}
		after[name] = f
	case "size":
		f.data += "x"
		after[name] = f
	case "chmod":
		f.executable = !f.executable && !f.link
		after[name] = f
	case "rename":
		delete(after, name)
		if to := path.Dir(name) + "/" + c.name(); after.fits(to) {
			after[to] = f
		}
	case "delete":
		delete(after, name)
	case "add":
		for range 3 {
			c.add(after)
		}
	case "relink":
		after[name] = checkedOut{link: true, data: c.of(c.name(), "../"+c.path(), "sub", "/"+c.path(), "missing")}
	case "kind": // a file becomes a directory
		delete(after, name)
		after[name+"/"+c.name()] = checkedOut{data: f.data}
	case "swap":
		other := c.of(own...)
		after[name], after[other] = after[other], after[name]
	case "ignore":
		if c.once(2) {
			after.put("lab/.dockerignore", c.patterns())
		} else {
			delete(after, oracleDockerfile+".dockerignore")
			c.ignore(after)
		}
	case "dockerfile":
		lines := strings.Split(after[oracleDockerfile].data, "\n")
		at := 4 + c.IntN(max(1, len(lines)-5))
		if c.once(3) && at < len(lines) && !strings.HasPrefix(lines[at], "FROM") && !strings.Contains(after[oracleDockerfile].data, "EOF") {
			lines = slices.Delete(lines, at, at+1)
		} else if !strings.Contains(after[oracleDockerfile].data, "EOF") {
			lines = slices.Insert(lines, at, c.instruction(lines[:at], "unused"))
		} else {
			return c.edit(before, tools)
		}
		after.put(oracleDockerfile, strings.Join(lines, "\n"))
	case "base":
		after.put("base/top", c.of("1", "2", "3"))
	case "argument":
		text := strings.ReplaceAll(before["lab-layers.yaml"].data, "dockerfile: "+oracleDockerfile+"}", "dockerfile: "+oracleDockerfile+", args: {DIR: none}}")
		at := strings.Index(text, "DIR: ") + len("DIR: ")
		after.put("lab-layers.yaml", text[:at]+c.of("sub", "lib", "a", "data")+text[at+strings.Index(text[at:], "}"):])
	case "document":
		after.put(oracleDockerfile, strings.Replace(after[oracleDockerfile].data, "$DIR ", "$DIR"+c.of(" ", "  ", "/ ", "x "), 1))
	case "line": // what a line says changes, not where it stands
		old, now := c.of("sub", "lib", "*.py", "/d0/", "700", "DIR"), c.of("sub", "lib", "*.py", "/d0/", "700", "OUTSIDE")
		after.put(oracleDockerfile, strings.Replace(after[oracleDockerfile].data, old, now, 1+c.IntN(2)))
	}
	return after, what
}
