package inventory

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lab-layers/lab-layers/pipeline"
)

const site = "opt/conda/lib/python3.12/site-packages/"

func dist(name string) string { return site + name + ".dist-info/METADATA" }

// What NVIDIA's images of these versions have in their configuration.
var nvidia124 = []string{
	"NVARCH=x86_64",
	"NVIDIA_REQUIRE_CUDA=cuda>=12.4 brand=tesla,driver>=470,driver<471 brand=unknown,driver>=470,driver<471 brand=nvidiartx,driver>=470,driver<471 brand=tesla,driver>=535,driver<536 brand=titanrtx,driver>=535,driver<536",
	"NV_CUDA_CUDART_VERSION=12.4.99-1",
	"CUDA_VERSION=12.4.0",
	"NVIDIA_VISIBLE_DEVICES=all",
}

var nvidia130 = []string{
	"NVIDIA_REQUIRE_CUDA=cuda>=13.0 brand=nvidiartx,driver>=550,driver<551 brand=tesla,driver>=570,driver<571",
	"CUDA_VERSION=13.0.0",
}

// file is one entry of a test's archive; a name that ends in / is a directory.
type file struct{ name, content string }

func names(list ...string) []file {
	var files []file
	for _, name := range list {
		files = append(files, file{name: name})
	}
	return files
}

