package embedded

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/factory"
	"github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
)

// driverName is the one by which distribution's configuration knows the driver.
const driverName = "lab-layers"

// register makes the driver known to distribution, which has one list of them
// for the whole process.
var register = sync.OnceFunc(func() { factory.Register(driverName, drivers{}) })

type drivers struct{}

func (drivers) Create(_ context.Context, parameters map[string]any) (driver.StorageDriver, error) {
	return newFiles(parameters["rootdirectory"].(string)), nil
}

func newFiles(root string) *files {
	return &files{filesystem.New(filesystem.DriverParameters{RootDirectory: root, MaxThreads: 100}), root}
}

// files is distribution's own driver for a directory, but for two sorts of small
// files: the links that say what a tag points at and what a repository holds, and
// the state of uploads, which no start takes up again. To tag an image writes
// three links, and distribution's driver waits for the disk six times.
//
// Here they are replaced whole, so no killed process leaves half of one, but not
// waited for: a power cut can take the links of the last seconds. One that it
// left empty counts as not there. What is in the records and no longer here is
// found by the agent when it starts, and put back.
type files struct {
	driver.StorageDriver
	root string
}

func isLink(name string) bool { return path.Base(name) == "link" }

func isUpload(name string) bool { return strings.Contains(name, "/_uploads/") }

// PutContent writes a small file.
func (f *files) PutContent(ctx context.Context, name string, content []byte) error {
	if !isLink(name) && !isUpload(name) || !driver.PathRegexp.MatchString(name) {
		return f.StorageDriver.PutContent(ctx, name, content)
	}
	file := filepath.Join(f.root, filepath.FromSlash(name))
	if have, err := os.ReadFile(file); err == nil && bytes.Equal(have, content) {
		return nil
	}
	next, err := createIn(filepath.Dir(file))
	if err != nil {
		return err
	}
	_, err = next.Write(content)
	if err = errors.Join(err, next.Close()); err == nil {
		err = os.Rename(next.Name(), file)
	}
	if err != nil {
		_ = os.Remove(next.Name())
	}
	return err
}

// createIn makes a new file in a directory, which most often is there.
func createIn(dir string) (*os.File, error) {
	file, err := os.CreateTemp(dir, "next-")
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return nil, err
		}
		file, err = os.CreateTemp(dir, "next-")
	}
	return file, err
}

// GetContent reads a small file.
func (f *files) GetContent(ctx context.Context, name string) ([]byte, error) {
	content, err := f.StorageDriver.GetContent(ctx, name)
	if err == nil && len(content) == 0 && isLink(name) {
		return nil, driver.PathNotFoundError{Path: name, DriverName: driverName}
	}
	return content, err
}
