package git

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/lab-layers/lab-layers/layers"
)

// errGone says that the remote no longer has a commit.
var errGone = fmt.Errorf("the remote no longer has the commit: %w", fs.ErrNotExist)

// receive downloads the commits from the mirror's to a new one.
func (m *Mirror) receive(ctx context.Context, talk *talk, ref layers.Ref, commit layers.ObjectID) error {
	want, err := talk.wants(ref, commit)
	if err != nil {
		return err
	}
	haves, err := m.haves()
	if err != nil {
		return err
	}
	haves = slices.DeleteFunc(haves, func(have plumbing.Hash) bool { return have == want })
	if err := talk.pack(ctx, []plumbing.Hash{want}, haves, func(r io.Reader) error { return m.store(ctx, talk, r) }); err != nil {
		return err
	}
	if _, err := m.here(layers.ObjectID(want[:])); err != nil {
		return fmt.Errorf("%w: %v", errLacking, err)
	}
	return nil
}

// FetchAll brings all branches and tags with their histories, and makes the
// mirror's refs the remote's: what was deleted there is gone here. Of a local
// remote it does nothing, as [Mirror.Repository] is the remote itself.
func (m *Mirror) FetchAll(ctx context.Context) error {
	if m.from.path != "" {
		_, err := m.openRemote()
		return m.from.fault("fetch", err)
	}
	done, err := m.lock(ctx)
	if err != nil {
		return m.from.fault("fetch", err)
	}
	defer done()
	fetch := func() error {
		return m.converse(ctx, func(ctx context.Context, talk *talk) error { return m.receiveAll(ctx, talk) })
	}
	if m.damaged.Swap(false) {
		err = m.empty()
	}
	if err == nil {
		err = fetch()
	}
	if errors.Is(err, errLacking) || errors.Is(err, errDamaged) {
		if err = m.empty(); err == nil {
			err = fetch()
		}
	}
	return m.from.fault("fetch", err)
}

func (m *Mirror) receiveAll(ctx context.Context, talk *talk) error {
	var wants []plumbing.Hash
	tips := map[string]plumbing.Hash{}
	for name, hash := range talk.refs.References {
		if !tracked(name) || !validRefName(name) {
			continue
		}
		if tips[name] = hash; len(tips) > maxRefs {
			return errTooManyRefs
		}
		if _, err := m.here(layers.ObjectID(hash[:])); errors.Is(err, fs.ErrNotExist) {
			wants = append(wants, hash)
		} else if err != nil {
			return err
		}
	}
	if len(wants) > 0 {
		haves, err := m.haves()
		if err != nil {
			return err
		}
		if err := talk.pack(ctx, wants, haves, func(r io.Reader) error { return m.store(ctx, talk, r) }); err != nil {
			return err
		}
	}
	for _, hash := range wants {
		if _, err := m.here(layers.ObjectID(hash[:])); err != nil {
			return fmt.Errorf("%w: %v", errLacking, err)
		}
	}
	return m.writeRefs(talk, tips)
}

// writeRefs replaces the mirror's branches and tags.
func (m *Mirror) writeRefs(talk *talk, tips map[string]plumbing.Hash) error {
	names := make([]string, 0, len(tips))
	for name := range tips {
		names = append(names, name)
	}
	slices.Sort(names)
	var text strings.Builder
	text.WriteString("# pack-refs with: peeled sorted \n")
	for _, name := range names {
		fmt.Fprintf(&text, "%s %s\n", tips[name], name)
		if peeled, ok := talk.refs.Peeled[name]; ok {
			fmt.Fprintf(&text, "^%s\n", peeled)
		}
	}
	if err := m.temp.writeFile(filepath.Join(m.dir, "packed-refs"), text.String()); err != nil {
		return err
	}
	for _, symbolic := range talk.refs.Capabilities.Get("symref") {
		branch, ok := strings.CutPrefix(symbolic, "HEAD:")
		if ok && strings.HasPrefix(branch, "refs/heads/") && validRefName(branch) {
			return m.temp.writeFile(filepath.Join(m.dir, "HEAD"), "ref: "+branch+"\n")
		}
	}
	return nil
}

// haves names commits that are in the mirror: the latest ones fetched, and
// some of their ancestors, in case the remote has forgotten those.
func (m *Mirror) haves() ([]plumbing.Hash, error) {
	const tips, back = 64, 10
	files, err := os.ReadDir(filepath.Join(m.dir, keepRefs))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	type kept struct {
		commit layers.Commit
		when   int64
	}
	var list []kept
	for _, file := range files {
		if info, err := file.Info(); err == nil {
			list = append(list, kept{layers.Commit(file.Name()), info.ModTime().UnixNano()})
		}
	}
	slices.SortFunc(list, func(a, b kept) int { return cmp.Compare(b.when, a.when) })
	refs, err := m.repo.Refs()
	if err != nil {
		return nil, err
	}
	for _, commit := range refs {
		list = append(list, kept{commit: commit})
	}
	seen := map[layers.Commit]bool{}
	var haves []plumbing.Hash
	for _, k := range list[:min(len(list), tips)] {
		at := k.commit
		for step := 1; step <= 1<<back; step++ {
			info, err := m.repo.Commit(at)
			if err != nil || seen[at] || !m.has(at) {
				break // its history is not here, or was told
			}
			if step&(step-1) == 0 {
				haves = append(haves, plumbing.NewHash(string(at)))
			}
			seen[at] = true
			if len(info.Parents) == 0 {
				break
			}
			at = info.Parents[0]
		}
	}
	return haves, nil
}

// has reports whether a commit need not be fetched.
func (m *Mirror) has(commit layers.Commit) bool {
	id, err := layers.ParseObjectID(string(commit))
	if err == nil {
		_, err = m.here(id)
	}
	return err == nil
}

// store takes a pack from a remote into the mirror.
func (m *Mirror) store(ctx context.Context, talk *talk, r io.Reader) error {
	file, err := m.temp.create()
	if err != nil {
		return err
	}
	defer func() {
		file.Close()
		os.Remove(file.Name()) // it has another name where all went well
	}()
	err = m.storeBy(ctx, talk, r, file)
	if errors.Is(err, errDamaged) {
		return fmt.Errorf("receive pack: %v", err) // it is not the mirror that is damaged
	} else if err != nil {
		return fmt.Errorf("receive pack: %w", err)
	}
	return nil
}

// storeBy is store by way of a temporary file.
func (m *Mirror) storeBy(ctx context.Context, talk *talk, r io.Reader, file *os.File) error {
	in := &stickyReader{r: contextReader{ctx, r}}
	out := bufio.NewWriterSize(file, 1<<16)
	received, err := readPack(ctx, io.TeeReader(in, out), m.limits)
	talk.alarm.stop()
	if err != nil && in.err != nil {
		return in.err
	} else if err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if err := received.resolve(ctx, file, m.limits); err != nil {
		return err
	}
	switch {
	case len(received.entries) == 0:
		return nil
	case received.small():
		return received.explode(m.temp, filepath.Join(m.dir, "objects"))
	}
	return received.install(m.temp, file, filepath.Join(m.dir, "objects", "pack"))
}

// stickyReader remembers the error that a decoder may hide.
type stickyReader struct {
	r   io.Reader
	err error
}

func (s *stickyReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}
