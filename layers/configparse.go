package layers

import (
	"fmt"
	"path"
	"slices"
)

// Platforms that layers can be built for; the first is the default.
var platformNames = []string{"linux/amd64", "linux/arm64"}

// ParseConfig reads a lab-layers.yaml. The file's name is only used to say
// where a fault is. The error is [Faults], every mistake at once; the same text
// always gives the same result.
func ParseConfig(file string, data []byte) (*Config, error) {
	faults := &faultList{}
	var written configText
	if root := parseYAML(file, data, faults); root != nil {
		reader := newYAMLReader(file, faults)
		reader.read(root, ConfigFile, &written)
		cfg := written.config(faults)
		if len(faults.all) == 0 {
			return cfg, nil
		}
	}
	return nil, faults.sorted()
}

// config checks every value and fills in the defaults.
func (t *configText) config(faults *faultList) *Config {
	if t.At.Line == 0 {
		return nil // not even a mapping, and reported as such
	}
	if t.Version.At.Line != 0 && t.Version.Value != 1 {
		faults.add(t.Version.At, fmt.Sprintf("version %d is not supported", t.Version.Value), "this lab-layers reads version 1")
	}
	cfg := &Config{Version: 1, Platform: platformNames[0], Refs: DefaultRefs()}
	if t.Platform.given() {
		cfg.Platform = t.Platform.Value
		if !t.Platform.Bad && !slices.Contains(platformNames, cfg.Platform) {
			faults.add(t.Platform.At, fmt.Sprintf("platform %s is not supported", quoted(cfg.Platform)),
				faults.didYouMean(cfg.Platform, platformNames, "take linux/amd64 or linux/arm64"))
		}
	}
	if len(t.Layers) == 0 {
		faults.add(t.At, "there are no layers", "list at least one under \"layers\", with name and kind")
	}
	list := make([]Layer, 0, len(t.Layers))
	for i := range t.Layers {
		if t.Layers[i].At.Line != 0 {
			list = append(list, t.Layers[i].layer(faults))
		}
	}
	cfg.Layers = order(list, faults)
	if t.Refs != nil {
		cfg.Refs = refRules(t, faults)
	}
	return cfg
}

func (t yamlText) given() bool { return t.At.known() }

// check reports a given text that has a problem.
func (t yamlText) check(problem func(string) (problem, remedy string), faults *faultList) {
	if !t.given() || t.Bad {
		return
	}
	if problem, remedy := problem(t.Value); problem != "" {
		faults.add(t.At, problem, remedy)
	}
}

// layer checks one layer by itself.
func (t *layerText) layer(faults *faultList) Layer {
	l := Layer{
		Name: Name(t.Name.Value), Kind: Kind(t.Kind.Value), Parent: Name(t.Parent.Value),
		From: t.From.Value, Target: t.Target.Value, Position: t.Name.At,
		at: layerPlaces{Kind: t.Kind.At, Parent: t.Parent.At, From: t.From.At, Context: t.Context.At, Dockerfile: t.Dockerfile.At, Target: t.Target.At},
	}
	if !t.Name.given() {
		l.Position = t.At
		faults.add(t.At, "a layer has no name", "add \"name\"")
	}
	if !t.Kind.given() {
		faults.add(t.At, fmt.Sprintf("layer %s has no kind", quoted(t.Name.Value)), "add \"kind\": base, framework or experiment")
	} else if !t.Kind.Bad && l.Kind.rank() < 0 {
		faults.add(t.Kind.At, "unknown kind "+quoted(t.Kind.Value),
			faults.didYouMean(t.Kind.Value, kindNames, "take base, framework or experiment"))
	}
	if t.From.given() && !t.Parent.given() {
		faults.add(t.From.At, "\"from\" says what the parent stands in for, and there is no parent", "add \"parent\", or take \"from\" out")
	}
	if t.Parent.Bad {
		l.at.Parent = Position{}
	}
	t.Name.check(nameProblem, faults)
	t.From.check(fromProblem, faults)
	t.Target.check(targetProblem, faults)
	t.Context.check(pathProblem, faults)
	t.Dockerfile.check(pathProblem, faults)
	l.Context = path.Clean(t.Name.Value)
	if t.Context.given() {
		l.Context = path.Clean(t.Context.Value)
	}
	l.Dockerfile = path.Join(l.Context, "Dockerfile")
	if t.Dockerfile.given() {
		if l.Dockerfile = path.Clean(t.Dockerfile.Value); l.Dockerfile == "." && t.Dockerfile.Value != "" {
			faults.add(t.Dockerfile.At, "the Dockerfile is a directory", "name the file in it")
		}
	}
	for _, arg := range t.Args {
		arg.Name.check(argumentProblem, faults)
		arg.Value.check(valueProblem, faults)
		if l.Args == nil {
			l.Args = make(map[string]string, len(t.Args))
		}
		l.Args[arg.Name.Value] = arg.Value.Value
	}
	l.Secrets = ids(t.Secrets, faults)
	l.SSH = ids(t.SSH, faults)
	return l
}

// ids checks the ids of secrets or of ssh agents.
func ids(list []yamlText, faults *faultList) []string {
	var values []string
	seen := map[string]bool{}
	for _, id := range list {
		id.check(idProblem, faults)
		if seen[id.Value] && id.given() {
			faults.add(id.At, fmt.Sprintf("id %s is listed twice", quoted(id.Value)), "keep one of them")
		}
		seen[id.Value] = true
		values = append(values, id.Value)
	}
	return values
}
