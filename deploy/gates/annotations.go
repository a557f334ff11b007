package gates

// Annotations on workloads that gates read.
const (
	prefix = "lab-layers.dev/"
	// WindowAnnotation and FreezeAnnotation are windows and freezes as
	// [calendar.Parse] reads them.
	WindowAnnotation = prefix + "window"
	FreezeAnnotation = prefix + "freeze"
	// PolicyAnnotation is what follows where an image does not fit a node's
	// driver: refuse (the default), warn or ignore. By strict a rollout is held
	// where it is only unknown, too.
	PolicyAnnotation = prefix + "driver-policy"
	// MemoryAnnotation is the GPU memory that the environment needs, such as 40Gi.
	MemoryAnnotation = prefix + "gpu-memory"
	// CapabilityAnnotation is the lowest compute capability, such as 8.0.
	CapabilityAnnotation = prefix + "gpu-capability"
	// IdleAnnotation is for how long the GPUs of the nodes on which the environment's
	// pods run must have been idle, such as 15m.
	IdleAnnotation = prefix + "when-idle"
	// IdleLatestAnnotation is for how long that is waited for at the most, such as
	// 48h, or "window": until the environment's window is about to close.
	IdleLatestAnnotation = prefix + "when-idle-latest"
	// IdleUnknownAnnotation is what follows where a node does not tell: wait (the
	// default) or roll.
	IdleUnknownAnnotation = prefix + "when-idle-unknown"
	// SmokeAnnotation is a command as a JSON array, which must succeed in the new
	// image first: of the first container, or with a dot and its name behind it
	// of another one.
	SmokeAnnotation = prefix + "smoke"
	smokeFor        = SmokeAnnotation + "."
	// TimeoutAnnotation is how long that may take, pulling the image included.
	TimeoutAnnotation = prefix + "smoke-timeout"
)
