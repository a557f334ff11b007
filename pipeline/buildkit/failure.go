package buildkit

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	gateway "github.com/moby/buildkit/frontend/gateway/pb"
	solvererrdefs "github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/grpcerrors"
	"github.com/opencontainers/go-digest"
	"google.golang.org/grpc/codes"

	"github.com/lab-layers/lab-layers/pipeline"
)

// explain tells instructions that failed, which become a *pipeline.BuildError,
// from outages, which stay plain errors. Of the former it tells the user's
// mistakes from what may go well at another attempt.
func (r *recorder) explain(err error) error {
	var at *solvererrdefs.VertexError
	if !errors.As(err, &at) {
		return err
	}
	id := digest.Digest(at.Digest)
	where, tail, op := locate(r.def, id), r.lastLines(id), operation(r.def, id)
	if where.file == "" && op.GetSource() != nil {
		where = locateUser(r.def, id)
	}
	wrong := mistake(err, op, tail)
	if wrong || doubtful(err, op) {
		return &pipeline.BuildError{
			File: where.file, Line: where.line, Instruction: where.instruction,
			Tail: tail, Err: shortened{at.Unwrap()}, Doubtful: !wrong,
		}
	}
	if where.file != "" {
		err = fmt.Errorf("%s:%d: %w", where.file, where.line, err)
	}
	return err
}

// shortened says what an error says without how BuildKit came upon it.
type shortened struct{ error }

var detour = regexp.MustCompile(`^(failed to compute cache key: |failed to calculate checksum of ref \S+: )+`)

func (s shortened) Error() string { return detour.ReplaceAllString(s.error.Error(), "") }

func (s shortened) Unwrap() error { return s.error }

// mistake reports whether an error that BuildKit gives for one operation is the
// Dockerfile's own:
//
//   - a command that exits with a code of its own is; one that was killed
//     (code 137, or out of memory) or for which there was no space left is not;
//   - a RUN that cannot begin is, if what it asks for is not there: a program,
//     a secret, a mount's source, a user; any other trouble to begin is not;
//   - a COPY, ADD or WORKDIR is, as it only moves files about, but not if space
//     ran out, the connection went, the image that it stands on cannot be
//     pulled, which is done at the first step that needs it, or the daemon has
//     no place for its result, as after a kill that left one half made;
//   - an image, a git repository or a URL that cannot be had is not, nor is
//     anything else.
func mistake(err error, op *pb.Op, tail []string) bool {
	if noSpace(err.Error()) || slices.ContainsFunc(tail, noSpace) {
		return false
	}
	var exit *gateway.ExitError
	if errors.As(err, &exit) && strings.Contains(exit.Error(), "exit code: ") {
		if n := len(tail); n > 0 && strings.HasPrefix(tail[n-1], "runc run failed: ") {
			return strings.Contains(tail[n-1], ": exec: ")
		}
		return exit.ExitCode != killed && !strings.Contains(exit.Error(), "cannot allocate memory")
	}
	code := grpcerrors.Code(err)
	switch op.GetOp().(type) {
	case *pb.Op_Exec:
		return code == codes.NotFound || code == codes.InvalidArgument || slices.ContainsFunc(notThere, func(text string) bool {
			return strings.Contains(err.Error(), text)
		})
	case *pb.Op_File:
		return code != codes.Unavailable && code != codes.Canceled && code != codes.DeadlineExceeded &&
			code != codes.ResourceExhausted && code != codes.Internal &&
			!pulling.MatchString(err.Error()) && !snapshotting.MatchString(err.Error())
	}
	return false
}

// doubtful reports whether an error that is no mistake may yet be the
// Dockerfile's own: a command began or was to begin and came to no end of its
// own, or a git repository or a URL that the Dockerfile names cannot be had.
// What remains says nothing about the Dockerfile: the daemon or the connection
// to it went, an image or the build context cannot be had, the disk is full.
func doubtful(err error, op *pb.Op) bool {
	var exit *gateway.ExitError
	if errors.As(err, &exit) {
		return grpcerrors.Code(err) != codes.Canceled // with the daemon
	}
	scheme, _, _ := strings.Cut(op.GetSource().GetIdentifier(), "://")
	return slices.Contains([]string{"git", "http", "https"}, scheme)
}

// killed is how a shell names an end by SIGKILL: 128 and the signal's number.
const killed = 128 + 9

// notThere are BuildKit's words for what a RUN asks for and does not get, where
// it gives no code with them.
var notThere = []string{": not found", "no SSH key", "no such file or directory", "unable to find user", "unable to find group"}

// pulling is containerd's words for what goes wrong with a registry.
var pulling = regexp.MustCompile(`httpReadSeeker: |failed to do request: |unexpected status from \w+ request`)

// snapshotting is BuildKit's words for a file system that it could not make for
// a step (cache/manager.go).
var snapshotting = regexp.MustCompile(`(^|: )failed to prepare \S* as \w+: `)

func noSpace(text string) bool {
	text = strings.ToLower(text)
	return strings.Contains(text, "no space left on device") || strings.Contains(text, "disk quota exceeded")
}
