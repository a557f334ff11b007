package postgres

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// repetition says what may be done again after an error.
type repetition int

const (
	// once: only what certainly was not done.
	once repetition = iota
	// repeatable: whatever may help, for doing it twice is as good as once.
	repeatable
)

const (
	firstPause = 50 * time.Millisecond
	longPause  = 4 * time.Second // 50 ms + 100 ms + … + 3.2 s = 6.4 s in all
)

// again repeats work after an error that may pass, a bounded number of times
// with growing pauses.
func again(ctx context.Context, r repetition, work func() error) error {
	for pause := firstPause; ; pause *= 2 {
		err := work()
		if err == nil || pause > longPause {
			return err
		}
		if !undone(err) && (r == once || !IsTransient(err)) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

// undone reports whether an error that may pass also says that nothing was
// done.
func undone(err error) bool {
	if errors.As(err, new(rolledBack)) {
		return IsTransient(err)
	}
	var server *pgconn.PgError
	if errors.As(err, &server) {
		switch server.Code {
		case "40001", "40P01": // serialization failure, deadlock: rolled back
			return true
		}
	}
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		return IsTransient(err)
	}
	return IsTransient(err) && pgconn.SafeToRetry(err)
}

// rolledBack is an error in a transaction that was not committed.
type rolledBack struct{ error }

func (r rolledBack) Unwrap() error { return r.error }

// IsTransient reports whether an error is the database's passing trouble: it
// restarts, cannot be reached, is overloaded, or two transactions met. The same
// call may succeed later; what it was to do may have been done.
func IsTransient(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	var server *pgconn.PgError
	if errors.As(err, &server) {
		switch server.Code {
		case "40001", "40P01", // serialization failure, deadlock
			"53300",                   // too many connections
			"57P01", "57P02", "57P03", // shut down, crashed, starting up
			"25P03", // the session was idle in a transaction for too long
			"55P03": // lock not available
			return true
		}
		return strings.HasPrefix(server.Code, "08") // connection exceptions
	}
	var connect *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connect) || errors.As(err, &network) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, pgconn.ErrConnClosed)
}

// maxMeetings bounds how often others at work on the same thing are met.
const maxMeetings = 20

// met reports whether somebody else came between: took the key or the ref, or
// made away with what was to be read.
func met(err error) bool {
	var server *pgconn.PgError
	return errors.Is(err, pgx.ErrNoRows) || errors.As(err, &server) && server.Code == "23505" // unique violation
}
