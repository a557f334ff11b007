package registry

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// retrying sends a request again while the registry answers that it cannot
// just now, and waits as long as it is told to. No other answer is retried.
type retrying struct {
	inner    http.RoundTripper
	patience time.Duration
	longest  time.Duration
}

// firstWait before the first retry; it doubles with each.
const firstWait = 100 * time.Millisecond

func (r retrying) RoundTrip(req *http.Request) (*http.Response, error) {
	last := time.Now().Add(r.patience)
	if deadline, ok := req.Context().Deadline(); ok && deadline.Before(last) {
		last = deadline
	}
	backoff := firstWait
	for {
		resp, err := r.inner.RoundTrip(req)
		if err != nil || !passing(resp.StatusCode) {
			return resp, err
		}
		wait := r.wait(resp, backoff)
		again, ok := rewound(req)
		if !ok || time.Now().Add(wait).After(last) {
			return resp, nil
		}
		_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection serves again
		resp.Body.Close()
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-req.Context().Done():
			timer.Stop()
			return nil, context.Cause(req.Context())
		}
		req, backoff = again, min(2*backoff, r.longest)
	}
}

// passing reports whether a status is one that may be another the next time.
func passing(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// wait is how long the answer asks to wait, or else the back-off, spread so
// that many clients do not come back at once.
func (r retrying) wait(resp *http.Response, backoff time.Duration) time.Duration {
	after := resp.Header.Get("Retry-After")
	if seconds, err := strconv.ParseInt(after, 10, 32); err == nil && seconds >= 0 {
		return min(time.Duration(seconds)*time.Second, r.longest)
	}
	if at, err := http.ParseTime(after); err == nil {
		return min(max(time.Until(at), 0), r.longest)
	}
	return backoff/2 + rand.N(backoff/2+1)
}

// rewound is the request, ready to be sent again; ok is false for one that
// cannot be, as a part of an upload that has begun.
func rewound(req *http.Request) (_ *http.Request, ok bool) {
	if req.Method == http.MethodPatch {
		return nil, false
	}
	if req.Body == nil || req.Body == http.NoBody {
		return req, true
	}
	if req.GetBody == nil {
		return nil, false
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, false
	}
	again := req.Clone(req.Context())
	again.Body = body
	return again, true
}
