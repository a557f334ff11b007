package inventory

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lab-layers/lab-layers/pipeline"
	"github.com/lab-layers/lab-layers/pipeline/cuda"
)

// conclude says what follows from an image's files and variables.
func conclude(known findings, env map[string]string, incomplete string) pipeline.Metadata {
	traces := known.all()
	m := pipeline.Metadata{Frameworks: frameworksIn(traces), Incomplete: incomplete}
	for _, t := range traces {
		m.Evidence = append(m.Evidence, t.finding())
	}
	shown := cudaIn(traces, env)
	if best, ok := strongest(shown); ok {
		m.CUDA = &pipeline.Finding{Name: "cuda", Version: best.version.String(), Evidence: best.evidence}
	}
	m.Driver = driverFor(shown, env)
	m.GPU = gpuFor(m, traces)
	return m
}

// frameworksIn lists the frameworks, one for each version of them.
func frameworksIn(traces []trace) []pipeline.Finding {
	type found struct {
		place int
		pipeline.Finding
	}
	var list []found
	for _, t := range traces {
		place, ok := frameworkOf(t.name)
		// dpkg knows better what it put there: Debian's torch 1.13.1 calls itself
		// 1.13.0a0+gitunknown.
		if !ok || slices.ContainsFunc(traces, func(o trace) bool { return o.kind == debPkg && o.explains(t) }) {
			continue
		}
		f := t.finding()
		f.Name = frameworks[place].name
		if t.kind == debPkg {
			f.Version = upstream(f.Version)
		}
		if !slices.ContainsFunc(list, func(l found) bool { return l.place == place && l.Version == f.Version }) {
			list = append(list, found{place, f})
		}
	}
	slices.SortStableFunc(list, func(a, b found) int { return a.place - b.place })
	findings := []pipeline.Finding{}
	for _, l := range list {
		findings = append(findings, l.Finding)
	}
	return findings
}

// showing is a version of CUDA and what shows it.
type showing struct {
	version  cuda.Version
	strength int
	evidence string
}

func cudaIn(traces []trace, env map[string]string) []showing {
	var list []showing
	for _, t := range traces {
		if v := t.cuda(); v.Known() {
			list = append(list, showing{v, t.strength(), t.finding().Evidence})
		}
	}
	// NVIDIA's images have the versions of what they were made with.
	for _, name := range []string{cuda.VersionOnly, "NV_CUDA_CUDART_VERSION", "NV_CUDA_LIB_VERSION"} {
		if v := cuda.Parse(env[name]); v.Known() {
			list = append(list, showing{v, 3, variable(name, env[name])})
		}
	}
	if v := cuda.ParseRequirement(env[cuda.RequireCUDA]).CUDA(); v.Known() {
		list = append(list, showing{v, 4, variable(cuda.RequireCUDA, env[cuda.RequireCUDA])})
	}
	return list
}

// strongest is the best shown version: by the strongest evidence the newest, and
// if that tells only the major, then with the minor that the next evidence has.
func strongest(list []showing) (showing, bool) {
	if len(list) == 0 {
		return showing{}, false
	}
	sorted := slices.SortedStableFunc(slices.Values(list), func(a, b showing) int {
		if a.strength != b.strength {
			return a.strength - b.strength
		}
		return b.version.Compare(a.version)
	})
	best := sorted[0]
	for _, s := range sorted {
		if s.version.Major == best.version.Major && s.version.Minor >= 0 {
			return s, true
		}
	}
	return best, true
}

// driverFor is the lowest driver that meets all that an image shows: the floor
// of every CUDA in it, and what its variables require. The variables alone are
// too permissive, as CUDA 13 images allow drivers of 550.
func driverFor(shown []showing, env map[string]string) *pipeline.Finding {
	var lowest cuda.Driver
	var evidence string
	for _, s := range shown {
		if v := s.version.Floor(); v.Compare(lowest) > 0 {
			lowest = v
			evidence = fmt.Sprintf("CUDA %d runs on no older one (%s); %s", s.version.Major, cuda.Source, s.evidence)
		}
	}
	all := cuda.Required(env)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if v := all[name].Lowest(); v.Compare(lowest) > 0 {
			lowest, evidence = v, variable(name, env[name])
		}
	}
	if !lowest.Known() {
		return nil
	}
	return &pipeline.Finding{Name: "driver", Version: lowest.String(), Evidence: evidence}
}

// gpuFor says whether a GPU is needed. That none is takes evidence, and that
// nothing was missed.
func gpuFor(m pipeline.Metadata, traces []trace) pipeline.Finding {
	switch {
	case m.CUDA != nil:
		return pipeline.Finding{Name: pipeline.GPURequired, Evidence: m.CUDA.Evidence}
	case m.Driver != nil:
		return pipeline.Finding{Name: pipeline.GPURequired, Evidence: m.Driver.Evidence}
	case m.Incomplete != "":
		return pipeline.Finding{Name: pipeline.GPUUnknown, Evidence: "not all was looked at"}
	}
	none := pipeline.Finding{}
	for _, t := range traces {
		if t.withoutCUDA() {
			none = pipeline.Finding{Name: pipeline.GPUNone, Evidence: t.finding().Evidence}
		}
		if t.eitherWay() && !slices.ContainsFunc(traces, func(o trace) bool { return o.withoutCUDA() && o.explains(t) }) {
			return pipeline.Finding{Name: pipeline.GPUUnknown, Evidence: t.finding().Evidence + " may be a build with CUDA"}
		}
	}
	if none.Name != "" {
		return none
	}
	return pipeline.Finding{Name: pipeline.GPUUnknown, Evidence: "nothing shows a build with or without CUDA"}
}

// variable is an environment variable as evidence, cut to what people read.
func variable(name, value string) string {
	value = strings.ToValidUTF8(value, "?")
	if runes := []rune(value); len(runes) > 120 {
		value = string(runes[:119]) + "…"
	}
	return fmt.Sprintf("env: %s=%s", name, value)
}
