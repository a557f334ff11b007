package git

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lab-layers/lab-layers/layers"
)

// Limits bound what a remote can do to us. A zero field means its default.
type Limits struct {
	// Received is the largest pack in bytes that is taken from a remote:
	// 4 GiB. Packs go to the disk, not into memory.
	Received int64
	// Object is the largest object in bytes that is taken: 1 GiB.
	Object int64
	// Silence is how long a remote may send nothing: one minute.
	Silence time.Duration
	// Patience is how long a conversation may take, besides ten seconds for each
	// megabyte that comes: five minutes.
	Patience time.Duration
	// Refused is told the ref names of an answer that were left out because
	// git does not allow them. It may be nil.
	Refused func(names []string)
}

func (l Limits) withDefaults() Limits {
	if l.Received <= 0 {
		l.Received = 4 << 30
	}
	if l.Object <= 0 {
		l.Object = 1 << 30
	}
	if l.Silence <= 0 {
		l.Silence = time.Minute
	}
	if l.Patience <= 0 {
		l.Patience = 5 * time.Minute
	}
	return l
}

// Mirror keeps the commits of one remote that were fetched, in a bare
// repository of its own. Nothing in it is of value: one that is damaged is
// emptied and filled again, and one in which packs have piled up is filled anew
// beside the old. Several mirrors, in several processes, may share
// a directory. It is safe for use by several goroutines.
type Mirror struct {
	dir    string
	from   address
	limits Limits
	temp   tempDir
	repo   *Repository

	turn    chan struct{}                // held during a fetch
	known   map[layers.ObjectID]struct{} // trees of which all is here; by the turn
	objects fs.FileInfo                  // the directory that known is about; by the turn
	full    bool                         // had better be filled anew; by the turn
	damaged atomic.Bool                  // something cannot be read
	lacking atomic.Bool                  // something is missing

	mu     sync.Mutex
	remote *Repository // of a local remote, once opened
}

// Open opens or makes the mirror of a remote in a directory below dir, whose
// name is made from the remote's URL. It does not ask the remote anything. A token
// that cannot be read is an error already.
func Open(ctx context.Context, dir string, remote Remote, limits Limits) (*Mirror, error) {
	from, err := remote.parse()
	if err != nil {
		return nil, fmt.Errorf("open mirror: %w", err)
	}
	if _, err := from.withToken(); err != nil {
		return nil, fmt.Errorf("open mirror of %s: %w", from.url, err)
	}
	sum := sha256.Sum256([]byte(from.url))
	dir = filepath.Join(dir, hex.EncodeToString(sum[:16]))
	m := &Mirror{
		dir:    dir,
		temp:   tempDir(filepath.Join(dir, "tmp")),
		from:   from,
		limits: limits.withDefaults(),
		turn:   make(chan struct{}, 1),
		known:  map[layers.ObjectID]struct{}{},
	}
	if err := m.open(ctx); err != nil {
		return nil, fmt.Errorf("open mirror of %s: %w", from.url, err)
	}
	return m, nil
}

// mirrorConfig is all that git needs to see a bare repository.
const mirrorConfig = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n"

func (m *Mirror) open(ctx context.Context) error {
	if err := m.makeDirs(); err != nil {
		return err
	}
	done, err := m.lock(ctx)
	if err != nil {
		return err
	}
	defer done()
	if err := m.clean(); err != nil {
		return err
	}
	if err := m.temp.writeFile(filepath.Join(m.dir, "config"), mirrorConfig); err != nil {
		return err
	}
	head := filepath.Join(m.dir, "HEAD")
	if _, err := os.Stat(head); errors.Is(err, fs.ErrNotExist) {
		err = m.temp.writeFile(head, "ref: refs/heads/main\n")
		if err != nil {
			return err
		}
	}
	if m.repo, err = openRepository(layout{gitDir: m.dir, commonDir: m.dir}, m.before()); err != nil {
		return err
	}
	m.full = m.crowded()
	if err := m.tidy(); err != nil {
		return err
	}
	m.repo.objects.trouble = func(err error) {
		if errors.Is(err, errDamaged) {
			m.damaged.Store(true)
		} else {
			m.lacking.Store(true)
		}
	}
	return nil
}

// URL names the remote, without credentials.
func (m *Mirror) URL() string { return m.from.url }

// Dir is the directory of the mirror.
func (m *Mirror) Dir() string { return m.dir }

// Tree returns the tree of a commit that was fetched.
func (m *Mirror) Tree(_ context.Context, commit layers.Commit) (layers.Tree, error) {
	return m.repo.Tree(commit)
}

// Repository reads histories and resolves revisions: in a local remote itself,
// of another as it was when [Mirror.FetchAll] last ran.
func (m *Mirror) Repository() (*Repository, error) {
	if m.from.path == "" {
		return m.repo, nil
	}
	return m.openRemote()
}

// openRemote opens the remote as a directory on this machine.
func (m *Mirror) openRemote() (*Repository, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.remote == nil {
		remote, err := OpenLocal(m.from.path)
		if err != nil {
			return nil, err
		}
		m.remote = remote
	}
	return m.remote, nil
}

// Refs asks the remote where its branches and tags are, tags peeled to their
// commits. No object is transferred. What is no branch or tag is left out,
// and of a local remote symbolic refs, which others do not tell apart; so are
// names that git does not allow, which [Limits.Refused] is told. More than
// 1,000,000 refs are an error.
func (m *Mirror) Refs(ctx context.Context) (map[layers.Ref]layers.Commit, error) {
	refs, refused, err := m.readRefs(ctx)
	if err != nil {
		return nil, m.from.fault("read refs of", err)
	}
	if len(refused) > 0 && m.limits.Refused != nil {
		m.limits.Refused(refused)
	}
	return refs, nil
}

func (m *Mirror) readRefs(ctx context.Context) (map[layers.Ref]layers.Commit, []string, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, nil, err
	}
	if m.from.path != "" {
		remote, err := m.openRemote()
		if err != nil {
			return nil, nil, err
		}
		return remote.readRefs()
	}
	var refs map[layers.Ref]layers.Commit
	var refused []string
	err := m.converse(ctx, func(_ context.Context, talk *talk) (err error) {
		refs, refused, err = talk.commits()
		return err
	})
	return refs, refused, err
}
