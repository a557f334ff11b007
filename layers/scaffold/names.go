package scaffold

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/lab-layers/lab-layers/layers"
)

// maxName keeps names within one part of a repository name, with room for
// what goes before it.
const maxName = 100

// containers are directories that say nothing about the images in them.
var containers = words(`. images image docker dockerfile dockerfiles containers container
	docker-images docker-image build .build builds src stacks deploy deployment deployments
	components env envs environments recipes definitions .devcontainer devcontainer`)

var (
	versionLike = regexp.MustCompile(`^v?[0-9]+([._-][0-9a-z]+)*$`)
	variantLike = regexp.MustCompile(`^(latest|devel|dev|testing|stable|nightly|edge|default|main|master|cpu|gpu|rocm|cuda|cudnn|lts|` +
		`cuda[-_.]?[0-9.]+|cu[0-9]+|rocm[-_.]?[0-9.]+|(py|python|r|tf|torch)[-_.]?[0-9.]+|ubuntu[-_.]?[0-9.]+|debian[-_.]?[0-9]+|fedora-.*|opensuse-.*|` +
		`bionic|focal|jammy|jammmy|noble|xenial|trusty|precise|artful|cosmic|disco|wily|yakkety|zesty|buster|bullseye|bookworm|trixie|sid)$`)
)

// parts are the words of an image's place, from the root on, and how many of
// the last ones only tell variants of one image apart.
func (s *images) parts(i *image) (parts []string, variants int) {
	dir, file := path.Split(i.file.path)
	dir = path.Clean(dir)
	under := make([]bool, 0, 8) // the directory above has a Dockerfile of its own
	for at, part := range strings.Split(dir, "/") {
		above := path.Join(strings.Split(dir, "/")[:at]...)
		if containers[strings.ToLower(part)] {
			continue
		}
		parts = append(parts, part)
		under = append(under, above != "" && len(parts) > 1 && s.repo.hasDockerfile(above))
	}
	if name, _ := stem(file); name != "" {
		for _, part := range stemParts(name) {
			parts = append(parts, part)
			under = append(under, dir != "." && s.repo.hasDockerfile(dir))
		}
	}
	for variants < len(parts)-1 {
		last := len(parts) - 1 - variants
		lower := strings.ToLower(parts[last])
		if !under[last] && !versionLike.MatchString(lower) && !variantLike.MatchString(lower) {
			break
		}
		variants++
	}
	if i.target != "" || i.stage > 0 && i.file.list[i.stage].Name != "" && i.file.several {
		return append(parts, i.file.list[i.stage].Name), 0
	}
	return parts, variants
}

// stemParts splits "verse_4.6.1" and "konflux.cuda", but not "3.10.1".
func stemParts(stem string) []string {
	if versionLike.MatchString(strings.ToLower(stem)) {
		return []string{stem}
	}
	if name, tag, ok := strings.Cut(stem, "_"); ok && name != "" && tag != "" {
		if lower := strings.ToLower(tag); versionLike.MatchString(lower) || variantLike.MatchString(lower) {
			return []string{name, tag}
		}
	}
	var parts []string
	rest := stem
	for {
		name, after, ok := strings.Cut(rest, ".")
		if !ok || name == "" || after == "" || strings.ContainsAny(name[len(name)-1:], "0123456789") {
			return append(parts, rest)
		}
		parts, rest = append(parts, name), after
	}
}

func (r *repository) hasDockerfile(dir string) bool {
	entry, real, err := r.find(dir)
	if err != nil || !entry.IsDir() {
		return false
	}
	for _, name := range []string{"Dockerfile", "dockerfile", "Containerfile"} {
		if found, ok := r.list(real, entry.ID)[name]; ok && !found.IsDir() {
			return true
		}
	}
	return false
}

// nameAll gives every image a valid name of its own, as short as it can be,
// and the calls it goes by.
func (s *images) nameAll() {
	taken := map[string]bool{}
	for _, leftOut := range []bool{false, true} {
		var group []*image
		for _, img := range s.list {
			if (img.leftOut != "") == leftOut {
				group = append(group, img)
			}
		}
		s.nameGroup(group, taken)
	}
	s.byCall = map[string][]*image{}
	for _, img := range s.list {
		s.addCalls(img)
		seen := map[string]bool{}
		for _, c := range img.calls {
			if !seen[c.name] && len(s.byCall[c.name]) < maxNamesakes {
				seen[c.name] = true
				s.byCall[c.name] = append(s.byCall[c.name], img)
			}
		}
	}
}

// nameGroup lengthens names to the left until no two are equal.
func (s *images) nameGroup(group []*image, taken map[string]bool) {
	ways := make([][]string, len(group)) // names of each image, short to long
	at := make([]int, len(group))
	variantsOf := map[string]int{}
	for _, img := range group {
		variantsOf[fmt.Sprint(img.file.path, img.stage)]++
	}
	for n, img := range group {
		ways[n] = s.ways(img, variantsOf[fmt.Sprint(img.file.path, img.stage)] > 1)
	}
	for range 64 {
		count := map[string]int{}
		for n := range group {
			count[ways[n][at[n]]]++
		}
		moved := false
		for n := range group {
			if name := ways[n][at[n]]; (count[name] > 1 || taken[name]) && at[n] < len(ways[n])-1 {
				at[n]++
				moved = true
			}
		}
		if !moved {
			break
		}
	}
	for n, img := range group {
		name := ways[n][at[n]]
		for try := 2; taken[name]; try++ {
			name = fmt.Sprintf("%s-%d", ways[n][at[n]], try)
		}
		taken[name] = true
		img.name = layers.Name(name)
	}
}

// ways lists the names that an image could have, the preferred one first.
func (s *images) ways(img *image, oneOfSeveral bool) []string {
	parts, variants := s.parts(img)
	ref := parseReference(img.hint())
	hint := validName(ref.name)
	var ways []string
	if hint != "" && (oneOfSeveral || len(parts) == 0) {
		ways = append(ways, hint)
		if tag := validName(ref.tag); tag != "" && oneOfSeveral {
			ways = append(ways, hint+"-"+tag)
		}
	}
	for start := len(parts) - 1 - variants; start >= 0; start-- {
		if start > 0 && versionLike.MatchString(strings.ToLower(parts[start])) {
			continue // a name does not begin with a version
		}
		if name := validName(strings.Join(parts[start:], "-")); name != "" {
			ways = append(ways, name)
		}
	}
	if hint != "" && len(ways) == 0 {
		ways = append(ways, hint)
	}
	if len(ways) == 0 {
		// Only containers above it: the last of them is better than nothing.
		name := validName(path.Base(img.dir()))
		if name == "" || img.dir() == "." {
			name = "lab"
		}
		ways = append(ways, name)
	}
	return ways
}

var notInNames = regexp.MustCompile(`[^a-z0-9._-]+`)
var separators = regexp.MustCompile(`[._-]{2,}`)

// validName makes one part of an OCI repository name of any text; empty if
// nothing is left of it.
func validName(text string) string {
	name := notInNames.ReplaceAllString(strings.ToLower(text), "-")
	name = separators.ReplaceAllString(name, "-")
	name = strings.Trim(name, "._-")
	if len(name) > maxName {
		name = strings.Trim(name[len(name)-maxName:], "._-")
	}
	return name
}
