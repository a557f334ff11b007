package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/distribution/distribution/v3/registry/storage"
)

// Sweep frees the blobs that no manifest needs, by distribution's own garbage
// collection, and returns how many bytes that were. Reads go on meanwhile, writes
// wait.
//
// A push is several requests: its blobs, some of which the registry may have
// already, and the manifest at the end. The caller makes sure that no push is
// between them, as Sweep cannot know.
func (r *Registry) Sweep(ctx context.Context) (freed int64, err error) {
	r.guard.writes.Lock()
	defer r.guard.writes.Unlock()
	defer func() {
		if err != nil {
			err = fmt.Errorf("free blobs of registry %s: %w", r.host, err)
		}
	}()
	if err := removeUploads(ctx, r.data, time.Now().Add(-uploadAge)); err != nil {
		return 0, err
	}
	if err := removeBrokenLinks(ctx, r.data); err != nil {
		return 0, err
	}
	if _, err := os.Stat(filepath.Join(v2(r.data), "repositories")); errors.Is(err, fs.ErrNotExist) {
		return 0, nil // nothing was ever pushed
	}
	before, err := sizeOfBlobs(ctx, r.data)
	if err != nil {
		return 0, err
	}
	swept := storage.MarkAndSweep(r.logged(ctx), newFiles(r.data), r.namespace, storage.GCOpts{Quiet: true})
	after, err := sizeOfBlobs(ctx, r.data)
	return before - after, errors.Join(swept, err)
}

func v2(data string) string { return filepath.Join(data, "docker", "registry", "v2") }

// removeBrokenLinks deletes links that a power cut left empty, and what a killed
// process left of new ones. They count as not there; but distribution would stop
// at one, mark no further manifest of its repository, and sweep their blobs.
func removeBrokenLinks(ctx context.Context, data string) error {
	return walkFiles(ctx, filepath.Join(v2(data), "repositories"), func(path string, file fs.FileInfo) error {
		if file.Name() == "link" && file.Size() == 0 || strings.HasPrefix(file.Name(), "next-") {
			return os.Remove(path)
		}
		return nil
	})
}

func sizeOfBlobs(ctx context.Context, data string) (size int64, err error) {
	err = walkFiles(ctx, filepath.Join(v2(data), "blobs"), func(_ string, file fs.FileInfo) error {
		size += file.Size()
		return nil
	})
	return size, err
}

// walkFiles visits the regular files below a directory that may not be there.
func walkFiles(ctx context.Context, root string, visit func(path string, file fs.FileInfo) error) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err == nil && d.Type().IsRegular() {
			var info fs.FileInfo
			if info, err = d.Info(); err == nil {
				err = visit(path, info)
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}
