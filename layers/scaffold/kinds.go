package scaffold

import (
	"path"
	"slices"
	"strings"

	"github.com/lab-layers/lab-layers/layers"
)

// guessKinds gives every image its kind. A layer never stands on one of a
// higher kind: so what carries frameworks is a base, what installs one is a
// framework, and what stands on a framework and brings none is an experiment.
func (s *images) guessKinds() {
	order := s.parentsFirst()
	children := map[*image][]*image{}
	for _, img := range order {
		s.findFrameworks(img)
		if img.parent != nil {
			children[img.parent] = append(children[img.parent], img)
		}
	}
	carries := map[*image]bool{} // some image above brings a framework
	for _, img := range slices.Backward(order) {
		if img.parent != nil && (len(img.brings) > 0 || carries[img]) {
			carries[img.parent] = true
		}
	}
	has := map[*image][]string{} // frameworks of the image and all below
	for _, img := range order {
		below := has[img.parent]
		if f := frameworkNamed(string(img.name)); f != "" && len(img.brings) == 0 && !slices.Contains(below, f) && !carries[img] {
			img.brings = []string{f}
			img.doubt("%s is guessed from the name alone.", f)
		}
		img.kind = img.guessKind(below, carries[img], len(children[img]) > 0)
		has[img] = append(slices.Clone(below), img.brings...)
		if img.parent != nil && rank(img.kind) < rank(img.parent.kind) {
			img.kind = img.parent.kind
		}
	}
}

func rank(kind layers.Kind) int {
	return slices.Index([]layers.Kind{layers.Base, layers.Framework, layers.Experiment}, kind)
}

func (i *image) guessKind(below []string, carries, hasChildren bool) layers.Kind {
	fresh := slices.DeleteFunc(slices.Clone(i.brings), func(f string) bool { return slices.Contains(below, f) })
	switch {
	case i.parent == nil && len(i.brings) > 0:
		return layers.Framework
	case i.parent == nil:
		if !isSystem(i.outside) && !hasChildren {
			i.doubt("It stands on %s and nothing stands on it: is it an image of the lab, and a base?", orNothing(i.outside))
		}
		return layers.Base
	case len(fresh) > 0:
		return layers.Framework
	case len(i.brings) > 0:
		i.doubt("It installs %s, which a layer below has already: experiment or framework?", strings.Join(i.brings, " and "))
		return layers.Experiment
	case i.parent.kind != layers.Base:
		if carries {
			return i.parent.kind
		}
		return layers.Experiment
	case carries:
		return layers.Base
	case hasChildren:
		return layers.Base
	}
	return layers.Experiment
}

// systems are the names of images that hold an operating system, CUDA or a
// language, and no framework.
var systems = words(`ubuntu debian alpine centos fedora rockylinux almalinux
	amazonlinux oraclelinux archlinux stream9 stream10 ubi8 ubi9 ubi ubi-minimal
	cuda cudagl cuda-dl-base l4t-base l4t-cuda rocm-terminal
	buildpack-deps busybox python miniconda3 anaconda3 miniforge3 mambaforge micromamba
	r-base r-ver julia scratch distroless`)

func isSystem(ref string) bool {
	name := parseReference(ref).name
	return systems[strings.ToLower(name)] || strings.HasPrefix(name, "python-") || strings.HasPrefix(name, "s2i-")
}

// findFrameworks looks for what an image installs: in RUN lines, in the files
// of packages that it copies, and in the name of what it stands on.
func (s *images) findFrameworks(img *image) {
	add := func(where string, found []string) {
		for _, f := range found {
			if !slices.Contains(img.brings, f) {
				img.brings = append(img.brings, f)
				img.because("%s %s.", f, where)
			}
		}
	}
	if img.parent == nil {
		if f := frameworkNamed(parseReference(img.outside).name); f != "" {
			add("comes with "+img.outside, []string{f})
		}
	}
	var wanted []string
	for _, run := range img.read.runs {
		frameworks, files := installs(run)
		add("is installed in a RUN line", frameworks)
		wanted = append(wanted, files...)
	}
	for _, file := range s.packageFiles(img, wanted) {
		if text, err := s.repo.read(file, maxPackages); err == nil {
			if strings.HasSuffix(file, ".sh") || strings.HasSuffix(file, ".bash") {
				frameworks, _ := installs(string(text))
				add("is installed by "+file, frameworks)
				continue
			}
			add("is listed in "+file, listedFrameworks(string(text)))
		}
	}
}

// packageFiles are the files of the context that say what an image installs.
func (s *images) packageFiles(img *image, wanted []string) []string {
	var files []string
	add := func(name string) {
		if name = path.Join(img.context, path.Clean("/" + name)[1:]); !slices.Contains(files, name) && len(files) < 32 {
			files = append(files, name)
		}
	}
	whole := slices.ContainsFunc(img.read.sources, func(source string) bool { return path.Clean("/"+source) == "/" })
	for p := img.parent; p != nil && !whole; p = p.parent {
		whole = slices.ContainsFunc(p.read.onbuild, func(cmd string) bool {
			return strings.HasPrefix(strings.ToUpper(cmd), "COPY") || strings.HasPrefix(strings.ToUpper(cmd), "ADD")
		})
	}
	for _, source := range img.read.sources {
		base := strings.ToLower(path.Base(source))
		if isPackageList(base) || strings.HasSuffix(base, ".sh") || strings.HasSuffix(base, ".bash") {
			add(source)
		}
	}
	for _, file := range wanted {
		if s.repo.has(img.context, file) && (whole || slices.Contains(img.read.sources, file)) {
			add(file)
		}
	}
	if whole {
		for _, name := range []string{"environment.yml", "environment.yaml", "requirements.txt", "Pipfile"} {
			add(name)
		}
	}
	return files
}

func isPackageList(name string) bool {
	return strings.Contains(name, "requirements") || strings.HasPrefix(name, "environment") && strings.Contains(name, ".y") ||
		name == "pipfile" || name == "pyproject.toml" || name == "conda-linux-64.lock"
}
