package git

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/lab-layers/lab-layers/layers"
)

// errUnknown says that a name stands for nothing.
var errUnknown = errors.New("unknown")

// Resolve finds the commit that a revision names, as in gitrevisions(7): HEAD,
// a branch, a tag, a remote branch (origin/main), a full ref, a full or
// abbreviated commit, each with any of ~N, ^N, ^{commit} and ^{} after it.
func (r *Repository) Resolve(rev string) (layers.Commit, error) {
	end := strings.IndexAny(rev, "~^")
	if end < 0 {
		end = len(rev)
	}
	name := rev[:end]
	if name == "@" {
		name = "HEAD"
	}
	id, err := r.resolveName(name)
	if errors.Is(err, errUnknown) {
		return "", r.unknownRevision(rev, name)
	} else if err != nil {
		return "", fmt.Errorf("revision %q: %w", rev, err)
	}
	commit, err := r.peel(id)
	if err == nil && commit == "" {
		err = errors.New("it is not a commit, or the commit is missing")
	}
	if err != nil {
		return "", fmt.Errorf("revision %q: %w", rev, err)
	}
	found, err := r.follow(layers.Commit(commit.String()), rev[end:])
	if err != nil {
		return "", fmt.Errorf("revision %q: %w", rev, err)
	}
	return found, nil
}

// follow walks from a commit as ~N and ^N say.
func (r *Repository) follow(commit layers.Commit, steps string) (layers.Commit, error) {
	for steps != "" {
		if rest, ok := strings.CutPrefix(steps, "^{commit}"); ok {
			steps = rest
			continue
		}
		if rest, ok := strings.CutPrefix(steps, "^{}"); ok {
			steps = rest
			continue
		}
		kind := steps[0]
		digits := len(steps[1:]) - len(strings.TrimLeft(steps[1:], "0123456789"))
		n := 1
		if digits > 0 {
			var err error
			if n, err = strconv.Atoi(steps[1 : 1+digits]); err != nil {
				return "", fmt.Errorf("%q is no number of commits", steps[1:1+digits])
			}
		}
		steps = steps[1+digits:]
		if kind != '~' && kind != '^' {
			return "", fmt.Errorf("%q is not understood", string(kind)+steps)
		}
		times, parent := n, 1
		if kind == '^' {
			times, parent = min(n, 1), n
		}
		for range times {
			info, err := r.Commit(commit)
			if err != nil {
				return "", err
			}
			if len(info.Parents) < parent {
				return "", fmt.Errorf("commit %s has no parent %d", commit.Short(), parent)
			}
			commit = info.Parents[parent-1]
		}
	}
	return commit, nil
}

// resolveName finds a name in the order of gitrevisions(7).
func (r *Repository) resolveName(name string) (layers.ObjectID, error) {
	if id, err := layers.ParseObjectID(name); err == nil && len(id) == idSize {
		return id, nil
	}
	for _, pattern := range []string{"%s", "refs/%s", "refs/tags/%s", "refs/heads/%s", "refs/remotes/%s", "refs/remotes/%s/HEAD"} {
		ref := fmt.Sprintf(pattern, name)
		if !validRefName(ref) || (pattern == "%s" && !strings.HasPrefix(name, "refs/") && name != "HEAD") {
			continue
		}
		id, err := r.refID(ref, 0)
		if !errors.Is(err, errUnknown) {
			return id, err
		}
	}
	return r.abbreviated(name)
}