func TestKnownImages(t *testing.T) {
	type want struct{ frameworks, cuda, cudaBy, gpu, driver string }
	cases := []struct {
		name  string
		env   []string
		files []file
		want  want
	}{
		{"nothing", nil, names("etc/os-release", "usr/bin/busybox"), want{gpu: "unknown"}},
		{"nvidia/cuda:12.4.0-base", nvidia124, names("usr/local/cuda-12.4/", "usr/local/cuda-12.4/lib64/libcudart.so.12", "usr/local/cuda"),
			want{cuda: "12.4", cudaBy: "env: CUDA_VERSION=12.4.0", gpu: "required", driver: "525.60.13"}},
		{"nvidia/cuda:13.0.0-base allows what cannot run it", nvidia130, nil,
			want{cuda: "13.0", cudaBy: "env: CUDA_VERSION=13.0.0", gpu: "required", driver: "580.65.06"}},
		{"pytorch from the index cu130", nil, names(dist("torch-2.9.0+cu130"), dist("torchvision-0.24.0+cu130"), dist("nvidia_cuda_runtime-13.0.48"), dist("nvidia_cudnn_cu13-9.13.0.50"), dist("numpy-2.3.1")),
			want{"torch 2.9.0+cu130", "13.0", "wheel: " + dist("torch-2.9.0+cu130"), "required", "580.65.06"}},
		{"pytorch from PyPI", nil, names(dist("torch-2.5.1"), dist("nvidia_cuda_runtime_cu12-12.4.127"), dist("nvidia_cudnn_cu12-9.1.0.70")),
			want{"torch 2.5.1", "12.4", "wheel: " + dist("nvidia_cuda_runtime_cu12-12.4.127"), "required", "525.60.13"}},
		{"pytorch for CUDA 11.8", nil, names(dist("torch-2.3.1+cu118")),
			want{"torch 2.3.1+cu118", "11.8", "wheel: " + dist("torch-2.3.1+cu118"), "required", "450.80.02"}},
		{"pytorch for the CPU", nil, names(dist("torch-2.5.1+cpu"), dist("transformers-4.46.0"), dist("ultralytics-8.3.0")),
			want{"ultralytics 8.3.0, transformers 4.46.0, torch 2.5.1+cpu", "", "", "none", ""}},
		{"pytorch of which nothing shows the build", nil, names(dist("torch-1.12.1")), want{frameworks: "torch 1.12.1", gpu: "unknown"}},
		{"pytorch for the CPU beside one of which nothing shows the build", nil, names(dist("torch-2.5.1+cpu"), "opt/old/lib/python3.8/site-packages/torch-1.12.1.dist-info/METADATA"),
			want{frameworks: "torch 2.5.1+cpu, torch 1.12.1", gpu: "unknown"}},
		{"pytorch for the CPU on a CUDA base", nvidia124, names(dist("torch-2.5.1+cpu")),
			want{"torch 2.5.1+cpu", "12.4", "env: CUDA_VERSION=12.4.0", "required", "525.60.13"}},
		{"tensorflow[and-cuda]", nil, names(dist("tensorflow-2.18.0"), dist("keras-3.6.0"), dist("nvidia_cuda_runtime_cu12-12.5.82"), dist("nvidia_cublas_cu12-12.5.3.2")),
			want{"keras 3.6.0, tensorflow 2.18.0", "12.5", "wheel: " + dist("nvidia_cuda_runtime_cu12-12.5.82"), "required", "525.60.13"}},
		{"tensorflow-cpu", nil, names(dist("tensorflow_cpu-2.18.0")), want{frameworks: "tensorflow 2.18.0", gpu: "none"}},
		{"jax[cuda12]", nil, names(dist("jax-0.4.35"), dist("jaxlib-0.4.35"), dist("jax_cuda12_plugin-0.4.35"), dist("jax_cuda12_pjrt-0.4.35")),
			want{"jax 0.4.35", "12", "wheel: " + dist("jax_cuda12_pjrt-0.4.35"), "required", "525.60.13"}},
		{"jax of old", nil, names(dist("jax-0.4.16"), dist("jaxlib-0.4.16+cuda12.cudnn89")),
			want{"jax 0.4.16", "12", "wheel: " + dist("jaxlib-0.4.16+cuda12.cudnn89"), "required", "525.60.13"}},
		{"jax", nil, names(dist("jax-0.4.35"), dist("jaxlib-0.4.35")), want{frameworks: "jax 0.4.35", gpu: "none"}},
		{"mxnet-cu112", nil, names(dist("mxnet_cu112-1.9.1")), want{"mxnet 1.9.1", "11.2", "wheel: " + dist("mxnet_cu112-1.9.1"), "required", "450.80.02"}},
		{"cupy", nil, names(dist("cupy_cuda12x-13.3.0")), want{"cupy 13.3.0", "12", "wheel: " + dist("cupy_cuda12x-13.3.0"), "required", "525.60.13"}},
		{"two CUDAs: the driver serves both", []string{"CUDA_VERSION=13.0.0", "NVIDIA_DISABLE_REQUIRE=1"}, names(dist("torch-2.3.1+cu118")),
			want{"torch 2.3.1+cu118", "11.8", "wheel: " + dist("torch-2.3.1+cu118"), "required", "580.65.06"}},
		{"a version alone", []string{"CUDA_VERSION=12.4.1"}, nil,
			want{cuda: "12.4", cudaBy: "env: CUDA_VERSION=12.4.1", gpu: "required", driver: "550.54.14"}},
		{"several variables", []string{"NVIDIA_REQUIRE_CUDA=cuda>=11.4", "NVIDIA_REQUIRE_DRIVER=driver>=560.35"}, nil,
			want{cuda: "11.4", cudaBy: "env: NVIDIA_REQUIRE_CUDA=cuda>=11.4", gpu: "required", driver: "560.35"}},
		{"an unknown CUDA", nil, names(dist("torch-4.0+cu150")),
			want{"torch 4.0+cu150", "15.0", "wheel: " + dist("torch-4.0+cu150"), "required", ""}},
		{"toolkit by NVIDIA's installer", nil, names("./usr/local/cuda-12.1/bin/nvcc"),
			want{cuda: "12.1", cudaBy: "path: usr/local/cuda-12.1", gpu: "required", driver: "525.60.13"}},
		{"conda with CUDA", nil, names("opt/conda/conda-meta/pytorch-2.1.0-py3.10_cuda12.1_cudnn8.9.2_0.json", "opt/conda/conda-meta/pytorch-cuda-12.1-ha16c6d3_5.json", dist("torch-2.1.0")),
			want{"torch 2.1.0", "12.1", "conda: opt/conda/conda-meta/pytorch-2.1.0-py3.10_cuda12.1_cudnn8.9.2_0.json", "required", "525.60.13"}},
		{"conda-forge with CUDA", nil, names("opt/conda/conda-meta/cuda-version-11.8-h70ddcb2_3.json", "opt/conda/conda-meta/pytorch-2.0.0-cuda112py310he33e0d6_200.json"),
			want{"torch 2.0.0", "11.8", "conda: opt/conda/conda-meta/cuda-version-11.8-h70ddcb2_3.json", "required", "450.80.02"}},
		{"conda for the CPU", nil, names("opt/conda/conda-meta/pytorch-2.4.0-cpu_generic_py312h0.json", dist("torch-2.4.0")),
			want{frameworks: "torch 2.4.0", gpu: "none"}},
		{"conda's cpuonly", nil, names("opt/conda/conda-meta/cpuonly-2.0-0.json", "opt/conda/conda-meta/pytorch-2.1.0-py3.10_0.json", dist("torch-2.1.0")),
			want{frameworks: "torch 2.1.0", gpu: "none"}},
		{"conda's own build for the CPU", nil, names("opt/conda/conda-meta/pytorch-2.1.0-py3.10_cpu_0.json"), want{frameworks: "torch 2.1.0", gpu: "none"}},
		{"conda's build of neither", nil, names("opt/conda/conda-meta/pytorch-2.1.0-py3.10_0.json"), want{frameworks: "torch 2.1.0", gpu: "unknown"}},
		{"Debian's python3-torch", nil, []file{{"var/lib/dpkg/status", debian}, {name: "usr/lib/python3/dist-packages/torch-1.13.0a0+gitunknown.egg-info/PKG-INFO"}},
			want{frameworks: "torch 1.13.1, scikit-learn 1.2.1", gpu: "none"}},
		{"NVIDIA's Debian packages", nil, []file{{"var/lib/dpkg/status", "Package: cuda-cudart-12-6\nStatus: install ok installed\nVersion: 12.6.77-1\n"}},
			want{cuda: "12.6", cudaBy: "dpkg: var/lib/dpkg/status", gpu: "required", driver: "525.60.13"}},
		{"what only looks like packages", nil, names("root/.cache/uv/archive/torch-2.5.1+cu124.dist-info/METADATA", "opt/conda/pkgs/x/lib/site-packages/torch-2.5.1.dist-info/METADATA",
			site+"torch-2.5.1.dist-info/", site+"torch/version.py", site+"evil-\x1b[2J.dist-info/METADATA", "usr/local/cuda-12.4/", "usr/local/cuda-samples/x"),
			want{gpu: "unknown"}},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			src := blobs{}
			m, err := Survey(t.Context(), src, src.image(test.env, src.add(gzipped(archive(t, test.files)))), nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := list(m.Frameworks); got != test.want.frameworks {
				t.Errorf("frameworks: %s, want %s", got, test.want.frameworks)
			}
			var got want
			got.frameworks = test.want.frameworks
			if m.CUDA != nil {
				got.cuda, got.cudaBy = m.CUDA.Version, m.CUDA.Evidence
			}
			if m.Driver != nil {
				got.driver = m.Driver.Version
			}
			if got.gpu = m.GPU.Name; got != test.want {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
			if m.Incomplete != "" {
				t.Errorf("incomplete: %s", m.Incomplete)
			}
			for _, f := range append(m.Frameworks, m.GPU) {
				if f.Evidence == "" {
					t.Errorf("%s has no evidence", f.Name)
				}
			}
		})
	}
}

