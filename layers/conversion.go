package layers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// OutsideImage describes an image that no layer of the repository makes.
type OutsideImage struct {
	// Digest of the platform's manifest.
	Digest digest.Digest
	// Config is the image configuration (JSON).
	Config []byte
}

// ErrNoImage says that the registry of an image from outside does not have it,
// or does not show it to us: a mistake in the Dockerfile that names it.
var ErrNoImage = errors.New("no such image")

// Outside describes images from outside. ok is false for an image that cannot
// be looked up: it then counts by its reference alone. An error that wraps
// [ErrNoImage] is a fault of the layer; any other fails the plan.
type Outside func(ctx context.Context, ref, platform string) (image OutsideImage, ok bool, err error)

// Unresolved knows no image: for planning without a network.
func Unresolved(context.Context, string, string) (OutsideImage, bool, error) {
	return OutsideImage{}, false, nil
}

// source is all that a conversion depends on but for the images outside.
type source struct {
	original []byte // text of the Dockerfile
	text     []byte // the same with the parent's stage replaced
	file     string // its path in the repository
	target   string
	args     map[string]string
	platform string
	// parent is the reference in FROM that the parent layer replaces; empty
	// without a parent.
	parent string
	// parentConfig is the parent's image configuration (JSON).
	parentConfig []byte
	// ownStage says that the parent is a stage of this Dockerfile, whose
	// ONBUILD lines are still in the text.
	ownStage bool
	epoch    string              // SOURCE_DATE_EPOCH, if set
	warn     linter.LintWarnFunc // nil: warnings are not asked for
	// bound refuses variables that would grow too much on an image of this
	// configuration.
	bound func(config []byte) error
	// imagined are variables that images of unknown configuration are taken to
	// set; planning only.
	imagined []string
	// cacheNamespace keeps cache mounts apart; empty while planning.
	cacheNamespace string
}

// outsideUse is an image from outside that a conversion asked for.
type outsideUse struct {
	Ref    string
	Digest digest.Digest // empty if unresolved
}

// converted is a Dockerfile's target as LLB.
type converted struct {
	def     *llb.Definition
	image   []byte
	base    []byte
	outside []outsideUse
	// parent is the parent's reference in the LLB; empty without a parent.
	parent string
}

// placeholder stands for the parent's digest while its image is not made yet;
// the parent's key takes its place in the child's key.
const placeholder = digest.Digest("sha256:0000000000000000000000000000000000000000000000000000000000000000")

// localName is what definitions call the build context.
const localName = dockerui.DefaultLocalNameContext

// localID keeps marshalling deterministic; BuildKit's default is a random id.
const localID = "lab-layers"

// convert runs BuildKit's own conversion with no network. The parent layer is
// parentRef@parentDigest; main replaces the build context if it is not nil. The
// images outside that were asked for are also told with an error.
func convert(ctx context.Context, src source, parentRef string, parentDigest digest.Digest, outside Outside, main *llb.State) (*converted, error) {
	platform, err := platforms.Parse(src.platform)
	if err != nil {
		return &converted{}, fmt.Errorf("platform %q: %w", src.platform, err)
	}
	args := make(map[string]string, len(src.args)+1)
	for k, v := range src.args {
		args[k] = v
	}
	if src.epoch != "" {
		args["SOURCE_DATE_EPOCH"] = src.epoch
	}
	resolver := &metaResolver{src: src, parentRef: parentRef, parentDigest: parentDigest, outside: outside}
	caps := pb.Caps.CapSet(pb.Caps.All())
	result, err := dockerfile2llb.Dockerfile2LLB(ctx, src.text, dockerfile2llb.ConvertOpt{
		Config: dockerui.Config{
			Target:         src.target,
			BuildArgs:      args,
			BuildPlatforms: []ocispecs.Platform{platform},
			// Whoever may push to one repository must not fill the caches
			// of another.
			CacheIDNamespace: src.cacheNamespace,
		},
		TargetPlatform: &platform,
		MetaResolver:   resolver,
		LLBCaps:        &caps,
		MainContext:    main,
		Warn:           src.warn,
		SourceMap:      llb.NewSourceMap(nil, src.file, "Dockerfile", src.text),
	})
	c := &converted{outside: resolver.used()}
	if err != nil {
		return c, err
	}
	c.def, err = result.State.Marshal(ctx, llb.LocalUniqueID(localID), llb.Platform(platform), llb.WithCaps(caps))
	if err != nil {
		return c, err
	}
	if src.parent != "" {
		c.parent = parentRef + "@" + parentDigest.String()
	}
	if c.image, err = json.Marshal(result.Image); err != nil {
		return c, err
	}
	if result.BaseImage != nil {
		if c.base, err = json.Marshal(result.BaseImage); err != nil {
			return c, err
		}
	}
	return c, nil
}

// metaResolver answers dockerfile2llb's questions about images.
type metaResolver struct {
	src          source
	parentRef    string
	parentDigest digest.Digest
	outside      Outside

	mu   sync.Mutex // BuildKit asks about several images at once
	uses []outsideUse
}

// used are the images outside that were asked for, in one order always.
func (m *metaResolver) used() []outsideUse {
	slices.SortFunc(m.uses, func(a, b outsideUse) int { return strings.Compare(a.Ref, b.Ref) })
	return m.uses
}

// ResolveImageConfig implements llb.ImageMetaResolver.
func (m *metaResolver) ResolveImageConfig(ctx context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	if m.src.parent != "" && sameImage(ref, m.src.parent) {
		config := m.src.parentConfig
		if m.src.ownStage {
			config = withoutTriggers(config)
		}
		return m.parentRef, m.parentDigest, config, m.src.bound(config)
	}
	image, ok, err := m.outside(ctx, ref, m.src.platform)
	if err != nil {
		return "", "", nil, err
	}
	if !ok {
		image.Config = withVariables(unknownConfig(m.src.platform), m.src.imagined)
	}
	m.mu.Lock()
	m.uses = append(m.uses, outsideUse{Ref: ref, Digest: image.Digest})
	m.mu.Unlock()
	return ref, image.Digest, image.Config, m.src.bound(image.Config)
}

// withoutTriggers takes ONBUILD out of an image configuration.
func withoutTriggers(config []byte) []byte {
	var image map[string]json.RawMessage
	var inner map[string]json.RawMessage
	if json.Unmarshal(config, &image) != nil || json.Unmarshal(image["config"], &inner) != nil || inner["OnBuild"] == nil {
		return config
	}
	delete(inner, "OnBuild")
	var err error
	if image["config"], err = json.Marshal(inner); err != nil {
		return config
	}
	out, err := json.Marshal(image)
	if err != nil {
		return config
	}
	return out
}

// unknownConfig describes an image of which only the reference is known. Its
// one layer says that it is not scratch.
func unknownConfig(platform string) []byte {
	os, arch, _ := strings.Cut(platform, "/")
	return fmt.Appendf(nil, `{"os":%q,"architecture":%q,"config":{},"rootfs":{"type":"layers","diff_ids":[%q]}}`, os, arch, placeholder)
}

// unresolved reports whether an image counts by its reference alone.
func unresolved(uses []outsideUse) bool {
	return slices.ContainsFunc(uses, func(use outsideUse) bool { return use.Digest == "" })
}
