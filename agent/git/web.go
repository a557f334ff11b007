package git

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
)

// web is a conversation over http or https, by go-git's client. It follows a
// redirect of the first request, and takes credentials to no other host.
type web struct{ session transport.UploadPackSession }

func newWeb(a address, guard guard) (conversation, error) {
	var auth transport.AuthMethod
	switch {
	case a.remote.Token != "":
		auth = &githttp.TokenAuth{Token: a.remote.Token}
	case a.remote.Username != "" || a.remote.Password != "":
		auth = &githttp.BasicAuth{Username: a.remote.Username, Password: a.remote.Password}
	}
	endpoint := *a.endpoint // the session changes it when redirected
	client := githttp.NewClient(&http.Client{Transport: bounded{http.DefaultTransport, guard}})
	session, err := client.NewUploadPackSession(&endpoint, auth)
	if err != nil {
		return nil, err
	}
	return &web{session}, nil
}

func (w *web) advertised(ctx context.Context) (*packp.AdvRefs, error) {
	refs, err := w.session.AdvertisedReferencesContext(ctx)
	if errors.Is(err, transport.ErrEmptyRemoteRepository) {
		return packp.NewAdvRefs(), nil
	}
	return refs, err
}

func (w *web) upload(ctx context.Context, req *packp.UploadPackRequest) (io.ReadCloser, error) {
	return w.session.UploadPack(ctx, req)
}

func (w *web) Close() error { return w.session.Close() }

// bounded is an http.RoundTripper whose answers are guarded.
type bounded struct {
	http.RoundTripper
	guard guard
}

func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := b.RoundTripper.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	most := int64(maxAdvertised)
	if req.Method == http.MethodPost {
		most = b.guard.limits.Received
	}
	res.Body = struct {
		io.Reader
		io.Closer
	}{b.guard.reader(res.Body, most), res.Body}
	return res, nil
}
