package buildkit

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/moby/buildkit/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// reachLimit is how long a daemon may take to answer before the next is tried.
const reachLimit = 3 * time.Second

// TLS names the files that prove us to a daemon and a daemon to us. They are
// read when a builder is made.
type TLS struct {
	// CA has the certificates that daemons' are signed by; empty is the system's.
	CA string
	// Cert and Key are our own; empty is none.
	Cert, Key string
	// ServerName is the name in the daemon's certificate; empty is the host in
	// its address.
	ServerName string
}

// node is one BuildKit daemon.
type node struct {
	address string
	client  *client.Client
	places  chan struct{}
}

func newNode(address string, tls *TLS, limit int) (*node, error) {
	options := []client.ClientOpt{
		// gRPC's own pause between attempts grows to two minutes: too long for
		// a daemon that is started again at once.
		client.WithGRPCDialOption(grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: reachLimit,
		})),
	}
	if tls != nil && strings.HasPrefix(address, "tcp://") {
		options = append(options, tls.options()...)
	}
	// The context is for a dial that waits; this one does not.
	c, err := client.New(context.Background(), address, options...)
	if err != nil {
		return nil, err
	}
	return &node{address: address, client: c, places: make(chan struct{}, limit)}, nil
}

func (t *TLS) options() []client.ClientOpt {
	server := client.WithServerConfig(t.ServerName, t.CA)
	if t.CA == "" {
		server = client.WithServerConfigSystem(t.ServerName)
	}
	if t.Cert == "" && t.Key == "" {
		return []client.ClientOpt{server}
	}
	return []client.ClientOpt{server, client.WithCredentials(t.Cert, t.Key)}
}

// enter takes one of the node's places and returns what gives it back. The
// error is the context's cause.
func (n *node) enter(ctx context.Context) (release func(), err error) {
	select {
	case n.places <- struct{}{}:
		return func() { <-n.places }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// reach asks for a sign of life.
func (n *node) reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reachLimit)
	defer cancel()
	if _, err := n.client.Info(ctx); err != nil {
		return fmt.Errorf("BuildKit at %s cannot be reached: %w", n.address, err)
	}
	return nil
}
