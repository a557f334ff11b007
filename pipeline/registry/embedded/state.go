package embedded

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// secretIn is the key with which the registry signs the state of uploads; it
// is made at the first start.
func secretIn(dir string) (string, error) {
	file := filepath.Join(dir, "http-secret")
	if old, err := os.ReadFile(file); err == nil && len(old) >= 26 {
		return string(old), nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	secret := rand.Text()
	return secret, writeFile(file, secret)
}

// listen opens the address asked for, or the one of the last start, or any.
func listen(ctx context.Context, dir, address string, log *slog.Logger) (net.Listener, error) {
	var config net.ListenConfig
	if address != "" {
		return config.Listen(ctx, "tcp", address)
	}
	file := filepath.Join(dir, "address")
	last, err := os.ReadFile(file)
	if err == nil && isLoopback(string(last)) {
		listener, err := config.Listen(ctx, "tcp", string(last))
		if err == nil {
			return listener, nil
		}
		log.Warn("the embedded registry's address is taken; images recorded under it cannot be reached", "address", string(last), "error", err)
	}
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	if err := writeFile(file, listener.Addr().String()); err != nil {
		listener.Close()
		return nil, fmt.Errorf("remember the address: %w", err)
	}
	return listener, nil
}

func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return err == nil && ip != nil && ip.IsLoopback()
}

// writeFile replaces a file as a whole.
func writeFile(file, text string) error {
	next := file + ".next"
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(next, file)
}

// removeUploads deletes unfinished uploads that were begun before a time.
func removeUploads(ctx context.Context, data string, before time.Time) error {
	root := filepath.Join(v2(data), "repositories")
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !d.IsDir():
			return nil
		case filepath.Base(filepath.Dir(path)) == "_uploads":
			info, err := d.Info()
			if err == nil && info.ModTime().Before(before) {
				err = os.RemoveAll(path)
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return fs.SkipDir
		case strings.HasPrefix(d.Name(), "_") && d.Name() != "_uploads":
			return fs.SkipDir // links to blobs and manifests
		}
		return nil
	})
}
