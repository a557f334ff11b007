// Package cluster runs a PostgreSQL of our own.
//
// Input is a directory for its data; output is a URL to connect to. The
// cluster listens on a unix socket alone, survives a kill of anything at any
// time, and ends when this process ends, however that happens. The package
// knows nothing of what is stored: that is the store's part.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/lab-layers/lab-layers/pipeline/child"
)

// Options say how to run a cluster.
type Options struct {
	// DataDir holds everything; it is made if missing. Two clusters cannot
	// share one. It may lie below directories that PostgreSQL's user cannot
	// enter.
	DataDir string
	// BinDir has initdb and postgres. Empty: they are looked for on PATH and
	// where distributions put them; the version that made the cluster goes
	// first, then the newest.
	BinDir string
	// Logger is given what PostgreSQL prints, line by line, at debug level;
	// nil drops it.
	Logger *slog.Logger
}

// ErrInUse says that another process works on the data directory.
var ErrInUse = errors.New("another process works on this data directory")

const (
	// superuser owns the cluster. Whoever can enter the socket's directory, so
	// we and root, is let in under this name.
	superuser = "lab_layers"
	port      = 5432 // names the socket; nothing listens on TCP

	// startLimit is for a recovery after a crash; usually it is a few hundredths
	// of a second.
	startLimit = 2 * time.Minute
	// stopLimit is how long a shutdown may take until it is hurried.
	stopLimit = 20 * time.Second
)

// Cluster is a running PostgreSQL.
type Cluster struct {
	options Options
	place   *place
	bin     string
	process *child.Process
}

// Start makes the cluster if there is none, runs it, and waits until it
// answers. The error wraps [ErrInUse] if the data directory is taken, and ends
// with PostgreSQL's last lines if it does not come up. A cancelled context ends
// the attempt, not a cluster that has started.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	c, err := start(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	return c, nil
}

func start(ctx context.Context, o Options) (*Cluster, error) {
	place, err := openPlace(ctx, o.DataDir)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.DataDir, err)
	}
	c := &Cluster{options: o, place: place}
	if err := c.prepare(ctx); err != nil {
		place.leave()
		return nil, err
	}
	if err := c.run(ctx); err != nil {
		place.leave()
		return nil, err
	}
	return c, nil
}

// prepare finds the programs and brings about a cluster that they can run.
func (c *Cluster) prepare(ctx context.Context) (err error) {
	version, err := c.place.version()
	if err != nil {
		return err
	}
	if c.bin, err = find(ctx, c.options.BinDir, version); err != nil {
		if version != "" {
			return fmt.Errorf("%s: %w", c.place.data, err)
		}
		return err
	}
	if version == "" {
		return c.place.create(ctx, c.bin, c.options.Logger)
	}
	return nil
}

// run starts the server on a cluster that is there.
func (c *Cluster) run(ctx context.Context) error {
	data, err := c.place.openData(ctx, c.place.data)
	if err != nil {
		return err
	}
	defer data.Close() // the server holds its own
	if err := removeStalePID(c.place.data); err != nil {
		return err
	}
	socket, err := c.place.openSocketDir()
	if err != nil {
		return err
	}
	defer socket.Close()
	c.process, err = spawn(c.options.Logger, c.place.owner, []*os.File{data, socket}, filepath.Join(c.bin, "postgres"), settings()...)
	if err != nil {
		return err
	}
	if err := c.await(ctx); err != nil {
		c.process.Signal(syscall.SIGQUIT)
		<-c.process.Done()
		return c.process.Because(err)
	}
	return nil
}

// settings of the server: modest in memory, strict about the data.
func settings() []string {
	args := []string{"-D", descriptor(0)}
	for _, s := range []string{
		"listen_addresses=",
		"unix_socket_directories=" + descriptor(1),
		"unix_socket_permissions=0700",
		"port=" + strconv.Itoa(port),
		"max_connections=50",
		"shared_buffers=32MB",
		"max_wal_size=256MB",
		"fsync=on",
		"full_page_writes=on",
		"synchronous_commit=on",
		"logging_collector=off",
		"log_destination=stderr",
		"log_line_prefix=",
		"log_checkpoints=off",
		// What is stored stays out of the log.
		"log_error_verbosity=terse",
		"log_min_error_statement=panic",
	} {
		args = append(args, "-c", s)
	}
	return args
}

// await returns when the server lets us in.
func (c *Cluster) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("it did not answer within %s", startLimit))
	defer cancel()
	return c.process.Await(ctx, func(ctx context.Context) error {
		conn, err := pgconn.Connect(ctx, c.URL())
		if err != nil {
			return err
		}
		return conn.Close(ctx)
	})
}

// URL is where to connect, such as
// postgres://lab_layers@/postgres?host=/var/lib/x/socket. It depends on the
// data directory alone.
func (c *Cluster) URL() string {
	u := url.URL{Scheme: "postgres", User: url.User(superuser), Path: "/postgres"}
	u.RawQuery = url.Values{"host": {c.place.socket}, "port": {strconv.Itoa(port)}, "sslmode": {"disable"}}.Encode()
	return u.String()
}

// Done is closed when the server has ended.
func (c *Cluster) Done() <-chan struct{} { return c.process.Done() }

// Err says how the server ended, with its last lines, once Done is closed.
func (c *Cluster) Err() error {
	return fmt.Errorf("PostgreSQL: %w", c.process.Because(errors.New("ended")))
}

// Stop ends the cluster: it breaks off what runs and writes everything down;
// when ctx ends or after some seconds it leaves that to the next start. No
// process of it is left when Stop returns, but after one that hung its children
// follow within moments; the next start waits for them.
func (c *Cluster) Stop(ctx context.Context) {
	defer c.place.leave()
	if end(ctx, c.process, syscall.SIGINT) { // PostgreSQL's fast shutdown
		return
	}
	if end(context.WithoutCancel(ctx), c.process, syscall.SIGQUIT) { // its immediate one
		return
	}
	c.process.Kill()
}
