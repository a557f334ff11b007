package layers

import (
	"cmp"
	"slices"

	"github.com/moby/buildkit/solver/pb"
)

// Ask is a secret or an ssh key that the build of a layer may ask for.
type Ask struct {
	Kind AskKind
	ID   string
	// Listed says that lab-layers.yaml lists it for the layer.
	Listed bool
	// At is the first instruction that mounts it; zero if none is known.
	At Instruction
}

// AskKind says what is asked for.
type AskKind string

// The kinds of asks, as --mount and lab-layers.yaml name them.
const (
	AskSecret AskKind = "secret"
	AskSSH    AskKind = "ssh"
)

// Field is where lab-layers.yaml lists the kind.
func (k AskKind) Field() string {
	if k == AskSecret {
		return "secrets"
	}
	return string(k)
}

// Asks are what the layer lists and what its instructions mount, each once.
// What BuildKit asks for by itself, such as the token for an ADD from a private
// repository, it only gets if the layer lists it.
func (r *Recipe) Asks() []Ask {
	var asks []Ask
	find := func(kind AskKind, id string) int {
		i := slices.IndexFunc(asks, func(a Ask) bool { return a.Kind == kind && a.ID == id })
		if i < 0 {
			i = len(asks)
			asks = append(asks, Ask{Kind: kind, ID: id})
		}
		return i
	}
	for _, id := range r.layer.Secrets {
		asks[find(AskSecret, id)].Listed = true
	}
	for _, id := range r.layer.SSH {
		asks[find(AskSSH, id)].Listed = true
	}
	for _, o := range r.graph.ops {
		for _, a := range o.asks {
			if i := find(a.Kind, a.ID); asks[i].At.Line == 0 {
				asks[i].At = Instruction{File: r.layer.Dockerfile, Line: o.line, Text: o.instruction}
			}
		}
	}
	return asks
}

// asksOf are the secrets and ssh keys that an op mounts.
func asksOf(vertex *pb.Op) (asks []Ask) {
	run := vertex.GetExec()
	for _, mount := range run.GetMounts() {
		switch mount.MountType {
		case pb.MountType_SECRET:
			asks = append(asks, Ask{Kind: AskSecret, ID: mount.SecretOpt.GetID()})
		case pb.MountType_SSH:
			asks = append(asks, Ask{Kind: AskSSH, ID: cmp.Or(mount.SSHOpt.GetID(), "default")})
		}
	}
	for _, env := range run.GetSecretenv() {
		asks = append(asks, Ask{Kind: AskSecret, ID: env.GetID()})
	}
	if id := vertex.GetSource().GetAttrs()[pb.AttrMountSSHSock]; id != "" {
		asks = append(asks, Ask{Kind: AskSSH, ID: id})
	}
	return asks
}
