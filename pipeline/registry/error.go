package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"unicode"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/lab-layers/lab-layers/pipeline"
)

// What can have gone wrong, for errors.Is.
var (
	// ErrNotFound says that the registry does not have it.
	ErrNotFound = errors.New("not found")
	// ErrUnauthorized says that the registry refuses these credentials, or
	// wants some.
	ErrUnauthorized = errors.New("unauthorized")
	// ErrUnreachable says that no registry answered, or one that only answered
	// 429 or 5xx.
	ErrUnreachable = errors.New("unreachable")
	// ErrTagTaken says that a tag that must not be moved points at another
	// digest.
	ErrTagTaken = pipeline.ErrTagTaken
	// ErrOnlyByDigest says that a registry cannot remove a single tag, only a
	// manifest with all tags on it.
	ErrOnlyByDigest = errors.New("the registry removes manifests with all their tags, and no single tag")
)

// Error is a failed operation on a registry. It carries no credentials.
type Error struct {
	// Operation such as "read manifest".
	Operation string
	// Registry, Repository (without the registry) and Reference, a tag or a
	// digest, that it was about.
	Registry   string
	Repository string
	Reference  string
	// Status of the answer; 0 if there was none, or none to blame.
	Status int
	// Reason in one line.
	Reason string

	kind error
}

func (e *Error) Error() string {
	at := e.Repository
	switch {
	case strings.Contains(e.Reference, ":"):
		at += "@" + e.Reference
	case e.Reference != "":
		at += ":" + e.Reference
	}
	return fmt.Sprintf("registry %s: %s %s: %s", e.Registry, e.Operation, at, e.Reason)
}

// Unwrap gives the sort of the failure, or the context's error.
func (e *Error) Unwrap() error { return e.kind }

// refused reports whether a registry did not accept the credentials.
func refused(err error) bool {
	var answer *transport.Error
	return errors.As(err, &answer) && (answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden)
}

// blame makes an *Error of what went wrong.
func blame(ctx context.Context, operation string, at place, err error) error {
	if err == nil {
		return nil
	}
	e := &Error{Operation: operation, Registry: at.repo.RegistryStr(), Repository: at.repo.RepositoryStr(), Reference: at.reference}
	var (
		answer *transport.Error
		failed *url.Error
	)
	switch {
	case errors.As(err, &answer):
		e.Status, e.Reason, e.kind = answer.StatusCode, statusReason(answer), kindOf(answer.StatusCode)
	case strings.Contains(err.Error(), "bearer response"):
		// go-containerregistry quotes the token server's whole answer.
		e.Reason, e.kind = "the token server gave no token", ErrUnauthorized
	case ctx.Err() != nil:
		e.kind = context.Cause(ctx)
		e.Reason = e.kind.Error()
	case errors.Is(err, errStalled):
		e.Reason, e.kind = errStalled.Error(), ErrUnreachable
	case errors.As(err, &failed):
		// Its own text quotes the address, whose query may be a signature.
		e.Reason, e.kind = "no answer: "+failed.Err.Error(), ErrUnreachable
	case errors.Is(err, io.ErrUnexpectedEOF):
		e.Reason, e.kind = "the answer was cut short", err
	default:
		e.Reason, e.kind = err.Error(), err
	}
	e.Reason = line(e.Reason)
	return e
}

func kindOf(status int) error {
	switch {
	case status == http.StatusNotFound:
		return ErrNotFound
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return ErrUnauthorized
	case passing(status):
		return ErrUnreachable
	}
	return nil
}

// statusReason tells what a registry answered, by its status and the codes and
// messages of the specification; details and other bodies are left out.
func statusReason(answer *transport.Error) string {
	reason := strings.TrimSpace(fmt.Sprintf("%d %s", answer.StatusCode, http.StatusText(answer.StatusCode)))
	for _, d := range answer.Errors {
		reason += fmt.Sprintf(": %s: %s", d.Code, d.Message)
	}
	return reason
}

// line makes one bounded line of a text from outside.
func line(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	if runes := []rune(text); len(runes) > 400 {
		text = string(runes[:399]) + "…"
	}
	return strings.TrimSpace(text)
}
