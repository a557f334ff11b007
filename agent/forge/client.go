package forge

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/lab-layers/lab-layers/agent"
)

const (
	// requestLimit bounds each request.
	requestLimit = 20 * time.Second
	// maxBody bounds each answer.
	maxBody = 8 << 20
	// maxRefusal bounds what is read of an answer other than success.
	maxRefusal = 64 << 10
	// maxPages bounds each list, of 50 or 100 things a page.
	maxPages = 20
)

// Options say where a forge is.
type Options struct {
	// URL of the forge as people see it, such as https://git.example.org.
	URL string
	// Token gives the secret to authorize with, for each request anew.
	Token func() (string, error)
}

// newClient makes a client that authorizes itself at one host alone, and follows
// it nowhere else.
func newClient(base *url.URL, scheme string, token func() (string, error)) *http.Client {
	return &http.Client{
		Timeout:   requestLimit,
		Transport: &authorized{http.DefaultTransport, base, scheme, token},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			// A POST that was moved comes back as a GET, which does nothing.
			if req.URL.Scheme != base.Scheme || req.URL.Host != base.Host || req.Method != via[0].Method || len(via) > 3 {
				return http.ErrUseLastResponse
			}
			return nil
		},
	}
}

// authorized adds the token to requests to one host, and bounds the answers.
type authorized struct {
	http.RoundTripper
	base   *url.URL
	scheme string
	token  func() (string, error)
}

// RoundTrip sends a request.
func (a *authorized) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != a.base.Scheme || req.URL.Host != a.base.Host {
		return nil, fmt.Errorf("%s is not the forge", req.URL.Host)
	}
	token, err := a.token()
	if err != nil {
		return nil, err
	}
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", a.scheme+" "+token)
	req.Header.Set("User-Agent", "lab-layers")
	resp, err := a.RoundTripper.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < 300 {
		resp.Body = http.MaxBytesReader(nil, resp.Body, maxBody)
		return resp, nil
	}
	// Its words become an error's, and may repeat what was sent.
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal)) // the status counts
	resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(bytes.ReplaceAll(text, []byte(token), []byte("***"))))
	return resp, nil
}

// answered is an answer other than success.
type answered struct {
	status int
	// limited is an answer to too many requests.
	limited bool
	message string
}

// quoted is as much of a forge's words as an error has.
func quoted(message string) string { return limit(plain(message), 200) }

func (a *answered) Error() string {
	advice := ""
	switch {
	case a.limited:
		advice = ": too many requests"
	case a.status == http.StatusUnauthorized:
		advice = ": the token is not taken: renew it"
	case a.status == http.StatusForbidden:
		advice = ": the token may not do this: it needs to write statuses and comments"
	case a.status == http.StatusNotFound:
		advice = ": there is no such thing, or the token may not see it"
	case a.status >= 300 && a.status < 400:
		advice = ": it is elsewhere: name its present URL"
	}
	text := fmt.Sprintf("the forge answered %d%s", a.status, advice)
	if a.message != "" {
		text += " (" + a.message + ")"
	}
	return text
}

// refusal sorts an answer other than success: what passes for the forge as a
// whole from what is about one project or commit.
func refusal(resp *http.Response, message string) error {
	a := &answered{status: resp.StatusCode, message: quoted(message)}
	after := retryAfter(resp.Header)
	a.limited = a.status == http.StatusTooManyRequests || a.status == http.StatusForbidden && (after > 0 || resp.Header.Get("X-RateLimit-Remaining") == "0")
	u := &agent.Unheard{Err: a, After: after}
	switch {
	case a.limited:
		u.After = max(u.After, untilReset(resp.Header), time.Minute)
	case a.status == http.StatusUnauthorized:
		u.After = max(u.After, 5*time.Minute)
	default:
		u.Alone = a.status < 500
	}
	return u
}

// retryAfter is what a forge asks to wait, in seconds or until a date.
func retryAfter(header http.Header) time.Duration {
	value := header.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil {
		return max(0, time.Duration(min(seconds, 86_400))*time.Second)
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}

// untilReset is how long it takes until requests are counted anew.
func untilReset(header http.Header) time.Duration {
	for _, name := range []string{"X-RateLimit-Reset", "RateLimit-Reset"} {
		if at, err := strconv.ParseInt(header.Get(name), 10, 64); err == nil && header.Get(strings.Replace(name, "Reset", "Remaining", 1)) == "0" {
			return max(0, time.Until(time.Unix(at, 0)))
		}
	}
	return 0
}

// drain reads what is left of a short answer, so that its connection is used
// again.
func drain(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, 64<<10)
	body.Close()
}

// base checks a forge's URL and leads to its API.
func base(address, api string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%q is not the URL of a forge: it looks like https://git.example.org", address)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("the URL of the forge at %s has more than a host and a path", u.Host)
	}
	return u.JoinPath(api), nil
}
