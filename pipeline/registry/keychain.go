package registry

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/types"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

// keychain finds credentials in a keychain, if there is one, and then in a
// docker configuration, the user's own if path is empty.
func keychain(first authn.Keychain, path string) authn.Keychain {
	var second authn.Keychain = authn.DefaultKeychain
	if path != "" {
		second = dockerConfig(path)
	}
	if first == nil {
		return second
	}
	return authn.NewMultiKeychain(first, second)
}

// dockerConfig is the path of a docker configuration. It is read each time, so
// that a login counts at once.
type dockerConfig string

// Resolve finds the credentials for a repository, or else for its registry.
func (path dockerConfig) Resolve(target authn.Resource) (authn.Authenticator, error) {
	file := string(path)
	if info, err := os.Stat(file); err == nil && info.IsDir() {
		file = filepath.Join(file, config.ConfigFileName)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read docker configuration: %w", err)
	}
	defer f.Close()
	conf, err := config.LoadFromReader(f)
	if err != nil {
		return nil, fmt.Errorf("read docker configuration %s: %w", file, err)
	}
	for _, key := range []string{target.String(), target.RegistryStr()} {
		if key == name.DefaultRegistry {
			key = authn.DefaultAuthKey
		}
		found, err := conf.GetAuthConfig(key)
		if err != nil {
			return nil, fmt.Errorf("credentials for %s: %w", key, err)
		}
		found.ServerAddress = ""
		if found != (types.AuthConfig{}) {
			return authn.FromConfig(authn.AuthConfig{
				Username: found.Username, Password: found.Password, Auth: found.Auth,
				IdentityToken: found.IdentityToken, RegistryToken: found.RegistryToken,
			}), nil
		}
	}
	return authn.Anonymous, nil
}
