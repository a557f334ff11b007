package forge

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// rest speaks JSON with a forge.
type rest struct {
	base   *url.URL
	client *http.Client
	self
}

// call sends a request and reads the answer into a value, unless it is nil. more
// says that a list goes on.
func (r *rest) call(ctx context.Context, method, path string, query url.Values, body, answer any) (more bool, err error) {
	var text io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return false, err
		}
		text = bytes.NewReader(data)
	}
	address := strings.TrimSuffix(r.base.String(), "/") + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, address, text)
	if err != nil {
		return false, err
	}
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return false, err
	}
	defer drain(resp.Body)
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		message, _ := io.ReadAll(resp.Body) // it is short
		return false, refusal(resp, string(message))
	}
	if answer != nil {
		if err := json.NewDecoder(resp.Body).Decode(answer); err != nil {
			return false, fmt.Errorf("read the answer to %s: %w", method, err)
		}
	}
	return strings.Contains(resp.Header.Get("Link"), `rel="next"`), nil
}

// list reads all pages, as far as their number is bounded.
func list[T any](ctx context.Context, r *rest, path string, query url.Values, size string) (all []T, err error) {
	query.Set(size, "50") // more than that Gitea does not give
	for page := 1; page <= maxPages; page++ {
		query.Set("page", fmt.Sprint(page))
		var some items[T]
		more, err := r.call(ctx, http.MethodGet, path, query, nil, &some)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
		if !more {
			break
		}
	}
	return all, nil
}

// user is an account, or another thing of which the id alone counts, as all
// forges tell it.
type user struct {
	ID int64 `json:"id"`
}

// note is a comment, as all forges tell it.
type note struct {
	ID     int64  `json:"id"`
	Body   string `json:"body"`
	System bool   `json:"system"`
	Author user   `json:"author"` // GitLab
	User   user   `json:"user"`   // GitHub and Gitea
}

func (r *rest) whoami(ctx context.Context) (int64, error) {
	var u user
	_, err := r.call(ctx, http.MethodGet, "/user", nil, nil, &u)
	return u.ID, err
}

// self is the account that a token is for, by which our comments are told from
// copies. Not every token may ask.
type self struct {
	mu   sync.Mutex
	id   int64
	know bool
}

// wrote reports whether an account may be ours.
func (s *self) wrote(ctx context.Context, account int64, whoami func(context.Context) (int64, error)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.know {
		id, err := whoami(ctx)
		if err == nil || foreign(err) {
			s.id, s.know = id, true
		}
	}
	return s.id == 0 || s.id == account
}
