package buildkit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/docker/cli/cli/config/types"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth/authprovider"
	"github.com/moby/buildkit/session/secrets"
	"github.com/moby/buildkit/session/secrets/secretsprovider"
	"github.com/moby/buildkit/session/sshforward/sshprovider"

	"github.com/lab-layers/lab-layers/pipeline"
)

// Secret says where a secret's value is; one of the fields is set. It is read
// when a build asks for it, and goes nowhere else.
type Secret struct {
	// Env is the name of an environment variable of this process.
	Env string
	// File is a path on this machine.
	File  string
	Value []byte
}

// String keeps the value out of logs.
func (s Secret) String() string { return fmt.Sprintf("secret from env %q file %q", s.Env, s.File) }

// GoString keeps the value out of logs.
func (s Secret) GoString() string { return s.String() }

func (s Secret) read() ([]byte, error) {
	switch {
	case s.Value != nil:
		return s.Value, nil
	case s.Env != "":
		value, ok := os.LookupEnv(s.Env)
		if !ok {
			return nil, fmt.Errorf("environment variable %s is not set", s.Env)
		}
		return []byte(value), nil
	}
	return os.ReadFile(s.File)
}

// granted gives a build the secrets that its order names and no others.
type granted struct {
	secrets map[string]Secret
	names   map[string]string // by id
}

// GetSecret implements [secrets.SecretStore].
func (g granted) GetSecret(_ context.Context, id string) ([]byte, error) {
	name, granted := g.names[id]
	secret, ok := g.secrets[name]
	if !ok || !granted {
		return nil, secrets.ErrNotFound
	}
	value, err := secret.read()
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", id, err)
	}
	return value, nil
}

// attachables are what a build may ask of us while it runs.
func (b *Builder) attachables(order pipeline.Order) ([]session.Attachable, error) {
	attached := []session.Attachable{
		b.auth,
		secretsprovider.NewSecretProvider(granted{b.options.Secrets, order.Secrets}),
	}
	var agents []sshprovider.AgentConfig
	for id, name := range order.SSH {
		if paths, ok := b.options.SSH[name]; ok {
			agents = append(agents, sshprovider.AgentConfig{ID: id, Paths: slices.Clone(paths)})
		}
	}
	if len(agents) > 0 {
		provider, err := sshprovider.NewSSHAgentProvider(agents)
		if err != nil {
			return nil, fmt.Errorf("ssh agent: %w", err)
		}
		attached = append(attached, provider)
	}
	return attached, nil
}

// registryAuth gives BuildKit tokens, not the credentials themselves, where
// the registry has tokens.
func registryAuth(keychain authn.Keychain) session.Attachable {
	return authprovider.NewDockerAuthProvider(authprovider.DockerAuthProviderConfig{
		AuthConfigProvider: func(ctx context.Context, host string, _ []string, _ authprovider.ExpireCachedAuthCheck) (types.AuthConfig, error) {
			return credentials(ctx, keychain, host)
		},
	})
}

func credentials(ctx context.Context, keychain authn.Keychain, host string) (types.AuthConfig, error) {
	if host == authprovider.DockerHubRegistryHost {
		host = name.DefaultRegistry
	}
	registry, err := name.NewRegistry(host)
	if err != nil {
		return types.AuthConfig{}, err
	}
	authenticator, err := authn.Resolve(ctx, keychain, registry)
	if err != nil {
		// A credential helper's own words may hold what they should not.
		return types.AuthConfig{}, errors.New("look up the credentials of " + host + " in docker's configuration")
	}
	config, err := authn.Authorization(ctx, authenticator)
	if err != nil {
		return types.AuthConfig{}, errors.New("read the credentials of " + host)
	}
	return types.AuthConfig{
		Username: config.Username, Password: config.Password, ServerAddress: host,
		IdentityToken: config.IdentityToken, RegistryToken: config.RegistryToken,
	}, nil
}
