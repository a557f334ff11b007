package inventory

import "strings"

// frameworks are the libraries that say what an image is for, the most specific
// first, each with the names of its packages on PyPI, conda and Debian.
var frameworks = []struct {
	name     string
	packages []string
}{
	{"ultralytics", []string{"ultralytics"}},
	{"sentence-transformers", []string{"sentence-transformers"}},
	{"diffusers", []string{"diffusers"}},
	{"vllm", []string{"vllm"}},
	{"transformers", []string{"transformers"}},
	{"detectron2", []string{"detectron2"}},
	{"timm", []string{"timm"}},
	{"fastai", []string{"fastai"}},
	{"lightning", []string{"lightning", "pytorch-lightning"}},
	{"deepspeed", []string{"deepspeed"}},
	{"keras", []string{"keras", "python3-keras"}},
	{"torch", []string{"torch", "pytorch", "pytorch-cpu", "pytorch-gpu", "python3-torch", "python3-torch-cuda"}},
	{"tensorflow", []string{"tensorflow", "tensorflow-cpu", "tensorflow-gpu", "tensorflow-intel", "tensorflow-base", "tf-nightly", "python3-tensorflow"}},
	{"jax", []string{"jax", "python3-jax"}},
	{"paddlepaddle", []string{"paddlepaddle", "paddlepaddle-gpu"}},
	{"mxnet", []string{"mxnet"}}, // and mxnet-cuNNN
	{"mindspore", []string{"mindspore"}},
	{"cupy", []string{"cupy"}}, // and cupy-cudaNN
	{"xgboost", []string{"xgboost", "py-xgboost", "python3-xgboost"}},
	{"lightgbm", []string{"lightgbm", "python3-lightgbm"}},
	{"scikit-learn", []string{"scikit-learn", "python3-sklearn"}},
}

// frameworkOf is a package's framework: its place in the list.
func frameworkOf(pkg string) (place int, ok bool) {
	if i := strings.Index(pkg, "-cu"); i > 0 && cudaName.MatchString(pkg) && !strings.HasPrefix(pkg, "python3-") {
		pkg = pkg[:i]
	}
	for i, f := range frameworks {
		for _, name := range f.packages {
			if name == pkg {
				return i, true
			}
		}
	}
	return 0, false
}
