package gpu

import (
	"slices"
	"testing"

	"github.com/lab-layers/lab-layers/pipeline"
	"github.com/lab-layers/lab-layers/pipeline/cuda"
)

func TestBrands(t *testing.T) {
	for product, want := range map[string]string{
		"NVIDIA-RTX-A6000": "nvidiartx", "NVIDIA RTX 6000 Ada Generation": "nvidiartx", "Quadro-RTX-6000": "quadro",
		"NVIDIA-GeForce-RTX-3090": "geforce", "NVIDIA-TITAN-Xp": "titan", "TITAN-RTX": "titan",
		"Tesla-T4": "tesla", "NVIDIA-A100-SXM4-80GB": "tesla", "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb": "tesla", "NVIDIA-A10": "tesla",
		"NVIDIA-H100-80GB-HBM3": "tesla", "NVIDIA-L40S": "tesla", "NVIDIA-L4": "tesla", "NVIDIA-GH200-480GB": "tesla", "Tesla-V100-SXM2-32GB": "tesla",
		"NVIDIA-Something-9000": "", "": "", "A": "", "NVIDIA-Apple": "",
	} {
		got := ""
		if brands := brandsOf(product); len(brands) > 0 {
			got = brands[0]
		}
		if got != want {
			t.Errorf("%q is %q, want %q", product, got, want)
		}
	}
}

// Nothing that a node says makes a verdict good that its facts do not bear out.
func FuzzNode(f *testing.F) {
	f.Add("580.65.06", "13.0", "NVIDIA-RTX-A6000", "8", "6", "1", `{"driver":"580.65.06","gpus":[{"capability":"8.6"}]}`)
	f.Add("", "", "", "", "", "x", `{"fault":"none"}`)
	f.Add("565.77", "99", "\x00", "0", "-1", "", `{"driver":580}`)
	need := Need{GPU: pipeline.GPURequired, CUDA: cuda.Version{Major: 13}, Driver: cuda.Version{Major: 13}.Floor()}
	f.Fuzz(func(t *testing.T, driver, version, product, major, minor, memory, report string) {
		node := ReadNode("n", map[string]string{
			"nvidia.com/cuda.driver-version.full": driver, "nvidia.com/cuda.runtime-version.full": version, "nvidia.com/gpu.product": product,
			"nvidia.com/gpu.compute.major": major, "nvidia.com/gpu.compute.minor": minor, "nvidia.com/gpu.memory": memory,
		}, map[string]string{ReportAnnotation: report})
		v := Judge(need, Wish{GPUs: 1}, []Node{node})
		if v.Reason == "" {
			t.Error("no reason")
		}
		if slices.Contains([]Level{Refuse, Unknown}, v.Level) {
			return
		}
		if node.Fault != "" || node.Broken != "" || node.Driver.Compare(need.Driver) < 0 || !node.Capability.Known() {
			t.Errorf("%s for %+v", v.Level, node)
		}
	})
}

func TestReasonIsOneLine(t *testing.T) {
	need := Need{GPU: pipeline.GPUUnknown, GPUEvidence: "a\nb\x1b[2J\xff"}
	v := Judge(need, Wish{GPUs: 1}, []Node{ReadNode("n", nil, map[string]string{ReportAnnotation: `{"fault":"x\ny"}`})})
	if want := "it is unknown which driver it needs; node n has no GPU to use (x y); mend it, or keep it off by node affinity"; v.Reason != want {
		t.Errorf("%q, want %q", v.Reason, want)
	}
	if got := brief("a\nb\x1b[2J\xff"); line(got) != "a b [2J?" {
		t.Errorf("%q", line(got))
	}
}
