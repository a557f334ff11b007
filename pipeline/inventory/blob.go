package inventory

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// limits bound what one blob may cost. Beyond them it is read no further.
type limits struct {
	entries int   // files and directories
	bytes   int64 // uncompressed
	status  int64 // bytes of dpkg's list
	traces  int   // packages that count
}

var defaultLimits = limits{entries: 4_000_000, bytes: 64 << 30, status: 32 << 20, traces: 2000}

// maxPath is the longest path that is looked at, in bytes; Linux has no longer
// ones.
const maxPath = 4096

// read adds what a blob shows, after taking away what it removes. The flaw says
// why it was not read to its end.
func (f findings) read(ctx context.Context, blob io.Reader, limits limits) (flaw string, err error) {
	source := &watched{ctx: ctx, r: blob}
	content, done, err := decompress(source)
	if err == nil {
		defer done()
		err = f.readTar(&capped{r: content, left: limits.bytes}, limits)
	}
	switch {
	case source.err != nil:
		return "", source.err
	case err != nil:
		return err.Error(), nil
	}
	return "", nil
}

// decompress looks at the content for its compression; a media type is only
// what somebody said.
func decompress(r io.Reader) (content io.Reader, done func(), err error) {
	buffered := bufio.NewReaderSize(r, 256<<10)
	magic, _ := buffered.Peek(4)
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, nil, err
		}
		return z, func() { z.Close() }, nil
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}), len(magic) == 4 && magic[0]&0xf0 == 0x50 && bytes.Equal(magic[1:], []byte{0x2a, 0x4d, 0x18}):
		z, err := zstd.NewReader(buffered, zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	}
	return buffered, func() {}, nil
}

// readTar goes through an archive. What it removes is of the blobs below, so it
// counts before what it adds, wherever it stands: image-spec, layer.md.
func (f findings) readTar(r io.Reader, limits limits) error {
	above := f.ancestors()
	removed := map[string]bool{}
	added := findings{}
	err := eachFile(r, limits.entries, func(h *tar.Header, name string, content io.Reader) error {
		if target, ok := whiteout(name); ok {
			if above[target] {
				removed[target] = true
			}
			return nil
		}
		if h.Typeflag == tar.TypeDir {
			return nil
		}
		if above[name] {
			removed[name] = true // it was a directory, or is written anew
		}
		if name == dpkgStatus && h.Typeflag == tar.TypeReg {
			list, err := readStatus(content, limits)
			added[name] = list
			return err
		}
		if t, ok := recognise(name); ok {
			added[t.path] = []trace{t}
		}
		if len(added) > limits.traces {
			return fmt.Errorf("more than %d packages", limits.traces)
		}
		return nil
	})
	f.remove(removed)
	maps.Copy(f, added)
	return err
}

func eachFile(r io.Reader, most int, visit func(*tar.Header, string, io.Reader) error) error {
	archive := tar.NewReader(r)
	for n := 0; ; n++ {
		header, err := archive.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return err
		}
		if n == most {
			return fmt.Errorf("more than %d files", most)
		}
		if len(header.Name) > maxPath {
			continue
		}
		name := strings.TrimPrefix(path.Clean("/"+header.Name), "/")
		if err := visit(header, name, archive); err != nil {
			return err
		}
	}
}

// whiteout is the path that an entry removes from the blobs below; for an opaque
// directory the directory, as it removes what is in it.
func whiteout(name string) (target string, ok bool) {
	dir, base := path.Split(name)
	switch {
	case base == ".wh..wh..opq":
		return strings.TrimSuffix(dir, "/"), true
	case strings.HasPrefix(base, ".wh..wh."):
		return "", true // aufs keeps its own books
	case strings.HasPrefix(base, ".wh."):
		return dir + strings.TrimPrefix(base, ".wh."), true
	}
	return "", false
}

// ancestors is every path that was found with all directories above it; the
// root is "".
func (f findings) ancestors() map[string]bool {
	set := map[string]bool{}
	for name := range f {
		set[""] = true
		for ; name != "." && !set[name]; name = path.Dir(name) {
			set[name] = true
		}
	}
	return set
}

func (f findings) remove(removed map[string]bool) {
	if removed[""] {
		clear(f)
	}
	for found := range f {
		for name := found; name != "."; name = path.Dir(name) {
			if removed[name] {
				delete(f, found)
				break
			}
		}
	}
}

// watched remembers an error of the source itself, and ends with the context.
type watched struct {
	ctx context.Context
	r   io.Reader
	err error
}

func (w *watched) Read(p []byte) (int, error) {
	if w.ctx.Err() != nil {
		w.err = context.Cause(w.ctx)
		return 0, w.err
	}
	n, err := w.r.Read(p)
	if err != nil && err != io.EOF {
		w.err = err
	}
	return n, err
}

// capped fails after so many bytes.
type capped struct {
	r    io.Reader
	left int64
}

func (c *capped) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errors.New("it unpacks to more than is read")
	}
	n, err := c.r.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}
