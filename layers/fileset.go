package layers

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"path"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
	"github.com/tonistiigi/fsutil"
	"github.com/tonistiigi/fsutil/types"
)

// MaxContextFiles is how many files and directories one layer may read.
const MaxContextFiles = 1_000_000

// file is one file of a context: what BuildKit's content hash looks at.
type file struct {
	path string
	mode uint32 // fs.FileMode
	id   string // object id; the target of a link
}

// fileset is what BuildKit would transfer for a layer, sorted by path: an
// upper bound of what its build can read.
type fileset struct {
	files []file
	links bool // there are symbolic links among them
	// unsendable says why BuildKit cannot be sent one of them.
	unsendable error
	sum        [sha256.Size]byte
}

// contextFilter is what decides which files of a context are transferred.
type contextFilter struct {
	ignore []string // patterns of the ignore file
	follow []string // paths that the LLB asks for; empty is everything
}

// over is the files that the filter leaves, to be read while the context lasts.
func (f contextFilter) over(ctx context.Context, files contextFS) (fsutil.FS, error) {
	files.lasts = ctx.Err
	opt := &fsutil.FilterOpt{ExcludePatterns: f.ignore}
	if len(f.follow) > 0 {
		opt.FollowPaths = f.follow
	}
	return fsutil.NewFilterFS(files, opt)
}

// readIgnore reads a .dockerignore file.
func readIgnore(text []byte) ([]string, error) {
	return ignorefile.ReadAll(strings.NewReader(string(text)))
}

// readFileset lists the files with fsutil's own filter, the code that BuildKit
// transfers with: so it can be too wide, never too narrow.
func readFileset(ctx context.Context, tree Tree, filter contextFilter) (*fileset, error) {
	filtered, err := filter.over(ctx, contextFS{tree: tree, identify: true})
	if err != nil {
		return nil, err
	}
	set := &fileset{}
	err = filtered.Walk(ctx, "/", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		stat := info.Sys().(*types.Stat)
		if len(set.files) == MaxContextFiles {
			return fmt.Errorf("the context has more than %d files", MaxContextFiles)
		}
		set.files = append(set.files, file{path: stat.Path, mode: stat.Mode, id: stat.Linkname})
		set.links = set.links || info.Mode()&fs.ModeSymlink != 0
		if set.unsendable == nil {
			set.unsendable = unsendable(stat)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	sort.Slice(set.files, func(i, j int) bool { return set.files[i].path < set.files[j].path })
	set.sum = sumFiles(set.files)
	return set, nil
}

// unsendable tells what a build could only find out when it has begun.
func unsendable(stat *types.Stat) error {
	link := fs.FileMode(stat.Mode)&fs.ModeSymlink != 0
	switch {
	case !utf8.ValidString(stat.Path):
		return fmt.Errorf("the name %q is not UTF-8, so the file cannot be sent; rename it, or exclude it in .dockerignore", stat.Path)
	case link && !utf8.ValidString(stat.Linkname):
		return fmt.Errorf("the link %q leads to %q, which is not UTF-8, so it cannot be sent; exclude it in .dockerignore", stat.Path, stat.Linkname)
	case fs.FileMode(stat.Mode).IsDir() && stat.Linkname != "":
		return submoduleError(stat.Path)
	}
	return nil
}

func submoduleError(name string) error {
	return fmt.Errorf("%s is a submodule: %w; exclude it in .dockerignore or vendor the files", name, ErrNotHere)
}

func sumFiles(files []file) [sha256.Size]byte {
	h := newHash("files")
	for _, f := range files {
		h.text(f.path)
		h.number(int64(f.mode))
		h.text(f.id)
	}
	return h.sum()
}

// selection is what one instruction reads of the context, in the terms of an
// LLB copy or mount.
type selection struct {
	source   string // slash-separated, from the context's root
	wildcard bool
	include  []string // patterns relative to the source
	exclude  []string
	whole    bool // everything that is transferred
}

// of narrows the transferred files to those that the selection reaches. With
// symbolic links about, or a pattern that cannot be judged, it stays wide. The
// error is the cause with which the context ended.
func (s selection) of(ctx context.Context, set *fileset) ([]file, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if s.whole || set.links || strings.Contains(s.source, `\`) {
		return set.files, nil // BuildKit unescapes only from the first wildcard on
	}
	source := strings.Trim(path.Clean("/"+s.source), "/")
	include, err := matcher(s.include)
	if err != nil {
		return set.files, nil
	}
	exclude, err := matcher(s.exclude)
	if err != nil || exclude != nil && exclude.Exclusions() {
		return set.files, nil
	}
	candidates := set.files
	if _, err := path.Match(source, ""); err == nil || !s.wildcard {
		candidates = set.from(s.literal(source))
	}
	var out []file
	for _, f := range candidates {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		rest, ok, err := s.below(source, f.path)
		if err != nil {
			return set.files, nil
		}
		if !ok {
			continue
		}
		if include != nil && rest != "" {
			if m, err := include.MatchesOrParentMatches(rest); err == nil && !m {
				continue
			}
		}
		if exclude != nil && rest != "" {
			if m, err := exclude.MatchesOrParentMatches(rest); err == nil && m {
				continue
			}
		}
		out = append(out, f)
	}
	return out, nil
}

// literal is what the path of all that the source can mean begins with.
func (s selection) literal(source string) string {
	if i := strings.IndexAny(source, "*?["); s.wildcard && i >= 0 {
		return source[:i]
	}
	return source
}

// from is the files whose path begins so.
func (s *fileset) from(prefix string) []file {
	first := sort.Search(len(s.files), func(i int) bool { return s.files[i].path >= prefix })
	files := s.files[first:]
	return files[:sort.Search(len(files), func(i int) bool { return !strings.HasPrefix(files[i].path, prefix) })]
}

// below reports whether a path is the source or lies in it, and gives the rest
// of the path.
func (s selection) below(source, name string) (rest string, ok bool, err error) {
	if source == "" {
		return name, true, nil
	}
	if !s.wildcard || !strings.ContainsAny(source, "*?[") {
		if name == source {
			return "", true, nil
		}
		rest, ok = strings.CutPrefix(name, source+"/")
		return rest, ok, nil
	}
	parts := strings.Split(name, "/")
	n := strings.Count(source, "/") + 1
	if len(parts) < n {
		return "", false, nil
	}
	ok, err = path.Match(source, strings.Join(parts[:n], "/"))
	return strings.Join(parts[n:], "/"), ok, err
}

func matcher(patterns []string) (*patternmatcher.PatternMatcher, error) {
	if len(patterns) == 0 {
		return nil, nil
	}
	return patternmatcher.New(patterns)
}
