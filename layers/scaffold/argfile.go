package scaffold

import (
	"maps"
	"path"
	"slices"
	"strings"
)

// argumentFiles lists where KEY=VALUE lines for a Dockerfile's arguments are
// kept beside it: for Dockerfile.gpu, build-args/gpu.conf and the like.
func argumentFiles(dockerfile string) []string {
	dir, file := path.Split(dockerfile)
	suffix, _ := stem(file)
	last := suffix[strings.LastIndex(suffix, ".")+1:]
	var files []string
	for _, name := range slices.Compact([]string{suffix, last}) {
		if name != "" {
			files = append(files, path.Join(dir, "build-args", name+".conf"), path.Join(dir, name+".args"), path.Join(dir, name+".env"))
		}
	}
	return append(files, path.Join(dir, "build-args.conf"), path.Join(dir, "argfile.conf"), path.Join(dir, "build.args"))
}

// findArguments takes arguments from such a file where FROM is open without.
func (s *images) findArguments(img *image) {
	if len(img.read.unset) == 0 || validReference(img.read.ground) {
		return
	}
	for _, name := range argumentFiles(img.file.path) {
		text, err := s.repo.read(name, maxEvidence)
		if err != nil {
			continue
		}
		args := maps.Clone(img.args)
		if args == nil {
			args = map[string]string{}
		}
		for line := range strings.Lines(string(text)) {
			key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
			if ok && len(value) <= maxWord && img.file.declares(key) {
				args[key] = strings.Trim(value, `"'`)
			}
		}
		if read := img.file.read(img.stage, args); validReference(read.ground) {
			img.args, img.read = args, read
			img.because("The arguments are those of %s.", name)
			return
		}
	}
}
