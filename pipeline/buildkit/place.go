package buildkit

import (
	"slices"
	"strings"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
)

// maxInstruction is the most that is kept of an instruction's text, in bytes.
const maxInstruction = 4 << 10

// place is where the Dockerfile asks for a vertex; zero if it does not.
type place struct {
	file        string
	line        int // from 1
	instruction string
}

// locate finds a vertex in the source map of its definition.
func locate(def *llb.Definition, id digest.Digest) place {
	if def == nil || def.Source == nil {
		return place{}
	}
	locations := def.Source.Locations[id.String()]
	if locations == nil {
		return place{}
	}
	for _, l := range locations.Locations {
		if l.SourceIndex < 0 || int(l.SourceIndex) >= len(def.Source.Infos) || len(l.Ranges) == 0 {
			continue
		}
		first, last := l.Ranges[0].Start.Line, l.Ranges[0].End.Line
		for _, r := range l.Ranges {
			first, last = min(first, r.Start.Line), max(last, r.End.Line)
		}
		info := def.Source.Infos[l.SourceIndex]
		return place{file: info.Filename, line: int(first), instruction: lines(string(info.Data), int(first), int(last))}
	}
	return place{}
}

// locateUser finds the place of an operation that takes in what a vertex gives:
// what an ADD fetches has no place of its own.
func locateUser(def *llb.Definition, id digest.Digest) place {
	for _, data := range def.Def {
		op := &pb.Op{}
		if op.UnmarshalVT(data) != nil || !slices.ContainsFunc(op.Inputs, func(in *pb.Input) bool { return in.Digest == id.String() }) {
			continue
		}
		if where := locate(def, digest.FromBytes(data)); where.file != "" {
			return where
		}
	}
	return place{}
}

// lines returns some lines of a text, counted from 1, the last included.
func lines(text string, first, last int) string {
	all := strings.Split(text, "\n")
	if first < 1 || first > len(all) {
		return ""
	}
	some := strings.Join(all[first-1:max(first, min(last, len(all)))], "\n")
	if len(some) > maxInstruction {
		some = some[:maxInstruction] + "…"
	}
	return strings.TrimSpace(some)
}

// operation finds a vertex in its definition; nil if it is not there.
func operation(def *llb.Definition, id digest.Digest) *pb.Op {
	if def == nil {
		return nil
	}
	for _, data := range def.Def {
		if digest.FromBytes(data) != id {
			continue
		}
		op := &pb.Op{}
		if op.UnmarshalVT(data) == nil {
			return op
		}
	}
	return nil
}
