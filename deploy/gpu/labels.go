package gpu

// What node-probe writes on its node. The labels are for people and for node
// affinity; the verdict reads the annotation.
const (
	prefix = "lab-layers.dev/gpu."
	// ReportAnnotation has the node's last [Report] as JSON, without the use.
	ReportAnnotation = "lab-layers.dev/gpus"
	// IdleAnnotation has since when no GPU of the node is in use (RFC 3339);
	// absent while one is, or where that cannot be told.
	IdleAnnotation = prefix + "idle-since"
	// BusyAnnotation has how much they are in use while one is, as it was when the
	// probe last wrote: see [Report.Busy].
	BusyAnnotation = prefix + "busy"
	// SeenAnnotation has when node-probe was last heard of (RFC 3339).
	SeenAnnotation = prefix + "seen"

	DriverLabel = prefix + "driver" // 550.54.14
	// BranchLabel is the driver's first number, which Gt and Lt can compare.
	BranchLabel     = prefix + "driver-branch"
	CUDALabel       = prefix + "cuda"       // 12.4
	ProductLabel    = prefix + "product"    // NVIDIA-RTX-A6000
	CapabilityLabel = prefix + "capability" // 8.6
	MemoryLabel     = prefix + "memory"     // MiB of the smallest
	CountLabel      = prefix + "count"
)

// What NVIDIA's GPU Feature Discovery writes: github.com/NVIDIA/k8s-device-plugin,
// internal/lm. The second names are those of releases before 0.16.
const (
	gfdDriver       = "nvidia.com/cuda.driver-version." // full, major, minor, revision
	gfdDriverOld    = "nvidia.com/cuda.driver."         // major, minor, rev
	gfdCUDA         = "nvidia.com/cuda.runtime-version."
	gfdCUDAOld      = "nvidia.com/cuda.runtime."
	gfdProduct      = "nvidia.com/gpu.product"
	gfdCount        = "nvidia.com/gpu.count"
	gfdMemory       = "nvidia.com/gpu.memory" // MiB
	gfdReplicas     = "nvidia.com/gpu.replicas"
	gfdComputeMajor = "nvidia.com/gpu.compute.major"
	gfdComputeMinor = "nvidia.com/gpu.compute.minor"
)
