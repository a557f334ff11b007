package main

import (
	"archive/tar"
	"errors"
	"io"
	"maps"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
)

// image reads what the registry has under a tag of a layer, by a client that is
// not ours.
func (l *lab) image(layer layers.Name, tag string) v1.Image {
	l.Helper()
	ref, err := name.ParseReference(l.prefix + "/" + string(layer) + ":" + tag)
	l.check(err)
	image, err := remote.Image(ref)
	l.check(err)
	return image
}

// file reads a file out of an image in the registry.
func (l *lab) file(layer layers.Name, tag, path string) string {
	l.Helper()
	files := mutate.Extract(l.image(layer, tag))
	defer files.Close()
	r := tar.NewReader(files)
	for {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			l.Fatalf("%s:%s has no %s", layer, tag, path)
		}
		l.check(err)
		if header.Name == path {
			text, err := io.ReadAll(r)
			l.check(err)
			return string(text)
		}
	}
}

// tagged is the digest that a tag has in the registry; empty if there is none.
func (l *lab) tagged(layer layers.Name, tag string) digest.Digest {
	l.Helper()
	d, ok, err := l.agent.Carrier.Pipeline.Registry.Digest(l.Context(), l.prefix+"/"+string(layer), tag)
	l.check(err)
	if !ok {
		return ""
	}
	return d
}

// digests of a run's images.
func digests(v agent.Verdict) map[layers.Name]digest.Digest {
	all := map[layers.Name]digest.Digest{}
	for _, out := range v.Outcomes {
		if out.Image != nil {
			all[out.Layer] = out.Image.Digest
		}
	}
	return all
}

// same reports whether two runs ended with the same images.
func (l *lab) same(a, b agent.Verdict) {
	l.Helper()
	if left, right := digests(a), digests(b); len(left) == 0 || !maps.Equal(left, right) {
		l.Errorf("the images differ:\n%v\n%v", left, right)
	}
}

// tagsHold checks that a run's tags are what the registry has, on every image.
func (l *lab) tagsHold(v agent.Verdict) {
	l.Helper()
	images := digests(v)
	if len(v.Tags) == 0 || len(v.Tags)%len(images) != 0 {
		l.Errorf("%d images have %d tags", len(images), len(v.Tags))
	}
	for _, tag := range v.Tags {
		if d := l.tagged(tag.Layer, tag.Name); d != tag.Digest || d != images[tag.Layer] {
			l.Errorf("%s:%s is %q in the registry, %q in the records, and the image %q", tag.Layer, tag.Name, d, tag.Digest, images[tag.Layer])
		}
	}
}
