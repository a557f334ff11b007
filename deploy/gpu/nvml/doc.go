// Package nvml asks the NVIDIA driver of this machine for its facts.
//
// There is no input; output is a [gpu.Report]. The driver's library is loaded at
// run time, so a program with this package runs without one, too. It needs cgo
// and Linux; built otherwise the package has nothing to ask.
package nvml
