// Package cuda knows which NVIDIA driver a CUDA version needs, and what an
// image's variables require of a machine.
//
// Input are versions as images, labels and NVML write them, and an image's
// environment; output is comparisons, and whether a requirement holds on given
// facts. What cannot be read or is not known stays undecided, never assumed. It
// looks at no image and no machine, and decides no policy.
package cuda
