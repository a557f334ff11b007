package registry

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/containerd/platforms"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	lru "github.com/hashicorp/golang-lru/v2"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lab-layers/lab-layers/pipeline"
)

// Options say how registries are reached. The zero value is fit for use.
type Options struct {
	// DockerConfig is the docker configuration to take credentials and
	// credential helpers from: a file, or a directory with a config.json.
	// Empty is the user's own, where docker or podman keep it.
	DockerConfig string
	// Keychain has credentials that go before those of the docker
	// configuration; nil has none.
	Keychain authn.Keychain
	// PlainHTTP names the hosts, with their port, that may be spoken to without
	// TLS. Loopback hosts always may.
	PlainHTTP []string
	// RootCAs are trusted instead of the system's certificates.
	RootCAs *x509.CertPool
	// Platform to take from an index; empty is linux/amd64.
	Platform string
	// Timeout of one operation with all its retries, but not of a copy; 0 is a
	// minute.
	Timeout time.Duration
	// Stall is how long a registry may send nothing while it is waited for;
	// 0 is 30 seconds.
	Stall time.Duration
	// Patience is how long an operation is retried while the registry answers
	// 429 or 5xx; 0 is 20 seconds, less than 0 never retries.
	Patience time.Duration
	// LongestWait caps the Retry-After of an answer; 0 is 10 seconds.
	LongestWait time.Duration
}

// Client is a [pipeline.Registry]. It is safe for use by several goroutines.
type Client struct {
	base     http.RoundTripper
	keychain authn.Keychain
	plain    map[string]bool
	platform ocispecs.Platform
	timeout  time.Duration

	// manifests read lately, so that a tag needs no second look at an image.
	manifests *lru.Cache[string, manifest]
	// onces orders the calls of TagOnce for one tag.
	onces [64]sync.Mutex

	mu         sync.Mutex
	challenges map[string]*transport.Challenge
	doors      map[string]*door
}

var _ pipeline.Registry = (*Client)(nil)

// maxDoors bounds how many repositories are remembered.
const maxDoors = 4096

// New makes a client. It speaks to no registry yet.
func New(o Options) (*Client, error) {
	platform, err := parsePlatform(defaulted(o.Platform, "linux/amd64"))
	if err != nil {
		return nil, fmt.Errorf("registry client: %w", err)
	}
	manifests, err := lru.New[string, manifest](256)
	if err != nil {
		return nil, fmt.Errorf("registry client: %w", err)
	}
	c := &Client{
		keychain:   keychain(o.Keychain, o.DockerConfig),
		plain:      map[string]bool{},
		platform:   platform,
		timeout:    defaulted(o.Timeout, time.Minute),
		manifests:  manifests,
		challenges: map[string]*transport.Challenge{},
		doors:      map[string]*door{},
	}
	for _, host := range o.PlainHTTP {
		c.plain[host] = true
	}
	stall := defaulted(o.Stall, 30*time.Second)
	c.base = retrying{
		patience: defaulted(o.Patience, 20*time.Second),
		longest:  defaulted(o.LongestWait, 10*time.Second),
		inner: bounded{
			stall: stall,
			inner: encrypted{mayBePlain: c.mayBePlain, inner: newTransport(o.RootCAs, stall)},
		},
	}
	return c, nil
}

func defaulted[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

func parsePlatform(s string) (ocispecs.Platform, error) {
	p, err := platforms.Parse(s)
	if err != nil {
		return p, fmt.Errorf("platform %q: %w", s, err)
	}
	return platforms.Normalize(p), nil
}

// door is the way into one repository: the registry's handshake is done, and
// is not done again for every request.
type door struct {
	puller *remote.Puller
	pusher *remote.Pusher
}

// enter opens the door to a repository; fresh says that it was not open yet.
func (c *Client) enter(ctx context.Context, repo name.Repository) (d *door, fresh bool, err error) {
	c.mu.Lock()
	d = c.doors[repo.Name()]
	challenge := c.challenges[repo.RegistryStr()]
	c.mu.Unlock()
	if d != nil {
		return d, false, nil
	}
	if challenge == nil {
		if challenge, err = transport.Ping(ctx, repo.Registry, c.base); err != nil {
			return nil, true, err
		}
	}
	auth, err := authn.Resolve(ctx, c.keychain, repo)
	if err != nil {
		return nil, true, err
	}
	scheme := "https"
	if challenge.Insecure {
		scheme = "http"
	}
	// With no token yet, one is fetched when the registry asks for it, for the
	// scope that it names.
	through, err := transport.FromToken(repo.Registry, auth, schemed{host: repo.RegistryStr(), scheme: scheme, inner: c.base}, challenge, &transport.Token{})
	if err != nil {
		return nil, true, err
	}
	d = &door{}
	if d.puller, err = remote.NewPuller(remote.WithTransport(through)); err != nil {
		return nil, true, err
	}
	never := func(error) bool { return false } // retrying does that
	if d.pusher, err = remote.NewPusher(remote.WithTransport(through), remote.WithRetryPredicate(never)); err != nil {
		return nil, true, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.doors) >= maxDoors {
		clear(c.doors)
		clear(c.challenges)
	}
	c.challenges[repo.RegistryStr()], c.doors[repo.Name()] = challenge, d
	return d, true, nil
}

// leave forgets a door, and how the registry wanted to be greeted.
func (c *Client) leave(repo name.Repository) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.doors, repo.Name())
	delete(c.challenges, repo.RegistryStr())
}

// within carries out an operation at a place, once more after a new handshake if
// it was refused: passwords and tokens expire. The error is an *Error.
func (c *Client) within(ctx context.Context, operation string, at place, do func(context.Context, *door) error) error {
	for {
		d, fresh, err := c.enter(ctx, at.repo)
		if err == nil {
			err = do(ctx, d)
		}
		if fresh || !refused(err) {
			return blame(ctx, operation, at, err)
		}
		c.leave(at.repo)
	}
}

// shortly is within, bounded by the client's timeout.
func (c *Client) shortly(ctx context.Context, operation string, at place, do func(context.Context, *door) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, fmt.Errorf("no full answer in %v: %w", c.timeout, ErrUnreachable))
	defer cancel()
	return c.within(ctx, operation, at, do)
}
