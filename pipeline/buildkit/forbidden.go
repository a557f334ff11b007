package buildkit

import (
	"errors"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"

	"github.com/lab-layers/lab-layers/pipeline"
)

// forbidden finds a step that asks for more of the daemon's machine than a
// repository may have. BuildKit would refuse it too, but not say where it is.
func forbidden(def *llb.Definition) error {
	for _, data := range def.Def {
		op := &pb.Op{}
		if err := op.UnmarshalVT(data); err != nil {
			return err
		}
		run := op.GetExec()
		var wants string
		switch {
		case run == nil:
			continue
		case run.Network == pb.NetMode_HOST:
			wants = "--network=host"
		case run.Security == pb.SecurityMode_INSECURE:
			wants = "--security=insecure"
		default:
			continue
		}
		where := locate(def, digest.FromBytes(data))
		return &pipeline.BuildError{
			File: where.file, Line: where.line, Instruction: where.instruction,
			Err: errors.New(wants + " is not allowed: builds do not get the machine's own rights"),
		}
	}
	return nil
}
