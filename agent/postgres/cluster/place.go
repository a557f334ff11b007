package cluster

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/lab-layers/lab-layers/pipeline/child"
)

// maxSocketPath is the longest socket path that the kernel takes, in bytes
// (unix(7)).
const maxSocketPath = 107

const (
	// lockLimit is how long a killed process is given to be gone.
	lockLimit = time.Second
	// dataLimit is how long its PostgreSQL is given: it lets its children five
	// seconds before it kills them.
	dataLimit = 15 * time.Second
)

// place is where a cluster lies on disk, taken for this process.
type place struct {
	root   string // the data directory as given
	data   string // PostgreSQL's own
	socket string
	owner  owner
	lock   *os.File
}

// openPlace makes the directory and takes it.
func openPlace(ctx context.Context, root string) (*place, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, err
	}
	p := &place{root: root, data: filepath.Join(root, "data"), socket: socketDir(root)}
	p.lock, err = os.OpenFile(filepath.Join(root, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := child.Lock(ctx, p.lock, lockLimit, ErrInUse); err != nil {
		p.lock.Close()
		return nil, err
	}
	if p.owner, err = ownerOf(p.data); err != nil {
		p.lock.Close()
		return nil, err
	}
	return p, nil
}

func (p *place) close() { p.lock.Close() }

// leave gives the directory back, and removes a socket's directory that lies
// elsewhere.
func (p *place) leave() {
	if filepath.Dir(p.socket) != p.root {
		os.Remove(p.socket)
	}
	p.close()
}

// version is the major version of the PostgreSQL that made the cluster; empty
// if there is none.
func (p *place) version() (string, error) {
	text, err := os.ReadFile(filepath.Join(p.data, "PG_VERSION"))
	if errors.Is(err, os.ErrNotExist) {
		if entries, err := os.ReadDir(p.data); err == nil && len(entries) > 0 {
			return "", fmt.Errorf("%s is not empty and holds no PostgreSQL cluster (it has no PG_VERSION): move it away", p.data)
		}
		return "", nil
	}
	return strings.TrimSpace(string(text)), err
}

// openData opens a directory of PostgreSQL's and locks it. Every process of
// the server inherits the lock, so it is free only once the last has ended;
// right after a kill that takes a moment.
func (p *place) openData(ctx context.Context, dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := child.Lock(ctx, f, dataLimit, ErrInUse); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return f, nil
}

// openSocketDir opens the socket's directory, empty and closed to others.
func (p *place) openSocketDir() (*os.File, error) {
	if err := os.Mkdir(p.socket, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	info, err := os.Lstat(p.socket)
	if err != nil {
		return nil, err
	}
	if uid := int(info.Sys().(*syscall.Stat_t).Uid); !info.IsDir() || uid != os.Geteuid() && uid != p.owner.uid {
		return nil, fmt.Errorf("%s is somebody else's: remove it", p.socket)
	}
	// What a dead server left; we hold the lock, so none is alive.
	for _, name := range []string{".s.PGSQL." + strconv.Itoa(port), ".s.PGSQL." + strconv.Itoa(port) + ".lock"} {
		if err := os.Remove(filepath.Join(p.socket, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	if err := p.owner.give(p.socket); err != nil {
		return nil, err
	}
	return os.Open(p.socket)
}

// socketDir is below the root, unless a socket's path would be too long there
// or could not be written in a connection URL.
func socketDir(root string) string {
	dir := filepath.Join(root, "socket")
	if len(dir)+len("/.s.PGSQL.5432") <= maxSocketPath && !strings.ContainsAny(dir, ",\x00") {
		return dir
	}
	top := "/tmp"
	if os.Geteuid() == 0 {
		top = "/run"
	}
	return fmt.Sprintf("%s/lab-layers-%.8x", top, sha256.Sum256([]byte(root)))
}

// removeStalePID removes a dead server's pid file if its number now belongs to
// another process: PostgreSQL would take that for the server. Of a number that
// nobody has it makes sure by itself.
func removeStalePID(data string) error {
	path := filepath.Join(data, "postmaster.pid")
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		return os.Remove(path) // cut off by a full disk
	}
	at, err := os.Stat(fmt.Sprintf("/proc/%d/cwd", pid))
	if err != nil {
		return nil
	}
	here, err := os.Stat(data)
	if err != nil {
		return err
	}
	if os.SameFile(at, here) {
		return fmt.Errorf("%s: PostgreSQL process %d: %w", data, pid, ErrInUse)
	}
	return os.Remove(path)
}
