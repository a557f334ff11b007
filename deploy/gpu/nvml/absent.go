//go:build !(cgo && linux)

package nvml

import (
	"errors"
	"time"

	"github.com/lab-layers/lab-layers/deploy/gpu"
)

// Driver is that of this machine.
type Driver struct{}

// New fails: this program cannot ask a driver.
func New() (*Driver, error) {
	return nil, errors.New("this lab-layers was built without cgo, so it cannot ask the NVIDIA driver: take the image that docker build --target node-probe makes")
}

// Read is never called.
func (*Driver) Read(time.Time) gpu.Report { return gpu.Report{} }
