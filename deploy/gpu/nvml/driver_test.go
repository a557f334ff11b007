//go:build cgo && linux

package nvml

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxa100"
	mock "github.com/NVIDIA/go-nvml/pkg/nvml/mock/server"

	"github.com/lab-layers/lab-layers/deploy/gpu"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// dgx is go-nvml's own DGX A100, with what its devices lack.
func dgx() *mock.Server {
	server := dgxa100.New()
	for _, d := range server.Devices {
		device := d.(*mock.Device)
		device.GetComputeRunningProcessesFunc = func() ([]nvml.ProcessInfo, nvml.Return) { return nil, nvml.SUCCESS }
		device.GetUtilizationRatesFunc = func() (nvml.Utilization, nvml.Return) { return nvml.Utilization{}, nvml.SUCCESS }
	}
	server.SystemGetCudaDriverVersion_v2Func = server.SystemGetCudaDriverVersionFunc
	return server
}

func TestReadDGX(t *testing.T) {
	server := dgx()
	busy := server.Devices[2].(*mock.Device)
	busy.GetComputeRunningProcessesFunc = func() ([]nvml.ProcessInfo, nvml.Return) {
		return []nvml.ProcessInfo{{Pid: 7}, {Pid: 8}}, nvml.SUCCESS
	}
	busy.GetUtilizationRatesFunc = func() (nvml.Utilization, nvml.Return) { return nvml.Utilization{Gpu: 93}, nvml.SUCCESS }
	split := server.Devices[5].(*mock.Device)
	split.MigMode = nvml.DEVICE_MIG_ENABLE
	split.GetUtilizationRatesFunc = func() (nvml.Utilization, nvml.Return) { return nvml.Utilization{}, nvml.ERROR_NOT_SUPPORTED }

	r := (&Driver{server}).Read(noon)
	if r.Fault != "" || r.Lost != 0 || r.Driver.String() != "550.54.15" || r.CUDA.String() != "12.4" || len(r.GPUs) != 8 || r.Measured != noon {
		t.Fatalf("%+v", r)
	}
	for i, g := range r.GPUs {
		want := gpu.Device{Product: "Mock NVIDIA A100-SXM4-40GB", UUID: g.UUID, Brand: "nvidia", MemoryMiB: 40960, Capability: g.Capability}
		switch i {
		case 2:
			want.Use = gpu.Use{Processes: 2, Percent: 93}
		case 5:
			want.MIG, want.Use.Percent = true, -1
		}
		if g != want || g.UUID == "" || g.Capability.String() != "8.0" {
			t.Errorf("GPU %d is %+v, want %+v", i, g, want)
		}
	}
	if idle, known := r.Idle(); idle || !known {
		t.Error("a busy node is idle")
	}
}

func TestIdle(t *testing.T) {
	for _, test := range []struct {
		name        string
		processes   int
		told        nvml.Return
		percent     uint32
		idle, known bool
	}{
		{"nothing runs", 0, nvml.SUCCESS, 0, true, true},
		{"a process holds the GPU", 1, nvml.SUCCESS, 0, false, true},
		{"somebody whom we do not see computes", 0, nvml.SUCCESS, 40, false, true},
		{"it does not say who runs", 0, nvml.ERROR_NO_PERMISSION, 0, false, false},
		{"it does not say who runs, but something does", 0, nvml.ERROR_NO_PERMISSION, 7, false, true},
	} {
		server := dgx()
		device := server.Devices[0].(*mock.Device)
		device.GetComputeRunningProcessesFunc = func() ([]nvml.ProcessInfo, nvml.Return) {
			return make([]nvml.ProcessInfo, test.processes), test.told
		}
		device.GetUtilizationRatesFunc = func() (nvml.Utilization, nvml.Return) {
			return nvml.Utilization{Gpu: test.percent}, nvml.SUCCESS
		}
		if idle, known := (&Driver{server}).Read(noon).Idle(); idle != test.idle || known != test.known {
			t.Errorf("%s: idle %v, known %v", test.name, idle, known)
		}
	}
}

func TestFaultsOfDrivers(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(*mock.Server)
		fault string
		lost  int
	}{
		"no library": {func(s *mock.Server) { s.InitFunc = func() nvml.Return { return nvml.ERROR_LIBRARY_NOT_FOUND } },
			"there is no NVIDIA driver: libnvidia-ml.so.1 is not found", 0},
		"not loaded": {func(s *mock.Server) { s.InitFunc = func() nvml.Return { return nvml.ERROR_DRIVER_NOT_LOADED } },
			"the NVIDIA driver is not loaded", 0},
		"upgraded": {func(s *mock.Server) { s.InitFunc = func() nvml.Return { return nvml.ERROR_LIB_RM_VERSION_MISMATCH } },
			"the NVIDIA driver is of another version than its libraries: it was upgraded and not loaded anew", 0},
		"odd version": {func(s *mock.Server) { s.DriverVersion = "550-beta" }, `driver version "550-beta": "550-beta" is no number`, 0},
		"no GPUs":     {func(s *mock.Server) { s.Devices = nil }, "driver 550.54.15 has no GPU that answers", 0},
		"one fell off the bus": {func(s *mock.Server) {
			s.Devices[3].(*mock.Device).GetUUIDFunc = func() (string, nvml.Return) { return "", nvml.ERROR_GPU_IS_LOST }
		}, "", 1},
		"no count": {func(s *mock.Server) {
			s.DeviceGetCountFunc = func() (int, nvml.Return) { return 0, nvml.ERROR_UNKNOWN }
		},
			"the driver does not tell its GPUs: NVML error 999", 0},
	} {
		server := dgx()
		test.spoil(server)
		r := (&Driver{server}).Read(noon)
		if r.Fault != test.fault || r.Lost != test.lost {
			t.Errorf("%s: %q, lost %d", name, r.Fault, r.Lost)
		}
		if _, known := r.Idle(); known {
			t.Errorf("%s: it is said to be known whether the node is idle", name)
		}
		text, err := json.Marshal(r.Facts())
		if err != nil {
			t.Fatal(err)
		}
		node := gpu.ReadNode("n", nil, map[string]string{gpu.ReportAnnotation: string(text)})
		if node.Broken != test.fault || node.Fault != "" {
			t.Errorf("%s: the node is read as %+v", name, node)
		}
	}
}

// Where the machine has a driver it is asked; where it has none that is said.
func TestThisMachine(t *testing.T) {
	driver, err := New()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time after a shutdown
		r := driver.Read(noon)
		if (r.Fault == "") == (len(r.GPUs) == 0) {
			t.Errorf("%+v", r)
		}
		t.Log(r.Fault, r.Driver, r.CUDA, r.GPUs)
	}
}
