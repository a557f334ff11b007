package embedded

import (
	"net/http"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// TestOnlyTheOwnerWrites holds that without the registry's own credentials
// everything can be read and nothing written, moved or deleted.
func TestOnlyTheOwnerWrites(t *testing.T) {
	r := must(Start(t.Context(), Options{Dir: t.TempDir()}))
	defer func() { check(t, r.Stop(t.Context())) }()
	image := must(random.Image(1024, 1))
	ref := parse(t, r.Host()+"/lab/a:main")
	owner := remote.WithAuthFromKeychain(authn.NewMultiKeychain(r, authn.DefaultKeychain))

	check(t, remote.Write(ref, image, owner))
	check(t, read(remote.Image(ref)))
	for name, fault := range map[string]error{
		"anyone":   remote.Write(ref, must(random.Image(64, 1))),
		"a guess":  remote.Write(ref, must(random.Image(64, 1)), remote.WithAuth(&authn.Basic{Username: user, Password: "guess"})),
		"a tag":    remote.Tag(parse(t, r.Host()+"/lab/a:other").Context().Tag("other"), image),
		"deletion": remote.Delete(ref),
	} {
		if fault == nil {
			t.Errorf("%s may write", name)
		}
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, "TRACE", ""} {
		request := must(http.NewRequest(method, "http://"+r.Host()+"/v2/lab/a/blobs/uploads/", nil))
		if method == "" {
			request.Method, request.URL.Path = "POST", "//v2/lab/a/blobs/uploads/"
		}
		answer := must(http.DefaultTransport.RoundTrip(request))
		answer.Body.Close()
		if answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s %s: %s", method, request.URL.Path, answer.Status)
		}
	}
	check(t, remote.Delete(ref, owner))
}
