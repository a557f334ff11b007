package main

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// soakRemote is a repository that is pushed to at random, and what became of
// its refs.
type soakRemote struct {
	name, url, bare string
	dir             string // a checkout
	gate            *soakGate
	random          *rand.Rand
	changes         int

	mu     sync.Mutex // held while it is pushed to, or is away
	refs   map[string]string
	pushed []soakPush
}

// soakPush is a ref that was moved; it is deleted where the commit is empty.
type soakPush struct {
	Ref, Commit string
	object      string // what is pushed, if it is not the commit itself
}

func (r *soakRemote) git(args ...string) (string, error) {
	cmd := exec.Command("git", append([]string{"-c", "user.name=Instructor", "-c", "user.email=instructor@lab.example"}, args...)...)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", cmd, err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// push moves refs, all at once; a commit that is empty deletes.
func (r *soakRemote) push(moves ...soakPush) error {
	args := []string{"push", "-q", "--force", "--atomic", r.bare}
	for _, m := range moves {
		args = append(args, cmp.Or(m.object, m.Commit)+":"+m.Ref)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := r.git(args...); err != nil {
		return err
	}
	for _, m := range moves {
		delete(r.refs, m.Ref)
		if m.Commit != "" {
			r.refs[m.Ref] = m.Commit
		}
	}
	r.pushed = append(r.pushed, moves...)
	return nil
}

// commit makes one on another, after a change of the files; a nil change makes
// an empty one.
func (r *soakRemote) commit(on string, change func() error) (string, error) {
	if _, err := r.git("checkout", "-q", "--force", "--detach", on); err != nil {
		return "", err
	}
	if change != nil {
		if err := change(); err != nil {
			return "", err
		}
	}
	r.changes++
	for _, args := range [][]string{{"add", "-A"}, {"commit", "-q", "--allow-empty", "-m", fmt.Sprintf("change %d", r.changes)}} {
		if _, err := r.git(args...); err != nil {
			return "", err
		}
	}
	return r.git("rev-parse", "HEAD")
}

// edit changes a layer, most often an experiment.
func (r *soakRemote) edit(prefix string) func() error {
	return func() error {
		layer := soakLayers[3+r.random.IntN(4)]
		if n := r.random.IntN(30); n < 4 && prefix == "" {
			layer = soakLayers[max(0, n-1)]
		}
		pause := fmt.Sprintf("%.1f\n", r.random.Float64()*r.random.Float64()*3)
		content := fmt.Sprintf("%s%s %d\n", prefix, r.name, r.changes)
		if prefix == "" && r.random.IntN(4) == 0 {
			// Both repositories come upon this one, and come back to it.
			pause, content = "0.5\n", fmt.Sprintf("common %d\n", r.random.IntN(20))
		}
		if err := os.WriteFile(filepath.Join(r.dir, layer.name, "pause"), []byte(pause), 0o644); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(r.dir, layer.name, "content"), []byte(content), 0o644)
	}
}

// branch is one that there is, but main; empty if there is none.
func (r *soakRemote) branch() string {
	var all []string
	for ref := range r.refs {
		if strings.HasPrefix(ref, "refs/heads/") && ref != "refs/heads/main" {
			all = append(all, ref)
		}
	}
	if len(all) == 0 {
		return ""
	}
	slices.Sort(all) // the same seed chooses the same
	return all[r.random.IntN(len(all))]
}

const soakMain = "refs/heads/main"

// pushes pushes again and again until the context ends.
func (s *soak) pushes(ctx context.Context, r *soakRemote) error {
	for pause(ctx, time.Duration(r.random.ExpFloat64()*float64(2*time.Second))) {
		what, moves, err := r.choose()
		if err == nil {
			err = r.push(moves...)
		}
		if err != nil {
			return fmt.Errorf("push %s to %s: %w", what, r.name, err)
		}
		s.mu.Lock()
		s.report.Pushes[what]++
		s.mu.Unlock()
	}
	return nil
}

// pause waits; false if the context ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// choose decides what is pushed next.
func (r *soakRemote) choose() (what string, moves []soakPush, err error) {
	main, branch := r.refs[soakMain], r.branch()
	fresh := fmt.Sprintf("refs/heads/feature/%d", r.changes)
	one := func(ref, on string, change func() error) {
		var commit string
		commit, err = r.commit(on, change)
		moves = []soakPush{{Ref: ref, Commit: commit}}
	}
	n := r.random.IntN(100)
	_, root := r.git("rev-parse", "-q", "--verify", main+"~1")
	if branch == "" && n >= 40 && n < 65 || root != nil && n >= 65 && n < 74 {
		n = 0
	}
	switch {
	case n < 30:
		what = "a commit to main"
		one(soakMain, main, r.edit(""))
	case n < 40:
		what = "a new branch"
		one(fresh, main, r.edit(""))
	case n < 50:
		what = "a commit to a branch"
		one(branch, main, r.edit(""))
	case n < 58:
		what = "a deleted branch"
		moves = []soakPush{{Ref: branch}}
	case n < 62:
		what = "a branch forced to another's commit"
		moves = []soakPush{{Ref: branch, Commit: r.refs[r.branch()]}}
	case n < 65:
		what = "main is merged from a branch"
		moves = []soakPush{{Ref: soakMain, Commit: r.refs[branch]}}
		if _, broken := r.git("grep", "-q", "^broken", r.refs[branch]); broken == nil {
			moves[0].Ref = branch + "-b"
		}
	case n < 70:
		what = "a revert on main"
		one(soakMain, main, func() error {
			_, err := r.git("checkout", "-q", main+"~1", "--", ".")
			return err
		})
	case n < 74:
		what = "main forced one back"
		var commit string
		commit, err = r.git("rev-parse", main+"~1")
		moves = []soakPush{{Ref: soakMain, Commit: commit}}
	case n < 79:
		what = "a Git tag"
		tag := fmt.Sprintf("v%d", r.changes)
		r.changes++
		args := []string{"tag", "-a", "-m", tag, tag, main}
		if n%2 == 0 {
			args = []string{"tag", tag, main}
		}
		if _, err = r.git(args...); err == nil {
			moves = []soakPush{{Ref: "refs/tags/" + tag, Commit: main, object: "refs/tags/" + tag}}
		}
	case n < 86:
		what = "a README"
		one(soakMain, main, func() error {
			return os.WriteFile(filepath.Join(r.dir, "README.md"), fmt.Appendf(nil, "Edition %d.\n", r.changes), 0o644)
		})
	case n < 93:
		what = "a commit that cannot be built"
		one(fresh, main, r.edit("broken "))
	case n < 95:
		what = "a branch without a rule"
		one(fmt.Sprintf("refs/heads/scratch/%d", r.changes), main, r.edit(""))
	case n < 97:
		what = "an empty configuration"
		one(fresh, main, func() error { return os.WriteFile(filepath.Join(r.dir, "lab-layers.yaml"), []byte("broken\n"), 0o644) })
	default:
		what = "six branches at once"
		for range 6 {
			commit, failed := r.commit(main, r.edit(""))
			if failed != nil {
				return what, nil, failed
			}
			moves = append(moves, soakPush{Ref: fmt.Sprintf("refs/heads/feature/%d", r.changes), Commit: commit},
				soakPush{Ref: fmt.Sprintf("refs/heads/feature/%d-twin", r.changes), Commit: commit})
		}
	}
	return what, moves, err
}
