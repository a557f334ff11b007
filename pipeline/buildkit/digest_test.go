package buildkit

import (
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/lab-layers/lab-layers/pipeline"
)

// blobs of an image, from the lowest.
func (i *image) blobs() []v1.Hash {
	var all []v1.Hash
	for _, l := range i.manifest.Layers {
		all = append(all, l.Digest)
	}
	return all
}

// TestChildSharesParentsBlobs holds that a child has its parent's blobs to the
// byte and pushes none of them again, even where its own times are rewritten.
func TestChildSharesParentsBlobs(t *testing.T) {
	for _, test := range []struct {
		name       string
		options    Options
		dockerfile string
	}{
		{"plain", Options{}, "FROM parent\nCOPY f /f\n"},
		{"gzip", Options{Compression: Gzip}, "FROM parent\nCOPY f /f\n"},
		{"reproducible", Options{Reproducible: true}, "FROM parent\nCOPY f /f\n"},
		{"reproducible, RUN", Options{Reproducible: true}, "FROM parent\nCOPY f /f\nRUN echo x > /x\n"},
		{"reproducible, linked", Options{Reproducible: true}, "FROM parent\nCOPY --link f /f\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := mustNew(t, test.options)
			parent := base(t, b)
			o := order(t, solvable(t, test.dockerfile, memFS{{path: "f", data: t.Name()}}, parent, byContent))
			// Blobs are mounted across repositories of one registry.
			o.Repository = parent.repository + "/child"
			var child *image
			requests := sharedRegistry.since(func() { child = mustBuild(t, b, o) })
			below, all := parent.blobs(), child.blobs()
			own := strings.Count(test.dockerfile, "\n") - 1
			if len(all) != len(below)+own {
				t.Fatalf("child has %d blobs, parent %d", len(all), len(below))
			}
			for i, blob := range below {
				if all[i] != blob {
					t.Errorf("blob %d: child has %s, parent %s", i, all[i], blob)
				}
			}
			if n := uploads(requests); n != own+1 { // and the configuration
				t.Errorf("%d blobs uploaded, want %d:\n%s", n, own+1, strings.Join(requests, "\n"))
			}
		})
	}
}

// uploads counts blobs whose bytes were sent.
func uploads(requests []string) int {
	n := 0
	for _, r := range requests {
		if strings.HasPrefix(r, "PUT ") && strings.Contains(r, "/blobs/uploads/") {
			n++
		}
	}
	return n
}

// TestBaseConfigKeepsParentsBlobs shows what the base configuration is for:
// without it a rewritten child also rewrites what it stands on.
func TestBaseConfigKeepsParentsBlobs(t *testing.T) {
	plain, rewriting := mustNew(t, Options{}), mustNew(t, Options{Reproducible: true})
	parent := base(t, plain) // its blobs have the times of the build
	for _, test := range []struct {
		name string
		keep bool
	}{{"with", true}, {"without", false}} {
		t.Run(test.name, func(t *testing.T) {
			o := order(t, solvable(t, "FROM parent\nCOPY f /f\n", memFS{{path: "f", data: "x"}}, parent, byContent))
			if !test.keep {
				o.Build.BaseImage = nil
			}
			child := mustBuild(t, rewriting, o)
			if kept := child.blobs()[1] == parent.blobs()[1]; kept != test.keep {
				t.Errorf("the parent's blob is kept: %t", kept)
			}
		})
	}
}

// TestReproducible holds that daemons that know nothing of each other make the
// same images, digest for digest, down a chain of two.
func TestReproducible(t *testing.T) {
	second := freshDaemon(t)
	chain := func(address string) (digests []string) {
		b := mustNew(t, Options{Addresses: []string{address}, Reproducible: true})
		parent := base(t, b)
		digests = append(digests, parent.digest.String())
		for _, dockerfile := range []string{
			"FROM parent\nCOPY f /lab/f\n",
			"FROM parent\nCOPY --link f /lab/f\n",
			"FROM parent\nWORKDIR /new/dir\nRUN echo hello > greeting\n",
		} {
			o := order(t, solvable(t, dockerfile, memFS{{path: "f", data: "x", mode: 0o755}}, parent, byContent))
			o.Repository = sharedRegistry.host + "/lab/reproducible"
			digests = append(digests, mustBuild(t, b, o).digest.String())
		}
		return digests
	}
	one, two := chain(sharedDaemon.Address()), chain(second.Address())
	for i := range one {
		if one[i] != two[i] {
			t.Errorf("image %d: %s here, %s there", i, one[i], two[i])
		}
	}
}

func TestSharedDaemonAtOnce(t *testing.T) {
	b := mustNew(t, Options{Limit: 2})
	parent := base(t, b)
	errs := make(chan error)
	for _, layer := range []string{"a", "b", "c", "d", "e", "f"} {
		o := order(t, solvable(t, "FROM parent\nRUN echo "+layer+" > /name\n", nil, parent, byContent))
		o.Repository = sharedRegistry.host + "/lab/" + layer
		go func() {
			_, err := pipeline.Builder(b).Build(t.Context(), o, nil)
			errs <- err
		}()
	}
	for range 6 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}
