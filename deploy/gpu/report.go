package gpu

import (
	"time"

	"github.com/lab-layers/lab-layers/pipeline/cuda"
)

// Report is what a node's own driver says.
type Report struct {
	// Fault is why there is nothing else, such as that there is no driver; empty
	// if there is.
	Fault  string       `json:"fault,omitempty"`
	Driver cuda.Driver  `json:"driver,omitzero"`
	CUDA   cuda.Version `json:"cuda,omitzero"`
	GPUs   []Device     `json:"gpus,omitempty"`
	// Measured is when, by the node's clock.
	Measured time.Time `json:"measured"`
}

// Device is one GPU.
type Device struct {
	Product string `json:"product"`
	UUID    string `json:"uuid"`
	// Brand as the container toolkit writes it: tesla, nvidia, nvidiartx.
	Brand      string          `json:"brand,omitempty"`
	MemoryMiB  int64           `json:"memory_mib"`
	Capability cuda.Capability `json:"capability"`
	// MIG reports whether it is split into instances.
	MIG bool `json:"mig,omitempty"`
	Use Use  `json:"use,omitzero"`
}

// Use is what a GPU does at the moment.
type Use struct {
	// Processes that compute on it; below 0 if the driver does not say.
	Processes int `json:"processes"`
	// Percent of the time in which it computed, over the driver's last sample
	// period; below 0 if the driver does not say.
	Percent       int   `json:"percent"`
	UsedMemoryMiB int64 `json:"used_memory_mib"`
}
