package scaffold

import (
	"path"
	"regexp"
	"strings"
)

// builder finds a command that builds an image.
var builder = regexp.MustCompile(`(?:^|[\s/@])(?:docker|podman|nerdctl|buildah|img)\s+(?:buildx\s+|image\s+|builder\s+)?(?:build|bud)\s`)

// optionsWithValue are those of docker build that take the next word.
var optionsWithValue = words(`-t --tag -f --file --build-arg --target --platform --label
	--cache-from --cache-to --network --progress -o --output --secret --ssh --iidfile
	--metadata-file --build-context --add-host --shm-size -m --memory --cpuset-cpus
	--builder --pull-policy --attest --annotation --allow --ulimit --volume -v --squash-all`)

// commandBuilds reads the docker build commands of a shell line that runs in a
// directory of the repository.
func (r *repository) commandBuilds(line, dir string) []build {
	var builds []build
	for _, command := range commandEnd.Split(line, -1) {
		command = strings.TrimLeft(strings.TrimSpace(command), "@-+( ")
		if to, ok := strings.CutPrefix(command, "cd "); ok {
			if to = strings.Trim(strings.TrimSpace(to), `"'`); strings.ContainsAny(to, unknown+"$ ") || path.IsAbs(to) {
				return builds
			}
			dir = path.Join(dir, to)
			continue
		}
		at := builder.FindStringIndex(command)
		if at == nil {
			continue
		}
		if b, ok := parseBuild(strings.Fields(command[at[1]:]), dir); ok {
			if _, _, err := r.find(b.dockerfile); err == nil {
				builds = append(builds, b)
			}
		}
	}
	return builds
}

// parseBuild reads the options of docker build; ok is false where the context
// or the Dockerfile is not known.
func parseBuild(args []string, dir string) (build, bool) {
	b := build{args: map[string]string{}}
	file, context := "", ""
	for i := 0; i < len(args); i++ {
		word := strings.Trim(args[i], `"'`)
		if word == ">" || strings.HasPrefix(word, ">") || strings.HasPrefix(word, "2>") {
			break
		}
		if !strings.HasPrefix(word, "-") {
			if word != "" && word != unknown {
				context = word
			}
			continue
		}
		name, value, ok := strings.Cut(word, "=")
		if !ok && optionsWithValue[name] {
			if i++; i >= len(args) {
				return b, false
			}
			value = strings.Trim(args[i], `"'`)
		}
		switch name {
		case "-t", "--tag":
			if known := knownReference(value); known != "" {
				b.names = append(b.names, known)
			}
		case "-f", "--file":
			file = value
		case "--target":
			b.target = value
		case "--build-arg":
			if key, value, ok := strings.Cut(value, "="); ok {
				if known := knownReference(value); known != "" {
					b.args[key] = known
				}
			}
		}
	}
	if context == "" || strings.ContainsAny(context+file+b.target, unknown+"$`*") || path.IsAbs(context) || path.IsAbs(file) || strings.Contains(context, "://") || context == "-" {
		return b, false
	}
	b.context = path.Join(dir, context)
	b.dockerfile = path.Join(b.context, "Dockerfile")
	if file != "" {
		b.dockerfile = path.Join(dir, file)
	}
	return b, !strings.HasPrefix(b.context, "..") && !strings.HasPrefix(b.dockerfile, "..")
}

// knownReference cuts off a tag that is not known; empty if more is not.
func knownReference(text string) string {
	text = strings.Trim(text, `"'`)
	if !strings.ContainsAny(text, unknown+"$`") {
		return strings.TrimSuffix(text, ":")
	}
	if i := strings.LastIndex(text, ":"); i > strings.LastIndex(text, "/") && i > 0 && !strings.ContainsAny(text[:i], unknown+"$`") {
		return text[:i]
	}
	return ""
}
