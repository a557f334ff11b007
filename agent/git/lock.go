package git

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// lock waits for the mirror: for other goroutines, and for other processes by
// a lock that the kernel takes back when its holder dies.
func (m *Mirror) lock(ctx context.Context) (done func(), err error) {
	select {
	case m.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	file, err := os.OpenFile(filepath.Join(m.dir, "lab-layers.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		<-m.turn
		return nil, err
	}
	if err := flock(ctx, file); err != nil {
		file.Close()
		<-m.turn
		return nil, err
	}
	return func() {
		file.Close() // and with it the lock
		<-m.turn
	}, nil
}

func flock(ctx context.Context, file *os.File) error {
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
