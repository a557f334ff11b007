package buildkit

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/tonistiigi/fsutil/types"

	"github.com/lab-layers/lab-layers/layers"
)

// memFS is a flat build context whose files may be faulty.
type memFS []memFile

type memFile struct {
	path string
	data string
	mode fs.FileMode // 0 is 0644
	// What is wrong with the file.
	extra   int64 // listed size minus real size
	openErr error
	readErr error // after the data
	infoErr error
}

func (m memFS) Walk(_ context.Context, target string, fn fs.WalkDirFunc) error {
	target = strings.Trim(path.Clean("/"+target), "/")
	found := target == ""
	for i := range m {
		if target != "" && m[i].path != target {
			continue
		}
		found = true
		if err := fn(m[i].path, &m[i], nil); err != nil && !errors.Is(err, fs.SkipDir) {
			return err
		}
	}
	if !found {
		if err := fn(target, nil, fs.ErrNotExist); err != nil && !errors.Is(err, fs.SkipDir) {
			return err
		}
	}
	return nil
}

func (m memFS) Open(name string) (io.ReadCloser, error) {
	for _, f := range m {
		if f.path == name {
			if f.openErr != nil {
				return nil, f.openErr
			}
			var r io.Reader = strings.NewReader(f.data)
			if f.readErr != nil {
				r = io.MultiReader(r, failing{f.readErr})
			}
			return io.NopCloser(r), nil
		}
	}
	return nil, fs.ErrNotExist
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func (f *memFile) Name() string      { return path.Base(f.path) }
func (f *memFile) IsDir() bool       { return false }
func (f *memFile) Type() fs.FileMode { return 0 }
func (f *memFile) Info() (fs.FileInfo, error) {
	if f.infoErr != nil {
		return nil, f.infoErr
	}
	mode := f.mode
	if mode == 0 {
		mode = 0o644
	}
	return memInfo{&types.Stat{
		Path: f.path, Mode: uint32(mode), Size: int64(len(f.data)) + f.extra, ModTime: layers.ContextTime * 1e9,
	}}, nil
}

type memInfo struct{ *types.Stat }

func (i memInfo) Name() string       { return path.Base(i.Path) }
func (i memInfo) Size() int64        { return i.Stat.Size }
func (i memInfo) Mode() fs.FileMode  { return fs.FileMode(i.Stat.Mode) }
func (i memInfo) IsDir() bool        { return false }
func (i memInfo) ModTime() time.Time { return time.Unix(0, i.Stat.ModTime) }
func (i memInfo) Sys() any           { return i.Stat }

// fileOf reads a file of an image.
func fileOf(t testing.TB, img v1.Image, path string) (string, bool) {
	t.Helper()
	r := mutate.Extract(img)
	defer r.Close()
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return "", false
		}
		if err != nil {
			t.Fatal(err)
		}
		if strings.Trim(h.Name, "/") == strings.Trim(path, "/") {
			data, err := io.ReadAll(tr)
			if err != nil {
				t.Fatal(err)
			}
			return string(data), true
		}
	}
}
