package buildkit

import (
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// TestAttestations holds that attestations ride in an index beside the very
// manifest that is made without them.
func TestAttestations(t *testing.T) {
	plain := mustNew(t, Options{Reproducible: true})
	parent := base(t, plain)
	scanner := mustBuild(t, plain, order(t, solvable(t,
		"FROM parent\nCOPY --chmod=755 scan /scan\nENTRYPOINT [\"/scan\"]\n",
		memFS{{path: "scan", data: scannerScript, mode: 0o755}}, parent, byContent)))
	b := mustNew(t, Options{Reproducible: true, Attestations: Attestations{
		Provenance: "max", SBOM: true, Scanner: scanner.repository + "@" + scanner.digest.String(),
	}})
	o := order(t, solvable(t, "FROM parent\nCOPY f /f\n", memFS{{path: "f", data: "x"}}, parent, byContent))
	want := mustBuild(t, plain, o)
	built, err := b.Build(t.Context(), o, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, built.Log)
	}
	if built.Digest != want.digest {
		t.Errorf("manifest %s, without attestations %s", built.Digest, want.digest)
	}
	if built.Index == "" || built.Index == built.Digest {
		t.Fatalf("index %q", built.Index)
	}
	ref, err := name.NewDigest(o.Repository + "@" + built.Index.String())
	if err != nil {
		t.Fatal(err)
	}
	index, err := remote.Index(ref)
	if err != nil {
		t.Fatal(err)
	}
	statements := attached(t, index)
	if s := statements["https://spdx.dev/Document"]; !strings.Contains(s, "made by a test") {
		t.Errorf("SBOM %s", s)
	}
	if s := statements["https://slsa.dev/provenance/v1"]; !strings.Contains(s, parent.digest.Encoded()) {
		t.Errorf("provenance does not name the parent: %s", s)
	}
}

// scannerScript follows BuildKit's protocol for scanners: statements go where
// BUILDKIT_SCAN_DESTINATION says (docs/attestations/sbom-protocol.md).
const scannerScript = `#!/bin/sh
cat > "$BUILDKIT_SCAN_DESTINATION/sbom.spdx.json" <<'END'
{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"https://spdx.dev/Document","predicate":{"comment":"made by a test"}}
END
`

// attached returns the attestations in an index by their type.
func attached(t *testing.T, index v1.ImageIndex) map[string]string {
	t.Helper()
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	statements := map[string]string{}
	for _, m := range manifest.Manifests {
		if m.Annotations[referenceType] != "attestation-manifest" {
			continue
		}
		img, err := index.Image(m.Digest)
		if err != nil {
			t.Fatal(err)
		}
		layers, err := img.Layers()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range layers {
			r, err := l.Compressed()
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(r)
			r.Close()
			if err != nil {
				t.Fatal(err)
			}
			var statement struct{ PredicateType string }
			if err := json.Unmarshal(data, &statement); err != nil {
				t.Fatal(err)
			}
			statements[statement.PredicateType] = string(data)
		}
	}
	return statements
}
