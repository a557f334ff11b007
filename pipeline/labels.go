package pipeline

import (
	"encoding/json"

	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// The OCI names for what an image stands on (image-spec, annotations.md).
const (
	baseDigestLabel = ocispecs.AnnotationBaseImageDigest
	baseNameLabel   = ocispecs.AnnotationBaseImageName
)

// label reads a label of an image configuration; empty if it has none.
func label(config []byte, name string) string {
	var image ocispecs.Image
	if json.Unmarshal(config, &image) != nil {
		return ""
	}
	return image.Config.Labels[name]
}
