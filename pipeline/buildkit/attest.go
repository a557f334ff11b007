package buildkit

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
)

// Attestations that BuildKit makes and pushes with an image. With any of them
// the push is an index around the image's manifest; the manifest itself is the
// same as without.
type Attestations struct {
	// Provenance (SLSA) is "min", "max" or empty for none.
	Provenance string
	// SBOM (SPDX) of the image's content.
	SBOM bool
	// Scanner is the image that makes the SBOM; empty is BuildKit's own choice
	// (docker/buildkit-syft-scanner).
	Scanner string
}

func (a Attestations) check() error {
	switch a.Provenance {
	case "", "min", "max":
	default:
		return fmt.Errorf("provenance %q: want min, max or nothing", a.Provenance)
	}
	// The attributes are comma-separated.
	if strings.ContainsAny(a.Scanner, `,"`) {
		return fmt.Errorf("SBOM scanner %q: want an image reference", a.Scanner)
	}
	return nil
}

func (a Attestations) any() bool { return a.SBOM || a.Provenance != "" }

// attributes as BuildKit's controller reads them.
func (a Attestations) attributes() map[string]string {
	attrs := map[string]string{}
	if a.Provenance != "" {
		attrs["attest:provenance"] = "mode=" + a.Provenance
	}
	if a.SBOM {
		attrs["attest:sbom"] = ""
		if a.Scanner != "" {
			attrs["attest:sbom"] = "generator=" + a.Scanner
		}
	}
	return attrs
}

// referenceType marks what is in an index beside images: attestations.
const referenceType = "vnd.docker.reference.type"

// manifestIn reads a pushed index and returns the digest of the one image in
// it.
func (b *Builder) manifestIn(ctx context.Context, repository string, index digest.Digest) (digest.Digest, error) {
	var options []name.Option
	host, _, _ := strings.Cut(repository, "/")
	if slices.Contains(b.options.PlainHTTP, host) {
		options = append(options, name.Insecure)
	}
	ref, err := name.NewDigest(repository+"@"+index.String(), options...)
	if err != nil {
		return "", err
	}
	got, err := remote.Index(ref, remote.WithContext(ctx), remote.WithAuthFromKeychain(b.options.Keychain))
	if err != nil {
		return "", err
	}
	manifest, err := got.IndexManifest()
	if err != nil {
		return "", err
	}
	var found []digest.Digest
	for _, m := range manifest.Manifests {
		if m.Annotations[referenceType] == "" && m.MediaType == types.OCIManifestSchema1 {
			found = append(found, digest.Digest(m.Digest.String()))
		}
	}
	if len(found) != 1 {
		return "", fmt.Errorf("index %s holds %d images, want 1", ref, len(found))
	}
	return found[0], nil
}
