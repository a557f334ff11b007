package scaffold

import (
	"path"
	"strings"
)

// locateContexts decides which directory each image is built from: the one
// that another file names, or the nearest above the Dockerfile in which all
// the files exist that COPY and ADD ask for.
func (s *images) locateContexts() {
	for _, img := range s.list {
		if s.contextSaid(img) {
			continue
		}
		s.contextFound(img)
	}
}

func (s *images) contextSaid(img *image) bool {
	for _, b := range img.said {
		if b.context != "" && writable(b.context) && s.repo.isDir(b.context) && len(s.missing(b.context, img.read.sources)) == 0 {
			img.context = b.context
			if b.context != img.dir() {
				img.because("The context is %s, as %s says.", inWords(b.context), b.source)
			}
			return true
		}
	}
	return false
}

func (s *images) contextFound(img *image) {
	best, bestMissing := "", []string(nil)
	for dir := img.dir(); ; dir = path.Dir(dir) {
		missing := s.missing(dir, img.read.sources)
		if best == "" || len(missing) < len(bestMissing) {
			best, bestMissing = dir, missing
		}
		if len(missing) == 0 || dir == "." {
			break
		}
	}
	img.context = best
	if best != img.dir() {
		img.because("The context is %s: %s and what else COPY asks for lies there, not beside the Dockerfile.", inWords(best), s.telling(img, best))
	}
	if len(bestMissing) > 0 {
		img.doubt("Not in the repository, under any directory that could be the context: %s.", some(bestMissing))
	}
}

// telling is a source that the context has and the Dockerfile's own directory
// has not.
func (s *images) telling(img *image, dir string) string {
	for _, source := range img.read.sources {
		if s.repo.has(dir, source) && !s.repo.has(img.dir(), source) {
			return source
		}
	}
	return "what COPY names"
}

func (s *images) missing(dir string, sources []string) []string {
	var missing []string
	for _, source := range sources {
		if !s.repo.has(dir, source) {
			missing = append(missing, source)
		}
	}
	return missing
}

func inWords(dir string) string {
	if dir == "." {
		return "the repository's root"
	}
	return dir
}

// some lists a few of many.
func some(list []string) string {
	if len(list) > 4 {
		return strings.Join(list[:4], ", ") + ", …"
	}
	return strings.Join(list, ", ")
}
