package scaffold

import (
	"strings"

	"gopkg.in/yaml.v3"
)

// maxExtends bounds jobs that extend jobs.
const maxExtends = 4

// isPipeline takes GitLab's pipelines.
func isPipeline(name string) bool {
	return strings.HasSuffix(name, ".gitlab-ci.yml") || strings.HasSuffix(name, ".gitlab-ci.yaml")
}

// pipelineJob is what matters of a job. A script is a text, or a list of texts
// and lists.
type pipelineJob struct {
	Extends   any
	Variables map[string]yaml.Node
	Before    any `yaml:"before_script"`
	Script    any
	Parallel  struct{ Matrix []map[string]yaml.Node }
}

// pipeline is one of GitLab's, with its jobs and templates of jobs.
type pipeline struct {
	repo   *repository
	source string
	global map[string]yaml.Node
	jobs   map[string]pipelineJob
	builds []build
}

// readPipeline takes the commands in scripts of jobs that build images. Jobs
// run in the root, wherever the file lies.
func (r *repository) readPipeline(file string, text []byte) []build {
	var doc map[string]yaml.Node
	if yaml.Unmarshal(text, &doc) != nil {
		return nil
	}
	p := &pipeline{repo: r, source: file, jobs: map[string]pipelineJob{}}
	for _, name := range sortedKeys(doc) {
		node := doc[name]
		if name == "variables" {
			_ = node.Decode(&p.global) // what does not decode says nothing
			continue
		}
		var job pipelineJob
		// A matrix that is only a number does not decode; the rest of the job does.
		if _ = node.Decode(&job); node.Kind == yaml.MappingNode && len(p.jobs) < maxJobs {
			p.jobs[name] = job
		}
	}
	for _, name := range sortedKeys(p.jobs) {
		if !strings.HasPrefix(name, ".") {
			p.job(p.extended(name, maxExtends))
		}
	}
	return p.builds
}

// extended is a job with what it lacks taken from those that it extends.
func (p *pipeline) extended(name string, depth int) pipelineJob {
	job := p.jobs[name]
	if depth == 0 {
		return job
	}
	for _, from := range scriptLines(job.Extends) {
		under := p.extended(from, depth-1)
		job.Variables = laid(under.Variables, job.Variables)
		if job.Before == nil {
			job.Before = under.Before
		}
		if job.Script == nil {
			job.Script = under.Script
		}
		if job.Parallel.Matrix == nil {
			job.Parallel = under.Parallel
		}
	}
	return job
}

// job follows a job's script, once for each set of the variables in its matrix.
func (p *pipeline) job(job pipelineJob) {
	text := strings.Join(append(scriptLines(job.Before), scriptLines(job.Script)...), "\n")
	if !builder.MatchString(text) && !kaniko.MatchString(text) {
		return
	}
	sets := []values{{}}
	for i, row := range job.Parallel.Matrix {
		if i == 0 {
			sets = nil
		}
		sets = append(sets, rowSets(row)...)
	}
	for _, set := range sets[:min(len(sets), maxCombinations)] {
		s := &script{repo: p.repo, vars: map[string]string{}, dir: "."}
		for _, nodes := range []map[string]yaml.Node{p.global, job.Variables} {
			for _, name := range sortedKeys(nodes) {
				s.vars[name] = s.expand(plainValue(nodes[name]))
			}
		}
		for name, value := range set {
			s.vars[name] = value
		}
		p.builds = append(p.builds, p.repo.scriptBuilds(p.source, text, ".", rankCI, s.vars)...)
	}
}

// rowSets are the combinations of one row of a matrix.
func rowSets(row map[string]yaml.Node) []values {
	sets := []values{{}}
	for _, name := range sortedKeys(row) {
		node := row[name]
		items := []string{node.Value}
		if node.Kind == yaml.SequenceNode {
			items = nil
			for _, item := range node.Content {
				items = append(items, item.Value)
			}
		}
		var product []values
		for _, set := range sets {
			for _, item := range items[:min(len(items), maxCombinations)] {
				if len(product) < maxCombinations {
					product = append(product, set.with(values{name: item}))
				}
			}
		}
		sets = product
	}
	return sets
}

// plainValue is a variable's value, which may stand beside its description.
func plainValue(node yaml.Node) string {
	var described struct{ Value string }
	if node.Kind == yaml.MappingNode && node.Decode(&described) == nil {
		return described.Value
	}
	return node.Value
}

// scriptLines are the texts of what may be one, a list of them, or lists in it.
func scriptLines(script any) []string {
	switch s := script.(type) {
	case string:
		return []string{s}
	case []any:
		var lines []string
		for _, item := range s {
			lines = append(lines, scriptLines(item)...)
		}
		return lines
	}
	return nil
}
