package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/transport"
)

// conversation is one exchange with a remote's git-upload-pack.
type conversation interface {
	// advertised returns what the remote has; nothing for an empty one.
	advertised(ctx context.Context) (*packp.AdvRefs, error)
	// upload asks for a pack and returns the stream that it comes in, still
	// with its side bands.
	upload(ctx context.Context, req *packp.UploadPackRequest) (io.ReadCloser, error)
	io.Closer
}

// converse opens a conversation. Cancelling the context ends it at any point.
func converse(ctx context.Context, a address, guard guard) (conversation, error) {
	switch a.endpoint.Protocol {
	case "http", "https":
		return newWeb(a, guard)
	case "git":
		return dialGit(ctx, a, guard)
	case "ssh":
		return dialSSH(ctx, a, guard)
	}
	return nil, fmt.Errorf("the scheme %s is not supported", a.endpoint.Protocol)
}

// stream is a conversation over two pipes, as git:// and ssh have it.
type stream struct {
	in     *guarded
	out    io.WriteCloser
	close  func() error
	broken func(error) error // may say more of why the stream ended
}

func (s *stream) advertised(context.Context) (*packp.AdvRefs, error) {
	refs := packp.NewAdvRefs()
	switch err := refs.Decode(s.in); {
	case errors.Is(err, packp.ErrEmptyAdvRefs):
		return packp.NewAdvRefs(), nil
	case err != nil:
		return nil, s.broken(err)
	}
	transport.FilterUnsupportedCapabilities(refs.Capabilities)
	return refs, nil
}

func (s *stream) upload(_ context.Context, req *packp.UploadPackRequest) (io.ReadCloser, error) {
	if err := req.UploadRequest.Encode(s.out); err != nil {
		return nil, s.broken(err)
	}
	if err := req.UploadHaves.Encode(s.out, false); err != nil {
		return nil, s.broken(err)
	}
	if err := pktline.NewEncoder(s.out).EncodeString("done\n"); err != nil {
		return nil, s.broken(err)
	}
	s.in.allow(s.in.guard.limits.Received)
	answer := packp.NewUploadPackResponse(req)
	if err := answer.Decode(io.NopCloser(s.in)); err != nil {
		return nil, s.broken(err)
	}
	return answer, nil
}

func (s *stream) Close() error {
	s.out.Close()
	return s.close()
}

// packOf takes the side bands away from an answer.
func packOf(req *packp.UploadPackRequest, answer io.Reader) io.Reader {
	switch {
	case req.Capabilities.Supports(capability.Sideband64k):
		return sideband.NewDemuxer(sideband.Sideband64k, answer)
	case req.Capabilities.Supports(capability.Sideband):
		return sideband.NewDemuxer(sideband.Sideband, answer)
	}
	return answer
}

var (
	// errSilent says that a remote stopped answering.
	errSilent = errors.New("the remote sent nothing")
	// errSlow says that a remote answers so slowly that it will not end.
	errSlow = errors.New("the remote is too slow")
)

// leastRate is how many bytes a second a remote is to send once it has used up
// its patience.
const leastRate = 100_000

// errTooMuch says that a remote sent more than it may.
var errTooMuch = errors.New("the remote sent too much")

// guard watches over one conversation.
type guard struct {
	limits Limits
	alarm  *alarm
}

// reader bounds a stream in bytes, and in the time without any.
func (g guard) reader(r io.Reader, most int64) *guarded {
	guarded := &guarded{Reader: r, guard: g}
	guarded.allow(most)
	return guarded
}

type guarded struct {
	io.Reader
	guard      guard
	left, most int64
}

func (g *guarded) allow(most int64) { g.left, g.most = most, most }

func (g *guarded) Read(p []byte) (int, error) {
	if g.left <= 0 {
		return 0, fmt.Errorf("%w: more than %d bytes", errTooMuch, g.most)
	}
	n, err := g.Reader.Read(p[:min(int64(len(p)), g.left)])
	g.left -= int64(n)
	g.guard.alarm.reset(n)
	return n, err
}

// alarm cancels a context when nothing comes for a while, or so little that who
// waits for it would wait for days.
type alarm struct {
	silent, slow *time.Timer
	limits       Limits
	began        time.Time
	came         atomic.Int64 // bytes
}

// withAlarm returns a context that is cancelled with errSilent when the alarm
// is not reset, or with errSlow when that is for too few bytes; stop ends both.
func withAlarm(ctx context.Context, limits Limits) (context.Context, *alarm, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	a := &alarm{limits: limits, began: time.Now()}
	a.silent = time.AfterFunc(limits.Silence, func() { cancel(fmt.Errorf("%w for %s", errSilent, limits.Silence)) })
	a.slow = time.AfterFunc(limits.Patience, func() {
		cancel(fmt.Errorf("%w: %d bytes came in %s", errSlow, a.came.Load(), time.Since(a.began).Round(time.Second)))
	})
	return ctx, a, func() {
		a.stop()
		cancel(nil)
	}
}

// reset is called when bytes have come.
func (a *alarm) reset(n int) {
	a.silent.Reset(a.limits.Silence)
	came := a.came.Add(int64(n))
	a.slow.Reset(time.Until(a.began.Add(a.limits.Patience + time.Duration(came)*time.Second/leastRate)))
}

// stop is for when nothing more is expected of the remote.
func (a *alarm) stop() {
	a.silent.Stop()
	a.slow.Stop()
}
