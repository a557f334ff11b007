package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/lab-layers/lab-layers/agent"
)

// requestLimit bounds each request.
const requestLimit = 20 * time.Second

// SignatureHeader has "sha256=" and the hexadecimal HMAC-SHA256 of the body.
const SignatureHeader = "X-Signature-256"

// Target sends events to a URL. It is an [agent.Target] and [agent.RolloutTarget].
type Target struct {
	url    *url.URL
	secret func() (string, error)
	link   func(agent.Run) string
	client *http.Client
}

// New makes a target. The secret signs events; it is asked for each anew, and
// nil is none. The link leads to a run; nil is none.
func New(address string, secret func() (string, error), link func(agent.Run) string) (*Target, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("not an http or https URL") // it may hold a secret
	}
	return &Target{u, secret, link, &http.Client{
		Timeout:       requestLimit,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Name is the host and a hash of the URL, which may hold a secret.
func (t *Target) Name() string {
	sum := sha256.Sum256([]byte(t.url.String()))
	return "notify " + t.url.Host + " " + hex.EncodeToString(sum[:6])
}

// Tell sends an event.
func (t *Target) Tell(ctx context.Context, r agent.Report) error {
	link := ""
	if t.link != nil {
		link = t.link(r.Run)
	}
	return t.send(ctx, newEvent(r, link))
}

func (t *Target) send(ctx context.Context, e Event) error {
	body, err := json.Marshal(e)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url.String(), bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("notify %s: the URL cannot be asked", t.url.Host)
	}
	req.Header.Set("Content-Type", "application/cloudevents+json; charset=utf-8")
	req.Header.Set("User-Agent", "lab-layers")
	if t.secret != nil {
		secret, err := t.secret()
		if err != nil {
			return err
		}
		req.Header.Set(SignatureHeader, sign(secret, body))
	}
	resp, err := t.client.Do(req)
	if err != nil {
		var shown *url.Error
		if errors.As(err, &shown) {
			err = shown.Err // without the URL, which may hold a secret
		}
		return fmt.Errorf("notify %s: %w", t.url.Host, err)
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return nil
	}
	u := &agent.Unheard{Err: fmt.Errorf("notify %s: it answered %d", t.url.Host, resp.StatusCode)}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		u.After = time.Duration(max(0, min(seconds, 86_400))) * time.Second
	}
	// A body that is not liked will not be liked again; all else is about the
	// endpoint.
	u.Alone = resp.StatusCode == http.StatusBadRequest || resp.StatusCode == http.StatusRequestEntityTooLarge || resp.StatusCode == http.StatusUnprocessableEntity
	return u
}

func sign(secret string, body []byte) string {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write(body)
	return "sha256=" + hex.EncodeToString(m.Sum(nil))
}
