package registry

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Ping asks a registry, given as HOST or HOST/PREFIX, whether it is there. That
// it wants credentials is an answer, too.
func (c *Client) Ping(ctx context.Context, registry string) error {
	host, _, _ := strings.Cut(registry, "/")
	options := []name.Option{name.StrictValidation}
	if c.mayBePlain(host) {
		options = append(options, name.Insecure)
	}
	at, err := name.NewRegistry(host, options...)
	if err == nil {
		_, err = transport.Ping(ctx, at, c.base)
	}
	if err != nil {
		return fmt.Errorf("registry %s does not answer: %w", host, err)
	}
	return nil
}
