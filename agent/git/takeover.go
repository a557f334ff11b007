package git

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/lab-layers/lab-layers/layers"
)

// takeOver puts an object of a local remote into the mirror, together with the
// pack that it is in, as a hard link where the file system allows: so it stays
// readable when the remote packs or prunes its objects, and costs no space.
func (m *Mirror) takeOver(ctx context.Context, id layers.ObjectID, where place) error {
	objects := filepath.Join(m.dir, "objects")
	if where.pack == nil {
		name := loosePath(objects, id)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return err
		}
		return m.temp.linkOrCopy(ctx, where.loose, name)
	}
	base := strings.TrimSuffix(where.pack.name, ".pack")
	for _, extension := range []string{".pack", ".idx"} { // a pack counts by its index
		if err := m.temp.linkOrCopy(ctx, base+extension, filepath.Join(objects, "pack", filepath.Base(base)+extension)); err != nil {
			return err
		}
	}
	return nil
}

// linkOrCopy makes a file appear under a second name, whole or not at all.
func (d tempDir) linkOrCopy(ctx context.Context, from, to string) error {
	err := os.Link(from, to)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return nil
	}
	// Another file system, one without links, or files of another user.
	for _, cannot := range []error{syscall.EXDEV, syscall.EPERM, syscall.EACCES, syscall.EMLINK, syscall.ENOTSUP} {
		if errors.Is(err, cannot) {
			return d.copyFile(ctx, from, to)
		}
	}
	return err
}

func (d tempDir) copyFile(ctx context.Context, from, to string) error {
	in, err := openFile(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := d.create()
	if err != nil {
		return err
	}
	_, err = io.Copy(out, contextReader{ctx, in})
	if err = errors.Join(err, out.Close()); err == nil {
		err = os.Rename(out.Name(), to)
	}
	if err != nil {
		os.Remove(out.Name())
	}
	return err
}

// contextReader ends with the context's cause.
type contextReader struct {
	ctx context.Context
	io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := context.Cause(r.ctx); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}
