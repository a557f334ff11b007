package embedded

import (
	"crypto/rand"
	"crypto/subtle"
	"net/http"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
)

// user is who may write, beside a password.
const user = "lab-layers"

// guard lets anyone read, and only its owner write: whoever can reach the
// loopback interface, the RUN steps of a build among them, could otherwise move
// any tag.
type guard struct {
	next     http.Handler
	password string
	open     bool
	// writes is held by each request that writes, and by a sweep alone.
	writes *sync.RWMutex
}

func newGuard(next http.Handler, open bool) guard {
	return guard{next: next, password: rand.Text(), open: open, writes: new(sync.RWMutex)}
}

func (g guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// Clients ask the API's root whether there is anything to log in to.
	writing := r.Method != http.MethodGet && r.Method != http.MethodHead
	reading := !writing && r.URL.Path != "/v2/"
	name, password, _ := r.BasicAuth()
	if g.open || reading || name == user && subtle.ConstantTimeCompare([]byte(password), []byte(g.password)) == 1 {
		if writing {
			g.writes.RLock()
			defer g.writes.RUnlock()
		}
		g.next.ServeHTTP(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	w.Header().Set("WWW-Authenticate", `Basic realm="lab-layers"`)
	w.WriteHeader(http.StatusUnauthorized)
	_, _ = w.Write([]byte(`{"errors":[{"code":"UNAUTHORIZED","message":"this registry is written to by its agent alone"}]}`))
}

// Resolve gives the credentials for writing to this registry, and for no other.
// It makes the registry an authn.Keychain. They last as long as the process and
// are written down nowhere.
func (r *Registry) Resolve(target authn.Resource) (authn.Authenticator, error) {
	if target.RegistryStr() != r.host {
		return authn.Anonymous, nil
	}
	return &authn.Basic{Username: user, Password: r.guard.password}, nil
}
