package gpu

import (
	"fmt"
	"path"
	"strings"

	"github.com/lab-layers/lab-layers/pipeline"
	"github.com/lab-layers/lab-layers/pipeline/cuda"
)

// Need is what an image needs of a node, as far as it shows. The zero value
// shows nothing.
type Need struct {
	// GPU is pipeline.GPUNone, GPURequired or GPUUnknown.
	GPU         string `json:"gpu"`
	GPUEvidence string `json:"gpu_evidence,omitempty"`
	// CUDA is the version that the image brings.
	CUDA         cuda.Version `json:"cuda"`
	CUDAEvidence string       `json:"cuda_evidence,omitempty"`
	// Driver is the oldest one on which it can run.
	Driver         cuda.Driver `json:"driver"`
	DriverEvidence string      `json:"driver_evidence,omitempty"`
	// Incomplete says why more may be needed; empty if all was looked at.
	Incomplete string `json:"incomplete,omitempty"`

	required map[string]cuda.Requirement
}

// NeedOf is what an image needs by its recorded metadata and configuration. Both
// may be hostile. A driver version that cannot be read makes it unknown.
func NeedOf(image pipeline.Image) Need {
	m := image.Metadata
	n := Need{GPU: m.GPU.Name, GPUEvidence: m.GPU.Evidence, Incomplete: m.Incomplete, required: cuda.Required(image.Environment())}
	if n.GPU == "" {
		n.GPU = pipeline.GPUUnknown
	}
	if m.CUDA != nil {
		n.CUDA, n.CUDAEvidence = cuda.Parse(m.CUDA.Version), m.CUDA.Evidence
	}
	if m.Driver != nil {
		driver, err := cuda.ParseDriver(m.Driver.Version)
		if err != nil {
			return Need{GPU: pipeline.GPUUnknown, GPUEvidence: err.Error()}
		}
		n.Driver, n.DriverEvidence = driver, m.Driver.Evidence
	}
	return n
}

// driverText is the need for a driver, with what shows it.
func (n Need) driverText() string {
	if n.byCUDA() {
		return fmt.Sprintf("needs driver ≥ %s (CUDA %s: %s)", n.Driver, n.CUDA, brief(n.CUDAEvidence))
	}
	return fmt.Sprintf("needs driver ≥ %s (%s)", n.Driver, brief(n.DriverEvidence))
}

// byCUDA reports whether the driver is needed for the CUDA that the image brings,
// and not for something beyond.
func (n Need) byCUDA() bool { return n.CUDA.Known() && n.Driver.Compare(n.CUDA.Floor()) == 0 }

// brief is evidence in a few words: a package by its name, a variable cut short.
func brief(evidence string) string {
	if _, after, ok := strings.Cut(evidence, cuda.Source+"); "); ok {
		evidence = after
	}
	kind, text, ok := strings.Cut(evidence, ": ")
	if ok && strings.Contains(text, "/") && kind != "env" {
		text = strings.TrimSuffix(strings.TrimSuffix(text, "/METADATA"), "/PKG-INFO")
		text = strings.TrimSuffix(path.Base(text), ".dist-info")
	}
	if ok {
		text = kind + " " + text
	} else {
		text = evidence
	}
	if runes := []rune(text); len(runes) > 80 {
		text = string(runes[:79]) + "…"
	}
	return text
}

// Wish is what an environment asks of a node, beyond what its image needs.
type Wish struct {
	// GPUs of NVIDIA's that a pod asks for; without any no driver is needed.
	GPUs int64 `json:"gpus"`
	// MemoryMiB of each GPU; 0 is any.
	MemoryMiB int64 `json:"memory_mib,omitempty"`
	// Capability is the lowest compute capability; unknown is any.
	Capability cuda.Capability `json:"capability,omitzero"`
}
