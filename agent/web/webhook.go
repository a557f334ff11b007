package web

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"time"
)

const (
	// maxBody is the most that a delivery may have, which is GitHub's own limit.
	maxBody = 25 << 20
	// smallBody is what a delivery may have without waiting for a place.
	smallBody = 256 << 10
	// maxLargeBodies is how many larger ones are held in memory at once.
	maxLargeBodies = 4
)

// forge knows how one kind of sender writes deliveries.
type forge interface {
	// proof returns a function that tells whether a secret is the sender's; nil
	// if the delivery carries no proof. It takes as long for any secret.
	proof(header http.Header, body []byte) (opens func(secret string) bool)
	// read takes a payload apart. Nothing of it is believed before a secret
	// fits.
	read(header http.Header, payload []byte) (delivery, error)
}

// forges by the last element of their path.
var forges = map[string]forge{"github": github{}, "gitlab": gitlab{}, "gitea": gitea{}, "generic": generic{}}

// delivery is what counts of one.
type delivery struct {
	// urls of the repository that it is about, any of which may be the one that
	// is watched.
	urls []string
	// moves is true if refs may have moved.
	moves bool
	// commits that refs were moved to, if the sender asks for their runs.
	commits map[string]string
}

// webhook answers the deliveries of a forge:
//
//	202  genuine, and the agent looks at the repository
//	204  genuine, and about something that moves no ref
//	400  not a delivery
//	401  forged, or without a secret that fits
//	404  genuine, but the repository is not watched; or there is no secret at all
//	413  larger than any delivery
//	429  too many of this machine's without a proof
//	503  too many large ones at once
//
// No answer but the one that was asked for by wait has a body.
func (h *handler) webhook(f forge) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		near := len(h.Secrets) == 0 && local(r)
		switch {
		case len(h.Secrets) > 0:
		case !near:
			w.WriteHeader(http.StatusNotFound)
			return
		case !h.mayRead(r) && !h.unsigned.Allow():
			w.Header().Set("Retry-After", "10")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		body, done, status := h.body(w, r)
		if status != 0 {
			w.WriteHeader(status)
			return
		}
		defer done()
		opens := f.proof(r.Header, body)
		fits := func(s Secret) bool { return opens != nil && opens(s.Value) }
		if !near && !slices.ContainsFunc(h.Secrets, fits) {
			w.WriteHeader(http.StatusUnauthorized) // nothing of strangers is taken apart
			return
		}
		payload, err := payloadOf(r.Header.Get("Content-Type"), body)
		var d delivery
		if err == nil {
			d, err = f.read(r.Header, payload)
		}
		known := h.watched.find(d.urls)
		if !near {
			genuine := false
			if known, genuine = allow(h.Secrets, known, opens); !genuine {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
		}
		switch {
		case err != nil:
			w.WriteHeader(http.StatusBadRequest)
		case len(d.urls) == 0 && !d.moves: // a ping of an organisation
			w.WriteHeader(http.StatusNoContent)
		case len(known) == 0:
			w.WriteHeader(http.StatusNotFound)
		case !d.moves:
			w.WriteHeader(http.StatusNoContent)
		case r.URL.Query().Has("wait") && (!near || h.mayRead(r)):
			h.wakeAndTell(w, r, known, d.commits)
		default:
			for _, repository := range known {
				h.Waker.Wake(repository)
			}
			w.WriteHeader(http.StatusAccepted)
		}
	})
}

// body reads the body of a delivery, or returns the status to answer with. Call
// done when the body is no longer used.
func (h *handler) body(w http.ResponseWriter, r *http.Request) (body []byte, done func(), status int) {
	done = func() {}
	if r.ContentLength > maxBody {
		return nil, nil, http.StatusRequestEntityTooLarge
	}
	if r.ContentLength < 0 || r.ContentLength > smallBody {
		select {
		case h.bodies <- struct{}{}:
			done = func() { <-h.bodies }
		default:
			w.Header().Set("Retry-After", "10")
			return nil, nil, http.StatusServiceUnavailable
		}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		done()
		if errors.As(err, new(*http.MaxBytesError)) {
			return nil, nil, http.StatusRequestEntityTooLarge
		}
		return nil, nil, http.StatusBadRequest
	}
	return body, done, 0
}

// payloadOf takes JSON out of the form that GitHub and Gitea may put it into.
func payloadOf(contentType string, body []byte) ([]byte, error) {
	media, _, err := mime.ParseMediaType(contentType)
	switch {
	case err != nil:
		return nil, err
	case media == "application/json":
		return body, nil
	case media == "application/x-www-form-urlencoded":
		for field := range bytes.SplitSeq(body, []byte("&")) {
			if text, ok := bytes.CutPrefix(field, []byte("payload=")); ok {
				payload, err := url.QueryUnescape(string(text))
				return []byte(payload), err
			}
		}
		return nil, errors.New("a form without a payload")
	}
	return nil, errors.New("neither JSON nor a form")
}

// maxWait bounds how long a sender may wait for runs.
const maxWait = 5 * time.Second
