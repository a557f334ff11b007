package daemon

import (
	"context"
	"os"
	"time"

	"github.com/lab-layers/lab-layers/pipeline/child"
)

// lockFile is in the root directory.
const lockFile = "daemon.lock"

// lockLimit is how long a killed agent's daemon is given to be gone.
const lockLimit = 3 * time.Second

// takeLock takes the lock of a root directory. The daemon and its containers
// inherit the file, so the lock is free only once the last of them has ended.
func takeLock(ctx context.Context, path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := child.Lock(ctx, f, lockLimit, ErrInUse); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