const debian = `Package: python3-torch
Status: install ok installed
Version: 1.13.1+dfsg-4
Description: Tensors
 Package: python3-torch-cuda
 Status: install ok installed

Package: python3-torch-cuda
Status: deinstall ok config-files
Version: 1.13.1-2

Package: python3-sklearn
Status: install ok installed
Version: 1:1.2.1+dfsg-1
`

func TestChildren(t *testing.T) {
	base := []file{
		{name: dist("torch-2.4.0+cu124")}, {name: dist("nvidia_cuda_runtime_cu12-12.4.99")},
		{name: dist("transformers-4.40.0")}, {name: "usr/local/cuda-12.4/lib64/x"},
		{"var/lib/dpkg/status", debian},
	}
	cases := []struct {
		name             string
		files            []file
		frameworks, cuda string
	}{
		{"adds", names("app/train.py", dist("ultralytics-8.3.0")), "ultralytics 8.3.0, transformers 4.40.0, torch 2.4.0+cu124, torch 1.13.1, scikit-learn 1.2.1", "12.4"},
		{"updates", names(site+".wh.torch-2.4.0+cu124.dist-info", dist("torch-2.6.0+cu126")), "transformers 4.40.0, torch 2.6.0+cu126, torch 1.13.1, scikit-learn 1.2.1", "12.6"},
		{"updates, in the other order", names(dist("torch-2.6.0+cu126"), site+".wh.torch-2.4.0+cu124.dist-info"), "transformers 4.40.0, torch 2.6.0+cu126, torch 1.13.1, scikit-learn 1.2.1", "12.6"},
		{"writes the same again", names(dist("torch-2.4.0+cu124")), "transformers 4.40.0, torch 2.4.0+cu124, torch 1.13.1, scikit-learn 1.2.1", "12.4"},
		{"removes a package", names(site + ".wh.transformers-4.40.0.dist-info"), "torch 2.4.0+cu124, torch 1.13.1, scikit-learn 1.2.1", "12.4"},
		{"removes Python", names("opt/.wh.conda"), "torch 1.13.1, scikit-learn 1.2.1", "12.4"},
		{"removes Python and CUDA", names("opt/.wh.conda", "usr/local/.wh.cuda-12.4"), "torch 1.13.1, scikit-learn 1.2.1", ""},
		{"has a directory of its own", names(site+".wh..wh..opq", dist("jax-0.4.35")), "torch 1.13.1, jax 0.4.35, scikit-learn 1.2.1", "12.4"},
		{"starts from nothing", names(".wh..wh..opq", dist("jax-0.4.35")), "jax 0.4.35", ""},
		{"puts a file there", names("opt/conda"), "torch 1.13.1, scikit-learn 1.2.1", "12.4"},
		{"removes with dpkg", []file{{"var/lib/dpkg/status", "Package: base-files\nStatus: install ok installed\n"}}, "transformers 4.40.0, torch 2.4.0+cu124", "12.4"},
		{"removes what is not there", names(".wh.x", "opt/.wh.cond", "opt/conda/.wh..wh.plnk/y"), "transformers 4.40.0, torch 2.4.0+cu124, torch 1.13.1, scikit-learn 1.2.1", "12.4"},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			src := blobs{}
			lower, upper := src.add(gzipped(archive(t, base))), src.add(archive(t, test.files))
			parent, err := Survey(t.Context(), src, src.image(nil, lower), nil)
			if err != nil {
				t.Fatal(err)
			}
			parent = recorded(t, parent)
			delete(src, lower.Digest) // a child's survey must not need it
			lower.Own = false
			m, err := Survey(t.Context(), src, src.image(nil, lower, upper), &parent)
			if err != nil {
				t.Fatal(err)
			}
			cuda := ""
			if m.CUDA != nil {
				cuda = m.CUDA.Version
			}
			if got := list(m.Frameworks); got != test.frameworks || cuda != test.cuda {
				t.Errorf("got  %s, CUDA %q\nwant %s, CUDA %q", got, cuda, test.frameworks, test.cuda)
			}
		})
	}
}

