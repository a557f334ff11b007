package scaffold

import (
	"regexp"
	"slices"
	"strings"
)

// frameworkPackages are the packages that make an image a framework, and the
// framework's name.
var frameworkPackages = map[string]string{
	"torch": "PyTorch", "pytorch": "PyTorch", "pytorch-gpu": "PyTorch", "pytorch-cpu": "PyTorch", "python3-torch": "PyTorch",
	"pytorch-cuda": "PyTorch", "torchvision": "PyTorch", "libtorch": "PyTorch",
	"tensorflow": "TensorFlow", "tensorflow-gpu": "TensorFlow", "tensorflow-cpu": "TensorFlow", "tensorflow-rocm": "TensorFlow",
	"tf-nightly": "TensorFlow", "tf-nightly-gpu": "TensorFlow", "intel-tensorflow": "TensorFlow",
	"jax": "JAX", "jaxlib": "JAX", "flax": "JAX",
	"keras":        "Keras",
	"paddlepaddle": "PaddlePaddle", "paddlepaddle-gpu": "PaddlePaddle",
	"mxnet": "MXNet", "mxnet-cu112": "MXNet", "mindspore": "MindSpore", "theano": "Theano", "chainer": "Chainer", "caffe": "Caffe", "cntk": "CNTK",
	"cudf": "RAPIDS", "cuml": "RAPIDS", "rapids": "RAPIDS",
}

// frameworkWords are parts of image and stage names that tell of a framework.
var frameworkWords = []struct{ word, framework string }{
	{"pytorch", "PyTorch"}, {"torch", "PyTorch"}, {"tensorflow", "TensorFlow"}, {"jax", "JAX"},
	{"paddle", "PaddlePaddle"}, {"mxnet", "MXNet"}, {"keras", "Keras"}, {"mindspore", "MindSpore"}, {"rapids", "RAPIDS"},
}

// frameworkNamed returns the framework that a name tells of.
func frameworkNamed(name string) string {
	for _, part := range strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return r == '-' || r == '_' || r == '.' || r == '/' }) {
		for _, w := range frameworkWords {
			if part == w.word {
				return w.framework
			}
		}
	}
	return ""
}

var (
	// installer finds the commands that install packages, up to their lists.
	installer = regexp.MustCompile(`(?:^|[\s/(])(?:pip[0-9.]*|uv|conda|mamba|micromamba|apt|apt-get|dnf|microdnf|yum|apk|poetry|pipenv|pixi)\s+(?:-[\w=-]+\s+)*(?:pip\s+)?(?:install|add|create|env\s+update|env\s+create)\s`)
	// listed finds the files of packages that such a command reads.
	listed = regexp.MustCompile(`(?:^|\s)(?:-r|--requirement|-f|--file|--env-file)[\s=]+(\S+)`)
	// commands are told apart by these.
	commandEnd = regexp.MustCompile(`&&|\|\||[;|\n]`)
	// packageName is what stands before extras, versions and markers.
	packageName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*`)
)

// installs lists the frameworks that shell text installs, and the files of
// packages that it names.
func installs(text string) (frameworks, files []string) {
	text = strings.ReplaceAll(text, "\\\n", " ")
	for _, command := range commandEnd.Split(text, -1) {
		command = strings.TrimSpace(command)
		if strings.HasPrefix(command, "#") {
			continue
		}
		at := installer.FindStringIndex(command)
		if at == nil {
			continue
		}
		list := command[at[1]:]
		for _, m := range listed.FindAllStringSubmatch(list, -1) {
			files = append(files, strings.Trim(m[1], `"'`))
		}
		for _, word := range strings.Fields(list) {
			frameworks = appendFramework(frameworks, word)
		}
	}
	return frameworks, files
}

// frameworksIn looks through RUN texts; a stage's own name counts too.
func frameworksIn(runs []string, name string) []string {
	var all []string
	for _, run := range runs {
		frameworks, _ := installs(run)
		for _, f := range frameworks {
			if !slices.Contains(all, f) {
				all = append(all, f)
			}
		}
	}
	if f := frameworkNamed(name); f != "" && !slices.Contains(all, f) {
		all = append(all, f)
	}
	return all
}

// listedFrameworks looks through a file of packages: requirements, a conda
// environment or lock, a Pipfile, a pyproject.
func listedFrameworks(text string) []string {
	var frameworks []string
	for line := range strings.Lines(text) {
		line = strings.TrimLeft(strings.TrimSpace(line), "- ")
		if strings.HasPrefix(line, "#") {
			continue
		}
		if i := strings.LastIndex(line, "/"); strings.HasPrefix(line, "http") && i >= 0 {
			line = condaName(line[i+1:])
		}
		frameworks = appendFramework(frameworks, strings.TrimLeft(line, `"'[ `))
	}
	return frameworks
}

// condaName cuts version and build off a conda package's file name.
func condaName(file string) string {
	parts := strings.Split(file, "-")
	if len(parts) < 3 {
		return file
	}
	return strings.Join(parts[:len(parts)-2], "-")
}

func appendFramework(list []string, word string) []string {
	word = strings.TrimLeft(word, `"'`)
	if i := strings.LastIndex(word, "::"); i >= 0 {
		word = word[i+2:]
	}
	f := frameworkPackages[strings.ToLower(packageName.FindString(word))]
	if f == "" || slices.Contains(list, f) {
		return list
	}
	return append(list, f)
}
