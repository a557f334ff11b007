package agent

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lab-layers/lab-layers/layers"
)

// turns is a store whose key another run builds for a while; what a real one
// does is tested with PostgreSQL.
type turns struct {
	Store
	until time.Time
	lost  bool
	asked int
	left  int
}

func (s *turns) Take(context.Context, Run, layers.Key) (bool, error) {
	s.asked++
	if s.lost {
		return false, ErrLost
	}
	return !time.Now().Before(s.until), nil
}

func (s *turns) Leave(ctx context.Context, _ Run, _ layers.Key) error {
	s.left++
	return ctx.Err()
}

// TestTurn holds that who needs a key waits while another agent builds it, not
// after its own run was cut off, and lets others at it in any case.
func TestTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &turns{until: time.Now().Add(time.Minute)}
		c := claim{store: s}
		ctx, cut := context.WithCancelCause(t.Context())
		end, err := c.turn(ctx, "key")
		if err != nil || time.Now().Before(s.until) || time.Since(s.until) > turnPause || s.asked < 10 {
			t.Errorf("asked %d times, and went on at %v: %v", s.asked, time.Since(s.until), err)
		}
		why := errors.New("overtaken")
		cut(why)
		if end(); s.left != 1 {
			t.Errorf("it was left %d times", s.left)
		}
		s.until = time.Now().Add(time.Hour)
		if _, err := c.turn(ctx, "key"); !errors.Is(err, why) {
			t.Errorf("cut off while it waits: %v", err)
		}
		s.lost = true
		if _, err := c.turn(t.Context(), "key"); !errors.Is(err, ErrLost) || s.left != 1 {
			t.Errorf("with a lost claim: %v", err)
		}
	})
}
