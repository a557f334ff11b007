package git

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"

	"github.com/lab-layers/lab-layers/layers"
)

// talk is a conversation with the remote of a mirror, after its first answer.
type talk struct {
	conversation
	refs  *packp.AdvRefs
	alarm *alarm
}

// converse talks with the remote. When the context or the alarm ended it, the
// error is that cause alone.
func (m *Mirror) converse(ctx context.Context, do func(context.Context, *talk) error) error {
	ctx, alarm, stop := withAlarm(ctx, m.limits)
	defer stop()
	from, err := m.from.withToken()
	if err != nil {
		return err
	}
	err = func() error {
		conversation, err := converse(ctx, from, guard{m.limits, alarm})
		if err != nil {
			return err
		}
		defer conversation.Close()
		refs, err := conversation.advertised(ctx)
		if err != nil {
			return err
		}
		if len(refs.References)+len(refs.Peeled) > 2*maxRefs {
			return errTooManyRefs
		}
		return do(ctx, &talk{conversation, refs, alarm})
	}()
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	return from.hide(err)
}

// commits are the branches and tags that the remote told of, and the names
// that were left out.
func (t *talk) commits() (refs map[layers.Ref]layers.Commit, refused []string, err error) {
	refs = make(map[layers.Ref]layers.Commit, len(t.refs.References))
	for name, hash := range t.refs.References {
		if !tracked(name) {
			continue
		}
		if !validRefName(name) {
			refused = append(refused, name)
			continue
		}
		if peeled, ok := t.refs.Peeled[name]; ok {
			hash = peeled
		}
		refs[layers.Ref(name)] = layers.Commit(hash.String())
	}
	if len(refs) > maxRefs {
		return nil, nil, errTooManyRefs
	}
	return refs, refused, nil
}

// wants is what to ask for, to get a commit that was seen at a ref: itself if
// the remote tells of it, else the ref's tip, which has most likely moved on
// from it.
func (t *talk) wants(ref layers.Ref, commit layers.ObjectID) (plumbing.Hash, error) {
	want := plumbing.Hash([]byte(commit))
	for name, hash := range t.refs.References {
		if hash == want || t.refs.Peeled[name] == want {
			return hash, nil
		}
	}
	if tip, ok := t.refs.References[string(ref)]; ok {
		return tip, nil
	}
	can := t.refs.Capabilities
	if can.Supports(capability.AllowReachableSHA1InWant) || can.Supports(capability.AllowTipSHA1InWant) {
		return want, nil
	}
	return want, fmt.Errorf("find object %s: %w", commit, errGone)
}

// pack asks for commits, and hands over the pack that comes.
func (t *talk) pack(ctx context.Context, wants, haves []plumbing.Hash, take func(io.Reader) error) error {
	req := packp.NewUploadPackRequestFromCapabilities(t.refs.Capabilities)
	if t.refs.Capabilities.Supports(capability.NoProgress) {
		if err := req.Capabilities.Set(capability.NoProgress); err != nil {
			return err
		}
	}
	req.Wants, req.Haves = wants, haves
	answer, err := t.upload(ctx, req)
	if err != nil {
		if strings.Contains(err.Error(), "not our ref") {
			return fmt.Errorf("%w: %v", errGone, err)
		}
		return err
	}
	defer answer.Close()
	return take(packOf(req, answer))
}
