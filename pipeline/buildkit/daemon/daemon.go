// Package daemon runs a buildkitd of our own.
//
// Input is a directory for its state; output is an address to build at. The
// daemon lives in its own PID and mount namespace and ends, with every
// container it runs, when this process ends, however that happens. The package
// does not build anything: that is the builder's part.
package daemon

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/moby/buildkit/client"

	"github.com/lab-layers/lab-layers/pipeline/child"
)

// Options say how to run a buildkitd.
type Options struct {
	// Binary is the path of buildkitd. Empty: the one beside our own
	// executable, else the one on PATH.
	Binary string
	// Root is the directory of its state and cache; it is made if missing. Two
	// daemons cannot share one.
	Root string
	// PlainHTTP lists registries (HOST or HOST:PORT) that are spoken to without
	// TLS. Those on loopback are so without being named.
	PlainHTTP []string
	// Network of RUN steps, as --oci-worker-net takes it. Empty is "host":
	// it needs nothing installed, but RUN steps then reach whatever listens on
	// this machine's loopback. "bridge" and "cni" keep them apart.
	Network string
	// CacheSize is the most disk space that the cache may take, such as 200GB,
	// or 30% of the disk; a tenth of the disk is kept free in any case. Empty
	// leaves it to BuildKit: at most 100 GB, and a fifth of the disk kept free.
	// A step that is running is not bounded by it.
	CacheSize string
	// CgroupParent is the control group that those of RUN steps are made in,
	// with its limits on memory and processes; empty is the hierarchy's root.
	CgroupParent string
	// Parallelism is the most RUN and COPY steps at a time; 0 is no limit.
	Parallelism int
	// Environ is an environment, as NAME=VALUE, of which the daemon is given
	// what it needs: the PATH, proxies and certificates.
	Environ []string
	// Logger is given what the daemon prints, line by line, at debug level;
	// nil drops it.
	Logger *slog.Logger
}

// ErrInUse says that another buildkitd works on the same root directory.
var ErrInUse = errors.New("another buildkitd works on this directory")

const (
	// startLimit is how long a daemon may take until it answers; usually it
	// is a tenth of a second.
	startLimit = 30 * time.Second
	// stopLimit is how long it may take to end by itself.
	stopLimit = 10 * time.Second
	// maxSocketPath is the longest socket path that containerd's listener
	// takes; the kernel's limit is 107 bytes.
	maxSocketPath = 104
)

// Daemon is a running buildkitd.
type Daemon struct {
	options Options
	socket  string
	process *child.Process
}

// Start runs a buildkitd and waits until it answers. The error wraps [ErrInUse]
// if the root directory is taken, and ends with the daemon's last lines if it
// does not come up. A cancelled context ends the attempt, not a daemon that
// has started.
func Start(ctx context.Context, o Options) (*Daemon, error) {
	d, err := start(ctx, o)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx) // gRPC has it as a text of its own
	}
	if err != nil {
		return nil, fmt.Errorf("start buildkitd: %w", err)
	}
	return d, nil
}

func start(ctx context.Context, o Options) (*Daemon, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("it needs root: run as root, or give the address of a BuildKit that runs already")
	}
	if err := o.Check(); err != nil {
		return nil, err
	}
	binary, err := find(o.Binary)
	if err != nil {
		return nil, err
	}
	if o.Root, err = filepath.Abs(o.Root); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Root, 0o700); err != nil {
		return nil, err
	}
	lock, err := takeLock(ctx, filepath.Join(o.Root, lockFile))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Root, err)
	}
	defer lock.Close() // the child holds its own copy
	sockets, err := shortDir(o.Root, "buildkitd.sock")
	if err != nil {
		return nil, err
	}
	temp, err := tempDir(o.Root)
	if err != nil {
		return nil, err
	}
	config := filepath.Join(o.Root, "buildkitd.toml")
	if err := writeConfig(config, o); err != nil {
		return nil, err
	}
	// Of a daemon that was killed.
	sweepCgroups(o.cgroup())
	sweepBundles(o.Root)
	d := &Daemon{options: o, socket: filepath.Join(sockets, "buildkitd.sock")}
	// A socket that is there is a dead daemon's: we hold the lock.
	if err := os.Remove(d.socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	cmd, err := isolated(binary, arguments(o, config, sockets))
	if err != nil {
		return nil, err
	}
	cmd.Env, cmd.ExtraFiles = append(environ(o.Environ), "TMPDIR="+temp), []*os.File{lock}
	d.process, err = child.Start(cmd, o.Logger)
	if err != nil {
		return nil, err
	}
	if err := d.await(ctx); err != nil {
		d.process.Kill()
		if d.process.Said("another instance running") {
			return nil, fmt.Errorf("%s: %w", o.Root, ErrInUse) // one not started by us
		}
		return nil, d.process.Because(err)
	}
	return d, nil
}

