package cleanup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
)

// crowd is a registry of very many tags of others, on one image that is kept by
// none of them, and the records of that image. Each question takes a while, of
// the test's own clock.
type crowd struct {
	Records
	Registry
	tags    int
	answers time.Duration
	asked   atomic.Int64
	removed []digest.Digest
	longest time.Duration // that runs were kept off
}

var doomed = digest.FromString("doomed")

func (c *crowd) Estate(context.Context) (Estate, error) {
	return Estate{Now: time.Now(), Images: []Image{{ID: 1, Key: "key", Repository: "lab", Digest: doomed, Since: time.Now().Add(-time.Hour)}}}, nil
}

func (c *crowd) Alone(ctx context.Context, work func(context.Context, func(context.Context) error) error) error {
	began := time.Now()
	err := work(ctx, func(context.Context) error { return nil })
	c.longest = max(c.longest, time.Since(began))
	return err
}

func (*crowd) Condemn(context.Context, []int64) error { return nil }
func (*crowd) Removed(context.Context, []int64) error { return nil }

func (c *crowd) Tags(context.Context, string) (names []string, err error) {
	for n := range c.tags {
		names = append(names, fmt.Sprint("foreign-", n))
	}
	return names, nil
}

func (c *crowd) Digest(ctx context.Context, _, name string) (digest.Digest, bool, error) {
	if err := wait(ctx, c.answers); err != nil {
		return "", false, err
	}
	c.asked.Add(1)
	return digest.FromString(name), true, nil
}

func (*crowd) Holds(context.Context, string, digest.Digest) ([]digest.Digest, error) { return nil, nil }

func (c *crowd) DeleteManifest(_ context.Context, _ string, d digest.Digest) error {
	c.removed = append(c.removed, d)
	return nil
}

func (c *crowd) clean() error {
	cleaner := Cleaner{Records: c, Registry: c, Policy: Policy{Prefix: "host"}, Patience: time.Hour, Log: slog.New(slog.DiscardHandler)}
	_, err := cleaner.Clean(context.Background())
	return err
}

// TestManyTags holds that runs can begin while a slow registry is asked about very
// many tags, each once, and that one which never answers ends the attempt.
func TestManyTags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &crowd{tags: 5000, answers: 200 * time.Millisecond}
		if err := c.clean(); err != nil || len(c.removed) != 1 || c.removed[0] != doomed {
			t.Errorf("removed %v: %v", c.removed, err)
		}
		if c.longest > asking || c.asked.Load() != int64(c.tags) {
			t.Errorf("%d tags were asked about %d times, and runs were kept off for %v", c.tags, c.asked.Load(), c.longest)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		c := &crowd{tags: 10, answers: 24 * time.Hour}
		if err := c.clean(); !errors.Is(err, errSlow) || !strings.Contains(err.Error(), "not all within") || len(c.removed) > 0 {
			t.Errorf("removed %v: %v", c.removed, err)
		}
		if c.longest > asking {
			t.Errorf("runs were kept off for %v", c.longest)
		}
	})
}
