package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/lab-layers/lab-layers/layers"
)

const examples = "../../docs/examples"

// object is what the test reads of a Kubernetes object, and no more.
type object struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   struct {
		Name string
	}
	Spec struct {
		ServiceName string `yaml:"serviceName"`
		Selector    any
		PodSelector selector `yaml:"podSelector"`
		Template    struct {
			Metadata struct{ Labels map[string]string }
			Spec     struct {
				Grace      int `yaml:"terminationGracePeriodSeconds"`
				Containers []container
				Volumes    []struct {
					Name      string
					ConfigMap struct{ Name string } `yaml:"configMap"`
				}
			}
		}
		Claims []object `yaml:"volumeClaimTemplates"`
	}
}

type selector struct {
	MatchLabels map[string]string `yaml:"matchLabels"`
}

type container struct {
	Image string
	Args  []string
	Env   []struct{ Name string }
	Ports []struct {
		Name          string
		ContainerPort int `yaml:"containerPort"`
	}
	StartupProbe   probe                   `yaml:"startupProbe"`
	LivenessProbe  probe                   `yaml:"livenessProbe"`
	ReadinessProbe probe                   `yaml:"readinessProbe"`
	VolumeMounts   []struct{ Name string } `yaml:"volumeMounts"`
}

type probe struct {
	HTTPGet struct{ Path, Port string } `yaml:"httpGet"`
}