func TestCompressions(t *testing.T) {
	plain := archive(t, names(dist("torch-2.4.0+cu124")))
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	skippable := append([]byte{0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0}, "skip"...)
	for name, content := range map[string][]byte{
		"none": plain, "gzip": gzipped(plain), "zstd": encoder.EncodeAll(plain, nil),
		"zstd in frames": append(append(skippable, encoder.EncodeAll(plain[:700], nil)...), encoder.EncodeAll(plain[700:], nil)...),
		"gzip in parts":  append(gzipped(plain[:700]), gzipped(plain[700:])...),
	} {
		src := blobs{}
		m, err := Survey(t.Context(), src, src.image(nil, src.add(content)), nil)
		if err != nil || m.Incomplete != "" || list(m.Frameworks) != "torch 2.4.0+cu124" {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
}

// What was found before an archive went wrong counts, and that it did is said.
func TestBadArchives(t *testing.T) {
	good := archive(t, names(dist("torch-2.4.0+cpu")))
	open := good[:len(good)-1024] // without its end
	random := make([]byte, 64<<10)
	for i := range random {
		random[i] = byte(i * i >> 3)
	}
	small := limits{entries: 100, bytes: 1 << 20, status: 1 << 10, traces: 20}
	many := func(n int, name string) (files []file) {
		for i := range n {
			files = append(files, file{name: fmt.Sprintf(name, i)})
		}
		return files
	}
	cases := []struct {
		name    string
		content []byte
		says    string
	}{
		{"no archive", random, "tar"},
		{"half a header", append(bytes.Clone(open), good[:100]...), "unexpected EOF"},
		{"truncated gzip", half(gzipped(append(bytes.Clone(open), archive(t, []file{{"x", string(random)}})...))), "unexpected EOF"},
		{"spoilt gzip", func() []byte { z := gzipped(good); z[len(z)-3]++; return append(z[:12], z...) }(), ""},
		{"too many files", archive(t, many(200, "f%d")), "more than 100 files"},
		{"a bomb", gzipped(archive(t, []file{{"zeros", strings.Repeat("\x00", 2<<20)}, {name: "after"}})), "it unpacks to more than is read"},
		{"too many packages", archive(t, many(50, dist("torch-2.%d"))), "more than 20 packages"},
		{"a long dpkg list", archive(t, []file{{"var/lib/dpkg/status", strings.Repeat("Package: x\n\n", 1000)}}), "more than 1024 bytes"},
		{"a dpkg list of one line", archive(t, []file{{"var/lib/dpkg/status", strings.Repeat("x", 4000)}}), "more than 1024 bytes"},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			src := blobs{}
			first := src.add(good)
			m, err := survey(t.Context(), src, src.image(nil, first, src.add(test.content)), nil, small)
			if err != nil {
				t.Fatal(err)
			}
			if m.Incomplete == "" || !strings.Contains(m.Incomplete, test.says) {
				t.Errorf("incomplete: %q, want %q", m.Incomplete, test.says)
			}
			if !strings.Contains(list(m.Frameworks), "torch 2.4.0+cpu") {
				t.Errorf("frameworks: %s", list(m.Frameworks))
			}
			if m.GPU.Name != pipeline.GPUUnknown {
				t.Errorf("GPU is %+v, though something may have been missed", m.GPU)
			}
			child, err := Survey(t.Context(), src, pipeline.Image{}, &m)
			if err != nil || child.Incomplete != m.Incomplete {
				t.Errorf("the child is incomplete for %q, %v", child.Incomplete, err)
			}
		})
	}
}

