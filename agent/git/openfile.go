package git

import (
	"fmt"
	"os"
	"syscall"
)

// openFile opens a file of a repository to read. What is none, such as a pipe or
// a device, would keep us waiting or never end.
func openFile(name string) (*os.File, error) {
	file, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%w: %s is no file", errDamaged, name)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}