// kubernetes reads the objects that the kustomization lists, by kind and name.
func kubernetes(t *testing.T) map[string]object {
	t.Helper()
	var root struct {
		Resources []string
		Generator []struct {
			Name  string
			Files []string
		} `yaml:"configMapGenerator"`
	}
	text := example(t, "kubernetes/kustomization.yaml")
	if err := yaml.Unmarshal([]byte(text), &root); err != nil {
		t.Fatal(err)
	}
	listed := append(slices.Clone(root.Resources), "kustomization.yaml")
	all := map[string]object{}
	for _, g := range root.Generator {
		for _, file := range g.Files {
			_, name, _ := strings.Cut(file, "=")
			listed = append(listed, name)
		}
		all["ConfigMap "+g.Name] = object{}
	}
	there, err := os.ReadDir(filepath.Join(examples, "kubernetes"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range there {
		if !slices.Contains(listed, file.Name()) {
			t.Errorf("kustomization.yaml does not list %s", file.Name())
		}
	}
	for _, name := range root.Resources {
		if filepath.Ext(name) == "" {
			continue // a directory: what is generated
		}
		decoder := yaml.NewDecoder(strings.NewReader(example(t, "kubernetes/"+name)))
		for {
			var o object
			err := decoder.Decode(&o)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil || o.APIVersion == "" || o.Kind == "" || o.Metadata.Name == "" {
				t.Fatalf("%s: %v: %+v", name, err, o)
			}
			all[o.Kind+" "+o.Metadata.Name] = o
		}
	}
	return all
}

func example(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(examples, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// settings reads an agent's arguments with a file of settings in the place that
// they name.
func settings(t *testing.T, file string, args ...string) *agentFlags {
	t.Helper()
	if len(args) == 0 || args[0] != "agent" {
		t.Fatalf("%v do not run the agent", args)
	}
	f := new(agentFlags)
	cmd := f.command()
	if err := cmd.ParseFlags(args[1:]); err != nil {
		t.Fatal(err)
	}
	if want := "/etc/lab-layers/agent.yaml"; f.config != want {
		t.Errorf("the settings are %s, not %s", f.config, want)
	}
	f.config = file
	if err := f.complete(cmd.Flags()); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestKubernetesExample holds that the example's parts fit each other and the
// agent's flags.
func TestKubernetesExample(t *testing.T) {
	all := kubernetes(t)
	deployment, set := all["Deployment agent"], all["StatefulSet buildkitd"]
	if len(deployment.Spec.Template.Spec.Containers) != 1 || len(set.Spec.Template.Spec.Containers) != 1 {
		t.Fatalf("the objects are %+v", all)
	}
	pod := deployment.Spec.Template.Spec
	c := pod.Containers[0]
	f := settings(t, filepath.Join(examples, "kubernetes", "settings.yaml"), c.Args...)
	if time.Duration(pod.Grace)*time.Second <= f.drain || f.drain == 0 {
		t.Errorf("a pod may take %d s to stop, and its runs %v", pod.Grace, f.drain)
	}
	if _, port, _ := strings.Cut(f.listening.address, ":"); len(c.Ports) != 1 || port != strconv.Itoa(c.Ports[0].ContainerPort) {
		t.Errorf("the agent listens at %s, the container has %+v", f.listening.address, c.Ports)
	}
	for what, want := range map[probe]string{c.StartupProbe: "/healthz", c.LivenessProbe: "/healthz", c.ReadinessProbe: "/readyz"} {
		if what.HTTPGet.Path != want || what.HTTPGet.Port != c.Ports[0].Name {
			t.Errorf("a probe asks %+v, want %s", what.HTTPGet, want)
		}
	}
	var environment []string
	for _, e := range c.Env {
		environment = append(environment, e.Name)
	}
	for _, want := range []string{"LAB_LAYERS_DATABASE_URL", "DOCKER_CONFIG"} {
		if !slices.Contains(environment, want) {
			t.Errorf("the container is not given %s", want)
		}
	}
	for _, path := range []string{f.stack.dataDir, filepath.Dir(f.listening.secretFile), filepath.Dir(f.listening.tokenFile), "/etc/lab-layers/agent.yaml", "/tmp"} {
		if !strings.Contains(example(t, "kubernetes/agent.yaml"), "mountPath: "+path) {
			t.Errorf("nothing is mounted at %s", path)
		}
	}

	for _, file := range []string{f.remote.tokenFile(""), f.listening.secretFile, f.listening.tokenFile} {
		if !strings.Contains(example(t, "kubernetes/agent.yaml"), "path: "+filepath.Base(file)+"}") {
			t.Errorf("nothing is mounted as %s", file)
		}
	}

	// The agents name each BuildKit by the headless service.
	for i, address := range f.stack.buildkit {
		if want := "tcp://" + set.Metadata.Name + "-" + strconv.Itoa(i) + "." + set.Spec.ServiceName + ":1234"; address != want {
			t.Errorf("a BuildKit is at %s, want %s", address, want)
		}
	}
	for _, o := range []object{deployment, set} {
		claims := map[string]bool{}
		for _, claim := range o.Spec.Claims {
			claims[claim.Metadata.Name] = true
		}
		for _, v := range o.Spec.Template.Spec.Volumes {
			claims[v.Name] = true
			if _, ok := all["ConfigMap "+v.ConfigMap.Name]; v.ConfigMap.Name != "" && !ok {
				t.Errorf("%s: there is no ConfigMap %s", o.Metadata.Name, v.ConfigMap.Name)
			}
		}
		for _, m := range o.Spec.Template.Spec.Containers[0].VolumeMounts {
			if !claims[m.Name] {
				t.Errorf("%s: there is no volume %s", o.Metadata.Name, m.Name)
			}
		}
	}
	// Every selector finds its pods: what is named agent the agents, and so on.
	for name, o := range all {
		labels := deployment.Spec.Template.Metadata.Labels
		if o.Metadata.Name == "buildkitd" {
			labels = set.Spec.Template.Metadata.Labels
		}
		var selected map[string]string
		switch s := o.Spec.Selector.(type) {
		case map[string]any:
			if match, ok := s["matchLabels"].(map[string]any); ok {
				s = match
			}
			selected = map[string]string{}
			for key, value := range s {
				selected[key] = value.(string)
			}
		default:
			selected = o.Spec.PodSelector.MatchLabels
		}
		for key, value := range selected {
			if labels[key] != value {
				t.Errorf("%s selects %s=%s, the pods have %v", name, key, value, labels)
			}
		}
	}
	image := strings.TrimPrefix(set.Spec.Template.Spec.Containers[0].Image, "docker.io/moby/buildkit:")
	version, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}", "github.com/moby/buildkit").Output()
	if err != nil || strings.TrimSpace(string(version)) != image {
		t.Errorf("BuildKit's image is %s, its library %s (%v)", image, version, err)
	}
}

// TestServiceExample holds that the unit runs the agent with flags that there
// are, and waits longer than its runs may take to end.
func TestServiceExample(t *testing.T) {
	unit := map[string]string{}
	scanner := bufio.NewScanner(strings.NewReader(example(t, "lab-layers.service")))
	for scanner.Scan() {
		if name, value, ok := strings.Cut(scanner.Text(), "="); ok && !strings.HasPrefix(name, "#") {
			unit[name] = value
		}
	}
	file := filepath.Join(t.TempDir(), "agent.yaml")
	if err := os.WriteFile(file, []byte("repo: [https://git.example.org/lab.git]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := settings(t, file, strings.Fields(unit["ExecStart"])[1:]...)
	wait, err := time.ParseDuration(strings.TrimSuffix(unit["TimeoutStopSec"], "in"))
	if err != nil || wait <= f.drain || f.drain == 0 {
		t.Errorf("the unit may take %q to stop, its runs %v", unit["TimeoutStopSec"], f.drain)
	}
	if got := f.stack.dataDir; got != "/var/lib/"+unit["StateDirectory"] {
		t.Errorf("the data is in %s, the unit's in %s", got, unit["StateDirectory"])
	}
	if unit["KillMode"] != "mixed" || unit["RestartPreventExitStatus"] != strconv.Itoa(exitInput) {
		t.Errorf("the unit is %v", unit)
	}
}

// TestOwnImage holds that the project plans its own image, that its code and no
// documentation decides about it, and that the Dockerfile takes all the code.
func TestOwnImage(t *testing.T) {
	dockerfile, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	git := func(args ...string) {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=A", "-c", "user.email=a@lab.example"}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", cmd, err, out)
		}
	}
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
		git("add", "-A")
		git("commit", "-q", "-m", name)
	}
	git("init", "-q", "-b", "main")
	files := []string{"go.mod", "go.sum"}
	list, err := exec.Command("go", "list", "-deps", "-f", "{{.ImportPath}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for path := range strings.Lines(string(list)) {
		if ours, ok := strings.CutPrefix(strings.TrimSpace(path), module); ok {
			files = append(files, ours+"/x.go")
		}
	}
	if len(files) < 10 {
		t.Fatalf("the code is %v", files)
	}
	write("Dockerfile", string(dockerfile))
	for _, file := range files {
		write(file, "1")
	}
	step := func() layers.Step {
		t.Helper()
		var out, errs bytes.Buffer
		root := newRoot(&out, &errs)
		root.SetArgs([]string{"plan", "--repo", dir, "--config", filepath.Join(examples, "own-image.yaml"), "-o", "json"})
		var plan layers.Plan
		if err := root.Execute(); err != nil {
			t.Fatalf("%v: %s", err, errs.String())
		}
		if err := json.Unmarshal(out.Bytes(), &plan); err != nil || len(plan.Layers) != 1 {
			t.Fatalf("%v: %s", err, out.String())
		}
		return plan.Layers[0].Step
	}
	for _, file := range files {
		write(file, "2")
		if got := step(); got != layers.Build {
			t.Errorf("a change of %s: %s", file, got)
		}
	}
	write("docs/design.md", "2")
	if got := step(); got != layers.Reuse {
		t.Errorf("a change of the documentation: %s", got)
	}
}

// TestStatic holds that the program can be built without C libraries, of which
// its image has none: nothing in it then needs them.
func TestStatic(t *testing.T) {
	list := func(cgo, what string) []string {
		t.Helper()
		cmd := exec.Command("go", "list", "-deps", "-f", what, ".")
		cmd.Env = append(os.Environ(), "CGO_ENABLED="+cgo)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s with CGO_ENABLED=%s: %v", cmd, cgo, err)
		}
		return strings.Fields(string(out))
	}
	needC := list("1", "{{if and .CgoFiles (not .Standard)}}{{.ImportPath}}{{end}}")
	for _, path := range list("0", "{{.ImportPath}}") {
		if slices.Contains(needC, path) {
			t.Errorf("%s needs C and is in the program also without: keep what imports it to files with \"//go:build cgo\"", path)
		}
	}
	if dockerfile, err := os.ReadFile("../../Dockerfile"); err != nil || !strings.Contains(string(dockerfile), "CGO_ENABLED=0 go build") {
		t.Errorf("the image's program is built with C, %v", err)
	}
}
