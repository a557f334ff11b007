package gpu

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lab-layers/lab-layers/pipeline"
)

// Judge says whether an image runs on every one of the nodes that its pods may
// come to. The worst node decides.
func Judge(n Need, w Wish, eligible []Node) Verdict {
	switch {
	case w.GPUs <= 0:
		return Verdict{Level: OK, Reason: "it asks for no GPU"}
	case n.GPU == pipeline.GPUNone:
		return single(Remark{Level: Warn, Needs: "it asks for a GPU that its frameworks cannot use (" + brief(n.GPUEvidence) + ")"})
	case len(eligible) == 0:
		return single(Remark{Level: Unknown, Needs: n.text(), Remedy: "there is no node that it may run on"})
	}
	var remarks []Remark
	add := func(all ...Remark) {
		for _, r := range all {
			i := slices.IndexFunc(remarks, func(o Remark) bool {
				return o.Level == r.Level && o.Needs == r.Needs && o.Has == r.Has && o.Remedy == r.Remedy
			})
			if i >= 0 {
				remarks[i].Nodes = append(remarks[i].Nodes, r.Nodes...)
				continue
			}
			remarks = append(remarks, r)
		}
	}
	add(n.doubts()...)
	for _, node := range slices.SortedFunc(slices.Values(eligible), func(a, b Node) int { return strings.Compare(a.Name, b.Name) }) {
		add(check{n, w, node}.remarks()...)
	}
	slices.SortStableFunc(remarks, func(a, b Remark) int { return order[b.Level] - order[a.Level] })
	if len(remarks) == 0 {
		return Verdict{Level: OK, Reason: line(n.text() + "; " + nodes(names(eligible)) + " will do")}
	}
	return verdict(remarks)
}

// maxReasons is how many remarks make the reason's one line.
const maxReasons = 3

func verdict(remarks []Remark) Verdict {
	v := Verdict{Level: remarks[0].Level, Remarks: remarks}
	var lines []string
	for _, r := range remarks {
		if r.Level == v.Level {
			lines = append(lines, r.String())
		}
	}
	if more := len(lines) - maxReasons; more > 0 {
		lines = append(lines[:maxReasons], fmt.Sprintf("and %d more", more))
	}
	v.Reason = line(strings.Join(lines, ". "))
	return v
}

func single(r Remark) Verdict { return verdict([]Remark{r}) }

func names(list []Node) []string {
	var all []string
	for _, n := range list {
		all = append(all, n.Name)
	}
	slices.Sort(all)
	return all
}

// text is what is needed, in one line.
func (n Need) text() string {
	switch {
	case n.Driver.Known():
		return n.driverText()
	case n.CUDA.Known():
		return fmt.Sprintf("brings CUDA %s (%s)", n.CUDA, brief(n.CUDAEvidence))
	}
	return "it is unknown which driver it needs"
}

// doubts are what is not known of the image itself.
func (n Need) doubts() []Remark {
	var list []Remark
	switch {
	case !n.Driver.Known() && n.CUDA.Known():
		list = append(list, Remark{Level: Unknown, Needs: fmt.Sprintf("no driver is known for CUDA %s (%s)", n.CUDA, brief(n.CUDAEvidence)), Remedy: "a newer lab-layers may know it"})
	case !n.Driver.Known():
		list = append(list, Remark{Level: Unknown, Needs: fmt.Sprintf("it is unknown which driver it needs (%s)", brief(n.GPUEvidence)), Remedy: declare})
	}
	if n.Incomplete != "" {
		list = append(list, Remark{Level: Unknown, Needs: fmt.Sprintf("it may need more than was found (%s)", n.Incomplete)})
	}
	return list
}

const declare = "declare it in its Dockerfile, such as ENV NVIDIA_REQUIRE_CUDA=cuda>=12.6"
