package buildkit

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"

	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

// Epoch is the latest time of anything in a reproducible image, in seconds
// since 1970: 1980-01-01. A constant, as BuildKit's cache keeps the first time
// stamp it saw: one that moves would win or lose by history.
const Epoch = layers.ContextTime

// Compression of the blobs that a build makes. Blobs that exist already keep
// theirs.
type Compression string

// The compressions. A layer of 200 MB of libraries builds with zstd in 4 s to
// 73 MB, with gzip in 10 s to 76 MB (two cores). Zstd needs containerd 1.5,
// CRI-O 1.21 or Docker 23 on the nodes.
const (
	Zstd Compression = "zstd"
	Gzip Compression = "gzip"
)

// Check refuses what is none of them.
func (c Compression) Check() error {
	if c != Zstd && c != Gzip {
		return fmt.Errorf("compression %q: want %s or %s", c, Zstd, Gzip)
	}
	return nil
}

// export says how BuildKit is to publish an order's image: pushed by digest,
// with no tag moved.
func (b *Builder) export(order pipeline.Order) (client.ExportEntry, error) {
	// The exporter takes several names with commas between them.
	repository, err := name.NewRepository(order.Repository, name.StrictValidation)
	if err != nil {
		return client.ExportEntry{}, fmt.Errorf("repository %q: %w", order.Repository, err)
	}
	config, err := withLabels(order.Build.Image, order.Labels)
	if err != nil {
		return client.ExportEntry{}, fmt.Errorf("image configuration: %w", err)
	}
	attrs := map[string]string{
		string(exptypes.OptKeyName):             repository.Name(),
		string(exptypes.OptKeyPush):             "true",
		string(exptypes.OptKeyPushByDigest):     "true",
		string(exptypes.OptKeyStore):            "false",
		string(exptypes.OptKeyOCITypes):         "true",
		string(exptypes.OptKeyLayerCompression): string(b.options.Compression),
		// What the exporter does not know it takes for the frontend's word on
		// the result: so a plain definition has a configuration, and the layers
		// of the image below are known for its own and not written again.
		exptypes.ExporterImageConfigKey: string(config),
	}
	if len(order.Build.BaseImage) > 0 {
		attrs[exptypes.ExporterImageBaseConfigKey] = string(order.Build.BaseImage)
	}
	if b.options.Reproducible {
		attrs[string(exptypes.OptKeySourceDateEpoch)] = strconv.Itoa(Epoch)
		attrs[string(exptypes.OptKeyRewriteTimestamp)] = "true"
	}
	for key, value := range order.Annotations {
		if key == "" || strings.ContainsAny(key, " \t\r\n") {
			return client.ExportEntry{}, fmt.Errorf("annotation %q: a key has no white space", key)
		}
		attrs[exptypes.AnnotationManifestKey(nil, key)] = value
	}
	return client.ExportEntry{Type: client.ExporterImage, Attrs: attrs}, nil
}

// withLabels adds labels to an image configuration and leaves everything else
// as it is, fields unknown to us included.
func withLabels(image []byte, labels map[string]string) ([]byte, error) {
	if len(labels) == 0 {
		return image, nil
	}
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(image, &fields); err != nil {
		return nil, err
	}
	config := map[string]json.RawMessage{}
	if err := unmarshalField(fields["config"], &config); err != nil {
		return nil, err
	}
	merged := map[string]string{}
	if err := unmarshalField(config["Labels"], &merged); err != nil {
		return nil, err
	}
	for key, value := range labels {
		merged[key] = value
	}
	var err error
	if config["Labels"], err = json.Marshal(merged); err != nil {
		return nil, err
	}
	if fields["config"], err = json.Marshal(config); err != nil {
		return nil, err
	}
	return json.Marshal(fields)
}

// unmarshalField leaves a map as it is if the field is missing or null.
func unmarshalField[M ~map[string]V, V any](data json.RawMessage, into *M) error {
	if len(data) == 0 || string(data) == "null" {
		return nil
	}
	return json.Unmarshal(data, into)
}

// caches are the registry caches of a layer; its name is their tag.
func (b *Builder) caches(layer layers.Name) (imports, exports []client.CacheOptionsEntry) {
	entry := func(repository string, more map[string]string) client.CacheOptionsEntry {
		attrs := map[string]string{"ref": repository + ":" + string(layer)}
		for key, value := range more {
			attrs[key] = value
		}
		return client.CacheOptionsEntry{Type: "registry", Attrs: attrs}
	}
	for _, repository := range b.options.CacheImport {
		imports = append(imports, entry(repository, nil))
	}
	if repository := b.options.CacheExport; repository != "" {
		exports = append(exports, entry(repository, map[string]string{
			"mode": "max", "compression": string(b.options.Compression),
			"oci-mediatypes": "true", "image-manifest": "true", "ignore-error": "true",
		}))
	}
	return imports, exports
}
