package agent

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/lab-layers/lab-layers/layers"
)

// standing is a store, and records, of a repository whose main stands on some
// images. While it is busy, main has a run that has not ended.
type standing struct {
	idle
	images []string

	mu     sync.Mutex
	busy   bool
	asked  int
	queued []Move
}

// is is how often it was asked for a run, and what it queued.
func (s *standing) is() (asked int, queued []Move) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked, s.queued
}

func (s *standing) work(busy bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy = busy
}

func (s *standing) Refs(context.Context, RepositoryID, ...layers.Ref) (refs, error) {
	return refs{"refs/heads/main": "a"}, nil
}

func (s *standing) Recorded(context.Context, RepositoryID, layers.Ref, RunID) (*Recorded, error) {
	return nil, nil
}

func (s *standing) Outside(context.Context, RepositoryID, layers.Ref) ([]string, error) {
	return s.images, nil
}

func (s *standing) Again(_ context.Context, move Move) (*Run, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if s.busy {
		return nil, nil
	}
	s.queued = append(s.queued, move)
	return &Run{ID: 1, Move: move}, nil
}

// heeding runs a test with an agent that hears of pushed tags.
func heeding(t *testing.T, images []string, test func(*testing.T, *Agent, *standing)) {
	synctest.Test(t, func(t *testing.T) {
		s := &standing{images: images}
		a := &Agent{Store: s, Carrier: &Carrier{Records: s}, Sources: []Source{&gate{}}, Log: slog.New(slog.DiscardHandler)}
		a.hang()
		ctx, stop := context.WithCancel(t.Context())
		go a.heed(ctx)
		synctest.Wait()
		test(t, a, s)
		stop()
		synctest.Wait()
	})
}

// pass lets time go by, of the test's own clock, and all that is then due be done.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestPushedBaseImage(t *testing.T) {
	for name, c := range map[string]struct {
		image, repository, tag string
		refreshed              bool
	}{
		"the image":                 {"registry.example:5000/os/base:12", "os/base", "12", true},
		"no tag in the Dockerfile":  {"registry.example/os/base", "os/base", "latest", true},
		"an image of docker.io":     {"debian:12", "library/debian", "12", true},
		"another tag":               {"registry.example/os/base:12", "os/base", "13", false},
		"another repository":        {"registry.example/os/base:12", "base", "12", false},
		"a digest that never moves": {"registry.example/os/base:12@" + string(digest.FromString("")), "os/base", "12", false},
		"no reference at all":       {"../base:12", "base", "12", false},
	} {
		t.Run(name, func(t *testing.T) {
			heeding(t, []string{c.image}, func(t *testing.T, a *Agent, s *standing) {
				a.Pushed(c.repository, c.tag)
				pass(settle + 1)
				if _, queued := s.is(); len(queued) == 1 != c.refreshed || len(queued) > 1 {
					t.Errorf("%+v", queued)
				}
			})
		})
	}
}

func TestPushedAgainAndAgain(t *testing.T) {
	heeding(t, []string{"os:1"}, func(t *testing.T, a *Agent, s *standing) {
		const minutes = 10
		for range minutes * 60 {
			for range 20 {
				a.Pushed("library/os", "1")
			}
			pass(time.Second)
		}
		if _, queued := s.is(); len(queued) == 0 || len(queued) > minutes {
			t.Errorf("%d runs in %d minutes", len(queued), minutes)
		}
		for i := range 2 * maxPushed {
			a.Pushed("library/os", time.Duration(i).String())
		}
		if n := len(a.pushed.take()); n != maxPushed {
			t.Errorf("%d tags are kept", n)
		}
	})
}

// TestPushedDuringARun holds that an image pushed while main's run is under way,
// which may have resolved it before, is seen to after the run.
func TestPushedDuringARun(t *testing.T) {
	heeding(t, []string{"os:1"}, func(t *testing.T, a *Agent, s *standing) {
		s.work(true)
		a.Pushed("library/os", "1")
		pass(time.Hour)
		if asked, queued := s.is(); asked == 0 || len(queued) != 0 {
			t.Errorf("asked %d times, %v", asked, queued)
		}
		s.work(false)
		pass(time.Hour)
		before, _ := s.is()
		pass(time.Hour)
		if asked, queued := s.is(); len(queued) != 1 || asked != before {
			t.Errorf("asked %d times and then %d, %v", before, asked, queued)
		}
	})
}