// refID is what one ref points at, through symbolic refs.
func (r *Repository) refID(ref string, depth int) (layers.ObjectID, error) {
	if depth > 5 { // git's own limit
		return "", fmt.Errorf("ref %s: symbolic refs without end", ref)
	}
	dir := r.layout.commonDir
	if ref == "HEAD" {
		dir = r.layout.gitDir
	}
	name := filepath.Join(dir, ref)
	text, err := readPath(name)
	if info, statErr := os.Stat(name); statErr == nil && info.IsDir() {
		err = fs.ErrNotExist // a directory of refs; the ref itself may be packed
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return r.packedID(ref)
	} else if err != nil {
		return "", err
	}
	if to, ok := strings.CutPrefix(text, "ref:"); ok {
		to = strings.TrimSpace(to)
		if !validRefName(to) || !strings.HasPrefix(to, "refs/") {
			return "", fmt.Errorf("ref %s points at %q", ref, to)
		}
		return r.refID(to, depth+1)
	}
	id, err := layers.ParseObjectID(strings.TrimSpace(text))
	if err != nil {
		return "", fmt.Errorf("ref %s: %w", ref, err)
	}
	return id, nil
}

func (r *Repository) packedID(ref string) (layers.ObjectID, error) {
	r.refs.mu.Lock()
	defer r.refs.mu.Unlock()
	if err := r.refs.readPacked(); err != nil {
		return "", err
	}
	if value, ok := r.refs.packed.refs[ref]; ok {
		return value.id, nil
	}
	return "", errUnknown
}

// abbreviated finds the one commit whose id begins so.
func (r *Repository) abbreviated(prefix string) (layers.ObjectID, error) {
	prefix = strings.ToLower(prefix)
	if len(prefix) < 4 || len(prefix) > 2*idSize || strings.Trim(prefix, "0123456789abcdef") != "" {
		return "", errUnknown
	}
	ids, err := r.db.withPrefix(prefix)
	if err != nil {
		return "", err
	}
	var commits []layers.ObjectID
	for _, id := range ids {
		if commit, err := r.peel(id); err == nil && commit != "" && !slices.Contains(commits, commit) {
			commits = append(commits, commit)
		}
	}
	switch len(commits) {
	case 0:
		return "", errUnknown
	case 1:
		return commits[0], nil
	}
	return "", fmt.Errorf("it is short for %d commits", len(commits))
}

// withPrefix returns the ids that begin with at least two hexadecimal digits.
func (d *database) withPrefix(digits string) ([]layers.ObjectID, error) {
	whole, err := hex.DecodeString(digits[:len(digits)/2*2])
	if err != nil {
		return nil, err
	}
	var found []layers.ObjectID
	take := func(id layers.ObjectID) {
		if strings.HasPrefix(id.String(), digits) && !slices.Contains(found, id) {
			found = append(found, id)
		}
	}
	if err := d.rescan(); err != nil {
		return nil, err
	}
	for _, p := range *d.packs.Load() {
		ids, err := p.index.withPrefix(string(whole))
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			take(id)
		}
	}
	for _, dir := range d.dirs {
		files, err := os.ReadDir(filepath.Join(dir, digits[:2]))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, file := range files {
			if id, err := layers.ParseObjectID(digits[:2] + file.Name()); err == nil {
				take(id)
			}
		}
	}
	return found, nil
}

// unknownRevision says what there is instead.
func (r *Repository) unknownRevision(rev, name string) error {
	if ref, _, err := r.head(); err == nil && name == "HEAD" && ref != "" {
		return fmt.Errorf("revision %q not found: the branch %s has no commit yet", rev, strings.TrimPrefix(ref, "refs/heads/"))
	}
	refs, err := r.Refs()
	if err != nil {
		return fmt.Errorf("revision %q not found; %w", rev, err)
	}
	var branches []string
	for ref := range refs {
		if branch, ok := strings.CutPrefix(string(ref), "refs/heads/"); ok {
			branches = append(branches, branch)
		}
	}
	if len(branches) == 0 {
		return fmt.Errorf("revision %q not found; the repository has no branches", rev)
	}
	slices.Sort(branches)
	const shown = 20
	more := ""
	if n := len(branches) - shown; n > 0 {
		branches, more = branches[:shown], fmt.Sprintf(" and %d more", n)
	}
	return fmt.Errorf("revision %q not found; the repository has branches %s%s", rev, strings.Join(branches, ", "), more)
}
