package gpu

import (
	"slices"
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
	// Lost is how many GPUs do not answer.
	Lost int `json:"lost,omitempty"`
	// Measured is when, by the node's clock.
	Measured time.Time `json:"measured,omitzero"`
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

// Facts is the report without what changes all the time.
func (r Report) Facts() Report {
	r.Measured = time.Time{}
	r.GPUs = slices.Clone(r.GPUs)
	for i := range r.GPUs {
		r.GPUs[i].Use = Use{}
	}
	return r
}

// Idle reports whether no GPU is in use; not known if there are none, or the
// driver does not tell of one.
func (r Report) Idle() (idle, known bool) {
	if r.Fault != "" || len(r.GPUs) == 0 || r.Lost > 0 {
		return false, false
	}
	known = true
	for _, g := range r.GPUs {
		if g.Use.Processes > 0 || g.Use.Percent > 0 {
			return false, true
		}
		known = known && g.Use.Processes == 0
	}
	return known, known
}

// Least is what every GPU of the node has at least: the lowest capability and
// memory, and the product of the first that has either.
func (r Report) Least() (least Device) {
	for i, g := range r.GPUs {
		if i == 0 {
			least = g
			continue
		}
		if g.Capability.Compare(least.Capability) < 0 || g.MemoryMiB < least.MemoryMiB {
			least.Product = g.Product
		}
		if g.Capability.Compare(least.Capability) < 0 {
			least.Capability = g.Capability
		}
		least.MemoryMiB = min(least.MemoryMiB, g.MemoryMiB)
	}
	return least
}
