package layers

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/apicaps"
	"github.com/opencontainers/go-digest"
)

// salted gives every RUN instruction of a definition another cache key for each
// salt; an empty one changes nothing. What runs, and the image configuration, stay
// as they are: the salt is written as exit codes that count as success, besides 0,
// and that no process can end with.
func salted(def *llb.Definition, salt string) (*llb.Definition, error) {
	if salt == "" {
		return def, nil
	}
	codes := saltCodes(salt)
	out := *def
	out.Def = make([][]byte, len(def.Def))
	out.Metadata = make(map[digest.Digest]llb.OpMetadata, len(def.Metadata))
	renamed := make(map[string]string, len(def.Def))
	for i, data := range def.Def { // inputs come first
		var vertex pb.Op
		if err := vertex.UnmarshalVT(data); err != nil {
			return nil, fmt.Errorf("salt LLB: %w", err)
		}
		for _, in := range vertex.Inputs {
			in.Digest = renamed[in.Digest]
		}
		was := digest.FromBytes(data)
		metadata := def.Metadata[was]
		if exec := vertex.GetExec(); exec != nil {
			exec.Meta.ValidExitCodes = codes
			metadata.Caps = maps.Clone(metadata.Caps)
			if metadata.Caps == nil {
				metadata.Caps = map[apicaps.CapID]bool{}
			}
			metadata.Caps[pb.CapExecValidExitCode] = true // BuildKit without it would not see the salt
		}
		data, err := vertex.Marshal()
		if err != nil {
			return nil, fmt.Errorf("salt LLB: %w", err)
		}
		is := digest.FromBytes(data)
		out.Def[i], out.Metadata[is], renamed[was.String()] = data, metadata, is.String()
	}
	if def.Source != nil {
		out.Source = &pb.Source{Infos: def.Source.Infos, Locations: make(map[string]*pb.Locations, len(def.Source.Locations))}
		for id, where := range def.Source.Locations {
			out.Source.Locations[renamed[id]] = where
		}
	}
	return &out, nil
}

// saltCodes are exit codes beyond those of any process, which end at 255.
func saltCodes(salt string) []int32 {
	sum := sha256.Sum256([]byte(salt))
	codes := []int32{0}
	for at := 0; at < 8; at += 4 {
		codes = append(codes, int32(binary.BigEndian.Uint32(sum[at:])&(1<<30-1)|1<<30))
	}
	return codes
}

// scheduled says that a layer is built anew as another salt is due, and reports
// whether its key differs by that alone; anew are those of which that is known.
func (l *PlannedLayer) scheduled(salt string, before *PlannedLayer, anew map[Name]bool) bool {
	was, is := before.inputs, l.inputs
	if was.layer.Parent == is.layer.Parent && anew[is.layer.Parent] {
		l.Reasons = slices.DeleteFunc(l.Reasons, func(r Reason) bool { return r.Kind == ReasonParent })
	}
	alone := len(l.Reasons) == 0
	l.because(ReasonSchedule, "it is built anew as scheduled, since %s", salt)
	for _, o := range is.graph.ops {
		if o.run && o.line > 0 && (l.RebuildFrom == nil || o.line < l.RebuildFrom.Line) {
			l.RebuildFrom = &Instruction{File: is.layer.Dockerfile, Line: o.line, Text: o.instruction}
		}
	}
	return alone
}