func arguments(o Options, config, sockets string) []string {
	network := o.Network
	if network == "" {
		network = "host"
	}
	return []string{
		"--config", config,
		"--root", o.Root,
		"--addr", "unix://" + filepath.Join(sockets, "buildkitd.sock"),
		"--otel-socket-path", filepath.Join(sockets, "otel.sock"),
		"--containerd-worker=false",
		"--oci-worker=true",
		"--oci-worker-snapshotter", "auto",
		"--oci-worker-net", network,
		"--oci-max-parallelism", strconv.Itoa(o.Parallelism),
	}
}

// await returns when the daemon answers a request.
func (d *Daemon) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("it did not answer within %s", startLimit))
	defer cancel()
	err := d.process.Await(ctx, func(context.Context) error {
		conn, err := net.Dial("unix", d.socket)
		if err == nil {
			conn.Close()
		}
		return err
	})
	if err != nil {
		return err
	}
	c, err := client.New(ctx, d.Address())
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Info(ctx)
	return err
}

// Address is where to build, such as unix:///var/lib/x/buildkitd.sock. It
// depends on the root directory alone.
func (d *Daemon) Address() string { return "unix://" + d.socket }

// Done is closed when the daemon has ended.
func (d *Daemon) Done() <-chan struct{} { return d.process.Done() }

// Err says how the daemon ended, with its last lines, once Done is closed.
func (d *Daemon) Err() error {
	return fmt.Errorf("buildkitd: %w", d.process.Because(errors.New("ended")))
}

// Stop ends the daemon: politely first, by force when ctx ends or after some
// seconds. Nothing of it is left when Stop returns.
func (d *Daemon) Stop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, stopLimit)
	defer cancel()
	if !d.process.End(ctx, syscall.SIGTERM) {
		d.process.Kill()
	}
	sweepCgroups(d.options.cgroup())
	// A step that is cancelled may leave its bundle, too. Without the lock the
	// directory is another daemon's already.
	if lock, err := takeLock(ctx, filepath.Join(d.options.Root, lockFile)); err == nil {
		sweepBundles(d.options.Root)
		lock.Close()
	}
}

// find returns the path of the buildkitd to run, and checks for what it needs.
func find(binary string) (string, error) {
	if binary == "" {
		if self, err := os.Executable(); err == nil {
			beside := filepath.Join(filepath.Dir(self), "buildkitd")
			if info, err := os.Stat(beside); err == nil && info.Mode().IsRegular() {
				binary = beside
			}
		}
	}
	if binary == "" {
		binary = "buildkitd"
	}
	path, err := exec.LookPath(binary)
	if err != nil {
		return "", fmt.Errorf("%w: put buildkitd beside this program or on PATH (go build github.com/moby/buildkit/cmd/buildkitd makes it), or give its path", err)
	}
	for _, runtime := range []string{"buildkit-runc", "runc"} {
		if _, err := exec.LookPath(runtime); err == nil {
			return path, nil
		}
	}
	return "", errors.New("no runc on PATH, which runs the steps of a build: install it (apt-get install runc)")
}

// shortDir returns a directory for a socket at a path below it: the root, or a
// short one under /run if the root's path is too long for that.
func shortDir(root, socket string) (string, error) {
	if len(filepath.Join(root, socket)) <= maxSocketPath {
		return root, nil
	}
	dir := fmt.Sprintf("/run/lab-layers/%x", sha256.Sum256([]byte(root)))[:32]
	return dir, os.MkdirAll(dir, 0o700)
}

// tempDir makes an empty directory for the daemon's temporary files, where one
// that is killed leaves its mount points and sockets. What was mounted there
// went with the daemon, in whose namespace it was.
func tempDir(root string) (string, error) {
	short, err := shortDir(root, "tmp/.buildkit-ssh-sock1234567890/ssh_auth_sock")
	if err != nil {
		return "", err
	}
	dir := filepath.Join(short, "tmp")
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	return dir, os.Mkdir(dir, 0o700)
}
