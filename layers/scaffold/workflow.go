package scaffold

import (
	"path"
	"regexp"
	"strings"

	"gopkg.in/yaml.v3"
)

// Limits on what is followed of workflows.
const (
	maxCombinations = 64  // of one matrix
	maxJobs         = 512 // of all workflows, those that others use each time anew
	maxUses         = 3   // workflows in workflows
)

// isWorkflow takes GitHub's workflows and actions.
func isWorkflow(file string) bool {
	return strings.HasPrefix(file, ".github/workflows/") && (strings.HasSuffix(file, ".yml") || strings.HasSuffix(file, ".yaml"))
}

// workflowFile is what matters of a workflow.
type workflowFile struct {
	On   yaml.Node
	Env  map[string]yaml.Node
	Jobs yaml.Node
}

type workflowJob struct {
	Env      map[string]yaml.Node
	Uses     string
	With     map[string]yaml.Node
	Strategy struct{ Matrix yaml.Node }
	Defaults struct {
		Run struct {
			Dir string `yaml:"working-directory"`
		}
	}
	Steps []workflowStep
}

type workflowStep struct {
	Uses string
	Run  string
	Dir  string `yaml:"working-directory"`
	Env  map[string]yaml.Node
	With map[string]yaml.Node
}

// workflows follows the jobs that build images.
type workflows struct {
	repo   *repository
	source string // the file that began it
	jobs   int
	builds []build
}

// readWorkflow takes the steps that use docker/build-push-action, and the
// docker build commands of others.
func (r *repository) readWorkflow(file string, text []byte) []build {
	w := &workflows{repo: r, source: file}
	w.read(text, values{}, 0)
	return w.builds
}

// read follows one file's jobs, given the inputs that another passes to it.
func (w *workflows) read(text []byte, inputs values, depth int) {
	var doc workflowFile
	if yaml.Unmarshal(text, &doc) != nil || doc.Jobs.Kind != yaml.MappingNode {
		return
	}
	given := defaultInputs(doc.On)
	for name, value := range inputs {
		given[name] = value
	}
	env := values{}
	env.add("env.", doc.Env, given)
	for i := 1; i < len(doc.Jobs.Content); i += 2 {
		var job workflowJob
		if w.jobs++; w.jobs > maxJobs || doc.Jobs.Content[i].Decode(&job) != nil {
			continue
		}
		for _, combination := range combinations(job.Strategy.Matrix) {
			vars := given.with(env).with(combination)
			vars.add("env.", job.Env, vars)
			if job.Uses != "" {
				w.use(job, vars, depth)
				continue
			}
			for _, step := range job.Steps {
				w.step(step, job.Defaults.Run.Dir, vars)
			}
		}
	}
}

// use follows a job that is another workflow of the repository.
func (w *workflows) use(job workflowJob, vars values, depth int) {
	file, ok := strings.CutPrefix(job.Uses, "./")
	if !ok || depth >= maxUses || !isWorkflow(path.Clean(file)) {
		return
	}
	text, err := w.repo.read(file, maxEvidence)
	if err != nil {
		return
	}
	inputs := values{}
	inputs.add("inputs.", job.With, vars)
	w.read(text, inputs, depth+1)
}

func (w *workflows) step(step workflowStep, dir string, vars values) {
	vars = vars.with(nil)
	vars.add("env.", step.Env, vars)
	if strings.HasPrefix(step.Uses, "docker/build-push-action@") {
		w.action(step, vars)
		return
	}
	if step.Run == "" || !builder.MatchString(step.Run) {
		return
	}
	dir = vars.expand(dir)
	if step.Dir != "" {
		dir = vars.expand(step.Dir)
	}
	if dir = repositoryPath(".", dir); strings.Contains(dir, unknown) {
		return
	}
	shell := map[string]string{}
	for name, value := range vars {
		if name, ok := strings.CutPrefix(name, "env."); ok {
			shell[name] = value
		}
	}
	w.builds = append(w.builds, w.repo.scriptBuilds(w.source, vars.expand(step.Run), dir, rankCI, shell)...)
}

// action reads the inputs of docker/build-push-action.
func (w *workflows) action(step workflowStep, vars values) {
	with := values{}
	with.add("", step.With, vars)
	context := orDot(strings.TrimSpace(with["context"]))
	if strings.Contains(context, "://") || strings.Contains(context, unknown) {
		return
	}
	b := build{source: w.source, rank: rankCI, context: repositoryPath(".", context), target: with["target"], args: map[string]string{}}
	b.dockerfile = path.Join(b.context, "Dockerfile")
	if file := strings.TrimSpace(with["file"]); file != "" {
		b.dockerfile = repositoryPath(".", file)
	}
	if strings.Contains(b.context+b.dockerfile+b.target, unknown) || !w.repo.hasFile(b.dockerfile) {
		return
	}
	for line := range strings.Lines(strings.ReplaceAll(with["tags"], ",", "\n")) {
		line = strings.TrimSpace(line)
		if name := knownReference(line); name != "" && strings.Trim(name, unknown) != "" {
			b.names = append(b.names, name)
		} else if name := lastPart(line); name != "" {
			b.names = append(b.names, name)
		}
	}
	for line := range strings.Lines(with["build-args"]) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			b.give(name, value)
		}
	}
	w.builds = append(w.builds, b)
}

// expression is a value that GitHub fills in.
var expression = regexp.MustCompile(`\$\{\{([^}]*)\}\}`)
