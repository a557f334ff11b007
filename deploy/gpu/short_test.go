package gpu

import (
	"testing"

	"github.com/lab-layers/lab-layers/pipeline/cuda"
)

func TestShort(t *testing.T) {
	ampere, hopper := cuda.Capability{Major: 8, Minor: 6}, cuda.Capability{Major: 9}
	a, b := Node{Name: "gpu-2", MemoryMiB: 49140, Capability: ampere}, Node{Name: "gpu-1", MemoryMiB: 49140, Capability: ampere}
	big, unknown := Node{Name: "gpu-3", MemoryMiB: 81920, Capability: hopper}, Node{Name: "gpu-4", Capability: ampere}
	for _, test := range []struct {
		wish  Wish
		nodes []Node
		want  string
	}{
		{Wish{MemoryMiB: 48 << 10}, []Node{a, b}, "asks for GPUs with at least 49152 MiB (48Gi) of memory; nodes gpu-1 and gpu-2 have 49140 MiB"},
		{Wish{MemoryMiB: 100 << 10}, []Node{a, big, unknown}, "asks for GPUs with at least 102400 MiB (100Gi) of memory; node gpu-2 has 49140 MiB, node gpu-3 has 81920 MiB (80Gi), node gpu-4 has an unknown amount"},
		{Wish{MemoryMiB: 48 << 10, Capability: hopper}, []Node{a}, "asks for GPUs with at least 49152 MiB (48Gi) of memory and compute capability ≥ 9.0; node gpu-2 has 49140 MiB, compute capability 8.6"},
		{Wish{MemoryMiB: 1 << 10, Capability: hopper}, []Node{a}, "asks for GPUs with at least 1024 MiB (1Gi) of memory and compute capability ≥ 9.0; node gpu-2 has compute capability 8.6"},
		{Wish{MemoryMiB: 48 << 10}, []Node{a, big}, ""},
		{Wish{}, []Node{a}, ""},
		{Wish{MemoryMiB: 48 << 10}, nil, ""},
	} {
		if got := Short(test.wish, test.nodes); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}
