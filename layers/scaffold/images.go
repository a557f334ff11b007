package scaffold

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
)

// images are all images of a repository, and how they hang together.
type images struct {
	repo   *repository
	list   []*image
	broken []LeftOut // Dockerfiles that no image can be made of
	byCall map[string][]*image
	byFile map[*dockerfile][]*image
	// aliases are links to the directories of Dockerfiles.
	aliases map[string][]string
	// affixes that owners put on names; false for those that explain too little.
	affixes map[affix]bool
}

// newImages finds the images that the Dockerfiles make: of each its last
// stage, further stages that stand for images of their own, and variants that
// another file builds with other arguments.
func newImages(repo *repository) *images {
	set := &images{repo: repo, byFile: map[*dockerfile][]*image{}, aliases: repo.aliases()}
	said := map[string][]build{}
	for _, b := range repo.readBuilds() {
		file := path.Clean("/" + b.dockerfile)[1:]
		said[file] = append(said[file], b)
	}
	left := int64(maxTotal)
	parts := map[string]bool{} // directories with Dockerfiles that have no FROM
	for _, name := range repo.dockerfiles {
		file, err := repo.readDockerfile(name, &left)
		if !writable(name) {
			err = errors.New("has a path that lab-layers.yaml cannot name")
		}
		if len(set.list) >= maxLayers {
			err = fmt.Errorf("was not looked at: there are %d layers already", maxLayers)
		}
		if err != nil {
			parts[path.Dir(name)] = parts[path.Dir(name)] || errors.Is(err, errNoFrom)
			set.broken = append(set.broken, LeftOut{Dockerfile: name, Reason: err.Error()})
			continue
		}
		set.addFile(file, said[name])
	}
	set.leaveOut()
	set.leaveOutHeads(parts)
	for i, img := range set.list {
		img.order = i
	}
	return set
}

// addFile makes the images of one Dockerfile.
func (s *images) addFile(file *dockerfile, said []build) {
	last := len(file.list) - 1
	byStage := map[int][]build{}
	for _, b := range said {
		if stage := file.find(b.target); stage >= 0 && (b.target == "" || targetName.MatchString(b.target) && len(b.target) <= maxName) {
			byStage[stage] = append(byStage[stage], b)
		}
	}
	wanted := file.ownStages()
	for stage := range byStage {
		wanted[stage] = true
	}
	delete(wanted, last)
	file.several = len(wanted) > 0
	for stage := range file.list {
		if stage != last && !wanted[stage] {
			continue
		}
		target := ""
		if stage != last {
			target = file.list[stage].Name
		}
		s.addVariants(file, stage, target, byStage[stage])
	}
}

// addVariants makes one image for every set of arguments that a stage is built
// with.
func (s *images) addVariants(file *dockerfile, stage int, target string, said []build) {
	var variants []*image
	slices.SortStableFunc(said, func(a, b build) int { return a.rank - b.rank })
	for _, b := range said {
		if len(variants) >= maxVariants {
			break
		}
		if b.rank > said[0].rank {
			if len(variants) == 1 {
				variants[0].hear(b)
			}
			continue
		}
		if known := sameImage(variants, b); known != nil {
			known.hear(b)
			continue
		}
		args := relevant(file, b.args)
		at := slices.IndexFunc(variants, func(v *image) bool {
			first := v.said[0]
			return maps.Equal(v.args, args) && (slices.Equal(first.names, b.names) || first.parent == "" && b.parent == "")
		})
		if at >= 0 {
			variants[at].said = append(variants[at].said, b)
			continue
		}
		variants = append(variants, &image{file: file, stage: stage, target: target, args: args, said: []build{b}})
	}
	if len(variants) == 0 {
		variants = []*image{{file: file, stage: stage, target: target}}
	}
	for _, v := range variants {
		if len(s.list) >= maxLayers {
			return
		}
		for _, b := range v.said {
			v.because("%s builds it%s.", b.source, called(b))
		}
		if len(variants) > 1 && len(v.args) > 0 {
			v.because("The same Dockerfile is built %d times with different arguments.", len(variants))
		}
		s.list = append(s.list, v)
	}
}

// sameImage is the variant that CI builds once more: its builds are different
// images only if they go by different names.
func sameImage(variants []*image, b build) *image {
	if b.rank < rankCI || len(variants) == 0 {
		return nil
	}
	if len(b.names) == 0 {
		return variants[0]
	}
	for _, v := range variants {
		first := v.said[0]
		if len(first.names) == 0 || parseReference(first.names[0]).name == parseReference(b.names[0]).name {
			return v
		}
	}
	return nil
}

// hear adds what a lesser source says: names, and arguments that the Dockerfile
// needs and no better source gives.
func (i *image) hear(b build) {
	i.said = append(i.said, b)
	for name, value := range relevant(i.file, b.args) {
		if _, given := i.args[name]; !given && !i.file.hasDefault(name) {
			i.args[name] = value
		}
	}
}

func called(b build) string {
	if len(b.names) == 0 {
		return ""
	}
	return fmt.Sprintf(" as %s", b.names[0])
}

// relevant keeps the arguments that the Dockerfile declares.
func relevant(file *dockerfile, args map[string]string) map[string]string {
	out := map[string]string{}
	for name, value := range args {
		if file.declares(name) {
			out[name] = value
		}
	}
	return out
}

// leaveOut marks the images of Dockerfiles that serve something else.
func (s *images) leaveOut() {
	for _, img := range s.list {
		img.leftOut = beside(img.file.path)
	}
	s.takeBack()
}

// takeBack takes those that serve something else where nothing is left but
// them: then it is the lab that lies there. It reports whether it did.
func (s *images) takeBack() bool {
	if slices.ContainsFunc(s.list, func(img *image) bool { return img.leftOut == "" }) {
		return false
	}
	taken := false
	for _, img := range s.list {
		if what := beside(img.file.path); what != "" && !img.open {
			img.doubt("The Dockerfile %s.", what)
			img.leftOut, taken = "", true
		}
	}
	return taken
}

// leaveOutHeads leaves out Dockerfiles that lie among parts without FROM: they
// are the heads of files that something else puts together.
func (s *images) leaveOutHeads(parts map[string]bool) {
	kept := 0
	for _, img := range s.list {
		if !parts[img.dir()] && img.leftOut == "" {
			kept++
		}
	}
	for _, img := range s.list {
		if parts[img.dir()] && img.leftOut == "" && kept > 0 && len(img.said) == 0 {
			img.leftOut = "lies among parts without FROM, which something else puts together"
		}
	}
}
