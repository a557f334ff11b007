package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// What is read of a registry's answers at the most, in bytes. The
// specification lets a registry refuse manifests above 4 MiB.
const (
	MaxManifest = 4 << 20
	MaxConfig   = 8 << 20
)

// bounded limits answers: in their size, where it is not a blob that is read,
// and in the time in which nothing comes.
type bounded struct {
	stall time.Duration
	inner http.RoundTripper
}

func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	resp, err := b.inner.RoundTrip(req.WithContext(ctx))
	if err != nil {
		cancel(nil)
		return nil, err
	}
	answer := &answer{body: resp.Body, stall: b.stall, cancel: cancel, left: -1}
	if p := req.URL.Path; strings.Contains(p, "/manifests/") || strings.HasSuffix(p, "/tags/list") || strings.HasSuffix(p, "/v2/") {
		answer.left = MaxManifest
	}
	resp.Body = answer
	return resp, nil
}

// answer is the body of an answer.
type answer struct {
	body   io.ReadCloser
	stall  time.Duration
	cancel context.CancelCauseFunc
	left   int64 // bytes that may still come; below 0 are any
}

var (
	errStalled = errors.New("the registry stopped sending")
	errTooLong = fmt.Errorf("the answer has more than %d bytes", MaxManifest)
)

func (a *answer) Read(p []byte) (int, error) {
	if a.left == 0 {
		// One byte more is one too many.
		if n, err := a.body.Read(make([]byte, 1)); n == 0 {
			return 0, err
		}
		return 0, errTooLong
	}
	if a.left > 0 && int64(len(p)) > a.left {
		p = p[:a.left]
	}
	timer := time.AfterFunc(a.stall, func() { a.cancel(errStalled) })
	n, err := a.body.Read(p)
	if !timer.Stop() && err != nil && err != io.EOF {
		err = errStalled
	}
	if a.left > 0 {
		a.left -= int64(n)
	}
	return n, err
}

func (a *answer) Close() error {
	defer a.cancel(nil)
	return a.body.Close()
}
