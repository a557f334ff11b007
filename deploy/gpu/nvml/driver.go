//go:build cgo && linux

package nvml

import (
	"fmt"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/lab-layers/lab-layers/deploy/gpu"
	"github.com/lab-layers/lab-layers/pipeline/cuda"
)

// Driver is that of this machine.
type Driver struct{ lib nvml.Interface }

// New loads nothing yet: the driver may come later.
func New() (*Driver, error) { return &Driver{nvml.New()}, nil }

// Read asks for everything. Between two calls it holds nothing of the driver, so
// that it never stands in the way of an upgrade. Why there is nothing to tell is
// the report's fault.
func (d *Driver) Read(now time.Time) gpu.Report {
	r := gpu.Report{Measured: now.UTC()}
	if ret := d.lib.Init(); ret != nvml.SUCCESS {
		r.Fault = absence(ret)
		return r
	}
	defer d.lib.Shutdown()
	version, ret := d.lib.SystemGetDriverVersion()
	if ret != nvml.SUCCESS {
		r.Fault = "the driver does not tell its version: " + text(ret)
		return r
	}
	driver, err := cuda.ParseDriver(version)
	if err != nil {
		r.Fault = err.Error()
		return r
	}
	r.Driver = driver
	if n, ret := d.lib.SystemGetCudaDriverVersion_v2(); ret == nvml.SUCCESS {
		r.CUDA = cuda.OfDriver(n)
	} else if n, ret := d.lib.SystemGetCudaDriverVersion(); ret == nvml.SUCCESS {
		r.CUDA = cuda.OfDriver(n)
	}
	count, ret := d.lib.DeviceGetCount()
	if ret != nvml.SUCCESS {
		r.Fault = "the driver does not tell its GPUs: " + text(ret)
		return r
	}
	for i := range count {
		device, ret := d.lib.DeviceGetHandleByIndex(i)
		if ret != nvml.SUCCESS {
			r.Lost++
			continue
		}
		if g, ok := d.device(device); ok {
			r.GPUs = append(r.GPUs, g)
		} else {
			r.Lost++
		}
	}
	if len(r.GPUs) == 0 {
		r.Fault = fmt.Sprintf("driver %s has no GPU that answers", driver)
	}
	return r
}

// absence is why the library cannot be used, for people.
func absence(ret nvml.Return) string {
	switch ret {
	case nvml.ERROR_LIBRARY_NOT_FOUND:
		return "there is no NVIDIA driver: libnvidia-ml.so.1 is not found"
	case nvml.ERROR_DRIVER_NOT_LOADED:
		return "the NVIDIA driver is not loaded"
	case nvml.ERROR_LIB_RM_VERSION_MISMATCH:
		return "the NVIDIA driver is of another version than its libraries: it was upgraded and not loaded anew"
	}
	return "the NVIDIA driver does not answer: " + text(ret)
}

// text is an error by its number: asking the library for words needs a library.
func text(ret nvml.Return) string { return fmt.Sprintf("NVML error %d", int(ret)) }

// device reads one GPU; not ok if it does not answer at all, as one that fell
// off the bus.
func (d *Driver) device(device nvml.Device) (g gpu.Device, ok bool) {
	var ret nvml.Return
	if g.UUID, ret = device.GetUUID(); ret != nvml.SUCCESS {
		return g, false
	}
	if g.Product, ret = device.GetName(); ret != nvml.SUCCESS {
		return g, false
	}
	if major, minor, ret := device.GetCudaComputeCapability(); ret == nvml.SUCCESS {
		g.Capability = cuda.Capability{Major: major, Minor: minor}
	}
	if brand, ret := device.GetBrand(); ret == nvml.SUCCESS {
		g.Brand = brands[brand]
	}
	g.Use = gpu.Use{Processes: -1, Percent: -1}
	if memory, ret := device.GetMemoryInfo(); ret == nvml.SUCCESS {
		g.MemoryMiB, g.Use.UsedMemoryMiB = int64(memory.Total>>20), int64(memory.Used>>20)
	}
	// Older drivers lack the function, and to call what is not there ends the
	// process.
	if d.lib.Extensions().LookupSymbol("nvmlDeviceGetMigMode") == nil {
		current, _, ret := device.GetMigMode()
		g.MIG = ret == nvml.SUCCESS && current == nvml.DEVICE_MIG_ENABLE
	}
	if processes, ret := device.GetComputeRunningProcesses(); ret == nvml.SUCCESS {
		g.Use.Processes = len(processes)
	}
	if rates, ret := device.GetUtilizationRates(); ret == nvml.SUCCESS { // not with MIG
		g.Use.Percent = int(min(rates.Gpu, 100))
	}
	return g, true
}

// brands as NVIDIA_REQUIRE_CUDA names them.
var brands = map[nvml.BrandType]string{
	nvml.BRAND_UNKNOWN: "unknown", nvml.BRAND_QUADRO: "quadro", nvml.BRAND_TESLA: "tesla", nvml.BRAND_NVS: "nvs",
	nvml.BRAND_GRID: "grid", nvml.BRAND_GEFORCE: "geforce", nvml.BRAND_TITAN: "titan", nvml.BRAND_NVIDIA_VAPPS: "vapps",
	nvml.BRAND_NVIDIA_VPC: "vpc", nvml.BRAND_NVIDIA_VCS: "vcs", nvml.BRAND_NVIDIA_VWS: "vws", nvml.BRAND_NVIDIA_CLOUD_GAMING: "cloudgaming",
	nvml.BRAND_QUADRO_RTX: "quadrortx", nvml.BRAND_NVIDIA_RTX: "nvidiartx", nvml.BRAND_NVIDIA: "nvidia",
	nvml.BRAND_GEFORCE_RTX: "geforcertx", nvml.BRAND_TITAN_RTX: "titanrtx",
}
