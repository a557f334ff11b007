package scaffold

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/lab-layers/lab-layers/layers"
)

// Limits on what is looked at.
const (
	maxDockerfiles = 10_000
	maxLayers      = 5_000     // half of what lab-layers.yaml may list
	maxVariants    = 64        // of one target
	maxEntries     = 1_000_000 // files and directories of the tree
	maxDepth       = 256       // directories
	maxTotal       = 128 << 20 // bytes of all Dockerfiles
	maxNamesakes   = 500       // images of one name that a FROM line is matched with
	maxEvidence    = 512 << 10 // bytes of a compose file or the like
	maxEvidences   = 2_000     // such files
	maxPackages    = 128 << 10 // bytes of a list of packages
	maxLinks       = 40        // symbolic links to one file, as in Linux
	maxAliases     = 2_000     // symbolic links that are looked at
	maxGlob        = 10_000    // names looked at for one wildcard
)

// repository is a tree that has been looked through once.
type repository struct {
	tree layers.Tree
	dirs map[string]map[string]layers.Entry // directories looked up by path

	dockerfiles []string // by path
	evidence    []string // files that may tell how images are built
	links       []string // symbolic links, which may lead to directories
	notes       []string
}

func readRepository(tree layers.Tree) (*repository, error) {
	r := &repository{tree: tree, dirs: map[string]map[string]layers.Entry{}}
	seen := 0
	var walk func(dir string, id layers.ObjectID, depth int) error
	walk = func(dir string, id layers.ObjectID, depth int) error {
		if depth > maxDepth {
			return fmt.Errorf("%s: directories lie more than %d deep", dir, maxDepth)
		}
		entries, err := tree.Tree(id)
		if err != nil {
			return err
		}
		if seen += len(entries); seen > maxEntries {
			return fmt.Errorf("the tree has more than %d entries", maxEntries)
		}
		for _, entry := range entries {
			name := path.Join(dir, entry.Name)
			if entry.IsDir() {
				if err := walk(name, entry.ID, depth+1); err != nil {
					return err
				}
				continue
			}
			r.note(name, entry)
		}
		return nil
	}
	if err := walk("", tree.Root, 0); err != nil {
		return nil, err
	}
	if len(r.dockerfiles) > maxDockerfiles {
		r.notes = append(r.notes, fmt.Sprintf("Only the first %d of %d Dockerfiles were looked at.", maxDockerfiles, len(r.dockerfiles)))
		r.dockerfiles = r.dockerfiles[:maxDockerfiles]
	}
	return r, nil
}

// note keeps a file that is worth reading later.
func (r *repository) note(name string, entry layers.Entry) {
	if entry.Mode == layers.ModeSubmodule || !utf8.ValidString(name) {
		return
	}
	switch {
	case isDockerfile(entry.Name):
		r.dockerfiles = append(r.dockerfiles, name)
	case isEvidence(name) && len(r.evidence) < maxEvidences:
		r.evidence = append(r.evidence, name)
	case entry.Mode == layers.ModeSymlink && len(r.links) < maxAliases:
		r.links = append(r.links, name)
	}
}

var errNotThere = errors.New("is not in the repository")

// find looks a path up with symbolic links followed. It never leaves the
// repository: ".." stops at its root.
func (r *repository) find(name string) (layers.Entry, string, error) {
	rest := strings.Split(path.Clean("/" + name)[1:], "/")
	at, dir, links := layers.Entry{Mode: layers.ModeDir, ID: r.tree.Root}, "", 0
	for len(rest) > 0 {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			dir = strings.TrimPrefix(path.Dir("/"+dir), "/")
			at, rest = layers.Entry{Mode: layers.ModeDir, ID: r.tree.Root}, append(strings.Split(dir, "/"), rest...)
			if dir, links = "", links+1; links > maxLinks {
				return at, "", errNotThere
			}
			continue
		}
		if !at.IsDir() {
			return at, "", errNotThere
		}
		entry, ok := r.list(dir, at.ID)[part]
		if !ok {
			return at, "", errNotThere
		}
		if entry.Mode != layers.ModeSymlink {
			at, dir = entry, path.Join(dir, part)
			continue
		}
		target, err := r.tree.ReadBlob(entry.ID, 4096) // PATH_MAX
		if links++; err != nil || links > maxLinks {
			return at, "", errNotThere
		}
		if full := string(target); strings.HasPrefix(full, "/") {
			rest = append(strings.Split(full, "/"), rest...)
		} else {
			rest = append(strings.Split(dir+"/"+full, "/"), rest...)
		}
		at, dir = layers.Entry{Mode: layers.ModeDir, ID: r.tree.Root}, ""
	}
	return at, dir, nil
}

// list is a directory's entries by name; what cannot be read is empty.
func (r *repository) list(dir string, id layers.ObjectID) map[string]layers.Entry {
	if known, ok := r.dirs[dir]; ok {
		return known
	}
	entries, _ := r.tree.Tree(id)
	byName := make(map[string]layers.Entry, len(entries))
	for _, entry := range entries {
		byName[entry.Name] = entry
	}
	r.dirs[dir] = byName
	return byName
}

// read returns the content of a file of at most limit bytes, links followed.
func (r *repository) read(name string, limit int64) ([]byte, error) {
	entry, _, err := r.find(name)
	if err != nil {
		return nil, err
	}
	if entry.IsDir() || entry.Mode == layers.ModeSubmodule {
		return nil, errors.New("is not a regular file")
	}
	return r.tree.ReadBlob(entry.ID, limit)
}

// aliases are the links to directories with a Dockerfile, by the directory.
func (r *repository) aliases() map[string][]string {
	to := map[string][]string{}
	for _, link := range r.links {
		if _, dir, err := r.find(link); err == nil && r.hasDockerfile(dir) {
			to[dir] = append(to[dir], link)
		}
	}
	return to
}

// hasFile reports whether a path is something else than a directory, links
// followed.
func (r *repository) hasFile(name string) bool {
	entry, _, err := r.find(name)
	return err == nil && !entry.IsDir()
}

// isDir reports whether a path is a directory, links followed.
func (r *repository) isDir(name string) bool {
	entry, _, err := r.find(name)
	return err == nil && entry.IsDir()
}

// has reports whether a COPY source, wildcards allowed, names anything in a
// directory. A submodule counts: it is there once the repository is cloned.
func (r *repository) has(dir, source string) bool {
	source = path.Clean("/" + source)[1:]
	if !strings.ContainsAny(source, `*?[\`) {
		_, _, err := r.find(path.Join(dir, source))
		return err == nil
	}
	looked := 0
	var match func(dir string, parts []string) bool
	match = func(dir string, parts []string) bool {
		at, real, err := r.find(dir)
		if err != nil {
			return false
		}
		if len(parts) == 0 || at.Mode == layers.ModeSubmodule {
			return true
		}
		if !at.IsDir() {
			return false
		}
		for name := range r.list(real, at.ID) {
			if looked++; looked > maxGlob {
				return false
			}
			if ok, err := path.Match(parts[0], name); err == nil && ok && match(path.Join(dir, name), parts[1:]) {
				return true
			}
		}
		return false
	}
	return match(dir, strings.Split(source, "/"))
}