func TestHostileNames(t *testing.T) {
	files := names("../../"+dist("torch-2.0.0+cu118"), "/"+dist("jax-0.4.0"), "a/../"+dist("timm-1.0"),
		site+strings.Repeat("a/", 3000)+"x", site+"torch-"+strings.Repeat("9", 200)+".dist-info/METADATA",
		site+"\xff\xfe-1.dist-info/METADATA", "..", "/", ".")
	src := blobs{}
	m, err := Survey(t.Context(), src, src.image([]string{"CUDA_VERSION=\x00\xff", "NVIDIA_REQUIRE_CUDA=" + strings.Repeat("cuda>=,driver>=9999999999999, ", 1000), "=", ""}, src.add(archive(t, files))), nil)
	if err != nil || m.Incomplete != "" {
		t.Fatal(m.Incomplete, err)
	}
	if got := list(m.Frameworks); got != "timm 1.0, torch 2.0.0+cu118, jax 0.4.0" {
		t.Errorf("frameworks: %s", got)
	}
	if _, err := json.Marshal(m); err != nil {
		t.Error(err)
	}
}

// A source that fails is an error, not an image with less in it.
func TestSourceFails(t *testing.T) {
	src := blobs{}
	blob := src.add(gzipped(archive(t, names(dist("torch-2.4.0")))))
	broken := errors.New("the connection was lost")
	failing := sourceFunc(func(ctx context.Context, repository string, d digest.Digest) (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(bytes.NewReader(src[d][:40]), failingReader{broken})), nil
	})
	if _, err := Survey(t.Context(), failing, src.image(nil, blob), nil); !errors.Is(err, broken) {
		t.Errorf("in the middle: %v", err)
	}
	delete(src, blob.Digest)
	if _, err := Survey(t.Context(), src, src.image(nil, blob), nil); !errors.Is(err, errNoBlob) {
		t.Errorf("at the start: %v", err)
	}
	stopped := errors.New("stopped")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stopped)
	if _, err := Survey(ctx, src, src.image(nil, src.add(gzipped(archive(t, nil)))), nil); !errors.Is(err, stopped) {
		t.Errorf("cancelled: %v", err)
	}
}

