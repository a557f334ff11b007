package inventory

import (
	"regexp"
	"strings"

	"github.com/lab-layers/lab-layers/pipeline/cuda"
)

var (
	// cudaName finds CUDA's version in a Python project's name:
	// nvidia-cudnn-cu12, cupy-cuda12x, jax-cuda12-plugin, mxnet-cu112.
	cudaName = regexp.MustCompile(`-cu(?:da)?(\d{2,3})x?(?:-|$)`)
	// cudaLocal finds it in a local version: 2.5.1+cu124, 0.4.16+cuda12.cudnn89.
	cudaLocal = regexp.MustCompile(`\+(?:[0-9a-z.]*\.)?cu(?:da)?(\d{2,3})(?:\.|$)`)
	// cudaBuild finds it in the build of a conda package:
	// py3.10_cuda12.1_cudnn8.9.2_0, cuda120py311h0.
	cudaBuild = regexp.MustCompile(`-[^-]*cuda(\d{2})\.?(\d)[^-]*\.json$`)
	// cudaDeb is NVIDIA's own Debian packages: cuda-cudart-12-4.
	cudaDeb = regexp.MustCompile(`^cuda-cudart-(\d{1,2})-(\d{1,2})$`)
)

// cuda is the version of CUDA that a package is made for, or brings.
func (t trace) cuda() cuda.Version {
	switch t.kind {
	case wheel:
		if match := cudaLocal.FindStringSubmatch(t.version); match != nil {
			return cuda.ParseRun(match[1])
		}
		// The runtime's own version is CUDA's, and says more than the name.
		if t.name == "nvidia-cuda-runtime" || strings.HasPrefix(t.name, "nvidia-cuda-runtime-cu") {
			return cuda.Parse(t.version)
		}
		if match := cudaName.FindStringSubmatch(t.name); match != nil {
			return cuda.ParseRun(match[1])
		}
	case condaPkg:
		switch t.name {
		case "cudatoolkit", "cuda-version", "cuda-cudart", "cuda-runtime", "pytorch-cuda":
			return cuda.Parse(t.version)
		}
		if match := cudaBuild.FindStringSubmatch(t.path); match != nil {
			if _, ok := frameworkOf(t.name); ok || t.name == "jaxlib" {
				return cuda.Of(match[1], match[2])
			}
		}
	case debPkg:
		if match := cudaDeb.FindStringSubmatch(t.name); match != nil {
			return cuda.Of(match[1], match[2])
		}
		if strings.HasPrefix(t.name, "libcudart1") { // Debian's
			return cuda.Parse(t.version)
		}
	case toolkit:
		return cuda.Parse(t.version)
	}
	return cuda.Version{}
}

// strength orders evidence of CUDA, the strongest first: what a framework was
// built for, the runtime beside it, its other libraries, then what only shows
// that CUDA is somewhere in the image.
func (t trace) strength() int {
	switch {
	case t.kind == wheel && strings.Contains(t.version, "+cu"):
		return 0
	case t.kind == wheel && strings.HasPrefix(t.name, "nvidia-cuda-runtime"):
		return 1
	case t.kind == wheel:
		return 2
	case t.kind == toolkit:
		return 5
	case t.kind == debPkg:
		return 6
	}
	return 7
}

var (
	cpuLocal = regexp.MustCompile(`\+cpu(?:\.|$)`)
	// cpuBuild is that of a conda package: py3.10_cpu_0, cpu_generic_py312h0.
	cpuBuild = regexp.MustCompile(`-(?:[^-]*_)?cpu_[^-]*\.json$`)
)

// withoutCUDA reports whether a package is the build of a framework that can
// use no GPU of NVIDIA's.
func (t trace) withoutCUDA() bool {
	switch t.kind {
	case wheel:
		// jaxlib: CUDA comes as a plugin, before 0.4.20 as a local version.
		switch t.name {
		case "tensorflow-cpu", "paddlepaddle", "mxnet":
			return true // the others have other names
		case "jaxlib":
			return !strings.Contains(t.version, "+")
		}
		return cpuLocal.MatchString(t.version)
	case debPkg:
		// Debian's main section has no build with CUDA: that is -cuda, in contrib.
		return t.name == "python3-torch"
	case condaPkg:
		_, isFramework := frameworkOf(t.name)
		return t.name == "cpuonly" || t.name == "pytorch-cpu" || isFramework && cpuBuild.MatchString(t.path)
	}
	return false
}

// eitherWay reports whether a package comes in builds with and without CUDA, and
// does not itself say which it is.
func (t trace) eitherWay() bool {
	place, ok := frameworkOf(t.name)
	if !ok {
		return false
	}
	switch frameworks[place].name {
	case "torch", "tensorflow", "paddlepaddle", "mxnet":
		return !t.cuda().Known() && !t.withoutCUDA()
	}
	return false
}

// explains reports whether a package of dpkg's or conda's is what put a Python
// distribution of the same framework there.
func (t trace) explains(other trace) bool {
	if other.kind != wheel && other.kind != condaPkg {
		return false
	}
	a, known := frameworkOf(t.name)
	b, _ := frameworkOf(other.name)
	if known && a != b || !known && t.name != "cpuonly" {
		return false
	}
	switch t.kind {
	case debPkg:
		// pip has another place, so that it spoils nothing of dpkg's.
		return strings.HasPrefix(other.path, "usr/lib/python3/dist-packages/")
	case condaPkg:
		environment, _, _ := strings.Cut(t.path, "conda-meta/")
		return strings.HasPrefix(other.path, environment)
	}
	return false
}