// blobs is a source in memory.
type blobs map[digest.Digest][]byte

var errNoBlob = errors.New("no such blob")

func (b blobs) Open(_ context.Context, _ string, d digest.Digest) (io.ReadCloser, error) {
	content, ok := b[d]
	if !ok {
		return nil, errNoBlob
	}
	return io.NopCloser(bytes.NewReader(content)), nil
}

func (b blobs) add(content []byte) pipeline.Blob {
	d := digest.FromBytes(content)
	b[d] = content
	return pipeline.Blob{Digest: d, Size: int64(len(content)), Own: true}
}

func (b blobs) image(env []string, list ...pipeline.Blob) pipeline.Image {
	config, _ := json.Marshal(ocispecs.Image{Config: ocispecs.ImageConfig{Env: env}})
	return pipeline.Image{Repository: "lab.test/a", Digest: digest.FromBytes(config), Config: config, Blobs: list}
}

type sourceFunc func(context.Context, string, digest.Digest) (io.ReadCloser, error)

func (f sourceFunc) Open(ctx context.Context, repository string, d digest.Digest) (io.ReadCloser, error) {
	return f(ctx, repository, d)
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

func archive(t *testing.T, files []file) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		header := &tar.Header{Name: f.name, Typeflag: tar.TypeReg, Size: int64(len(f.content)), Mode: 0o644, Format: tar.FormatPAX}
		if strings.HasSuffix(f.name, "/") {
			header.Typeflag = tar.TypeDir
		}
		if !utf8.ValidString(f.name) {
			header.Format = tar.FormatGNU
		}
		if err := w.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func half(content []byte) []byte { return content[:len(content)/2] }

func gzipped(content []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(content)
	_ = w.Close()
	return out.Bytes()
}

func list(found []pipeline.Finding) string {
	var parts []string
	for _, f := range found {
		parts = append(parts, f.Name+" "+f.Version)
	}
	return strings.Join(parts, ", ")
}

// recorded is what comes back from a record.
func recorded(t *testing.T, m pipeline.Metadata) (back pipeline.Metadata) {
	t.Helper()
	data, err := json.Marshal(m)
	if err == nil {
		err = json.Unmarshal(data, &back)
	}
	if err != nil {
		t.Fatal(err)
	}
	return back
}
