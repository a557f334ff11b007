package scaffold

import (
	"cmp"
	"path"
	"regexp"
	"strings"
)

// builder finds a command that builds an image.
var builder = regexp.MustCompile(`(?:^|[\s/@])(?:docker|podman|nerdctl|buildah|img)\s+(?:buildx\s+|image\s+|builder\s+)?(?:build|bud)\s`)

// kaniko finds the builder that runs inside CI.
var kaniko = regexp.MustCompile(`(?:^|\s)/kaniko/executor\s`)

// optionsWithValue are those of docker build that take the next word.
var optionsWithValue = words(`-t --tag -f --file --build-arg --target --platform --label
	--cache-from --cache-to --network --progress -o --output --secret --ssh --iidfile
	--metadata-file --build-context --add-host --shm-size -m --memory --cpuset-cpus
	--builder --pull-policy --attest --annotation --allow --ulimit --volume -v
	--format --isolation --security-opt --creds --jobs --layers-from --ignorefile --dns --destination --dockerfile --context --storage-driver --cache-repo --snapshot-mode --snapshotMode`)

// commandBuilds reads the docker build commands of a shell line that runs in a
// directory of the repository.
func (r *repository) commandBuilds(line, dir string, rank int) []build {
	var builds []build
	for _, command := range commandEnd.Split(line, -1) {
		command = strings.TrimLeft(strings.TrimSpace(command), "@-+( ")
		if to, ok := strings.CutPrefix(command, "cd "); ok {
			to = strings.Trim(strings.TrimSpace(to), `"'`)
			if dir = repositoryPath(dir, to); strings.ContainsAny(to, unknown+"$ ") || dir == unknown {
				return builds
			}
			continue
		}
		at := builder.FindStringIndex(command)
		if at == nil {
			at = kaniko.FindStringIndex(command)
		}
		if at == nil {
			continue
		}
		if b, ok := parseBuild(strings.Fields(command[at[1]:]), dir, rank); ok && r.hasFile(b.dockerfile) {
			builds = append(builds, b)
		}
	}
	return builds
}

// parseBuild reads the options of docker build; ok is false where the context
// or the Dockerfile is not known.
func parseBuild(args []string, dir string, rank int) (build, bool) {
	b := build{rank: rank, args: map[string]string{}}
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
		case "-t", "--tag", "--destination":
			if known := cmp.Or(knownReference(value), lastPart(value)); known != "" {
				b.names = append(b.names, known)
			}
		case "-f", "--file", "--dockerfile":
			file = value
		case "--context":
			context = strings.TrimPrefix(value, "dir://")
		case "--target":
			b.target = value
		case "--build-arg":
			if key, value, ok := strings.Cut(value, "="); ok {
				b.give(key, value)
			}
		}
	}
	if context == "" || strings.ContainsAny(context+file+b.target, unknown+"$`*") || strings.Contains(context, "://") || context == "-" {
		return b, false
	}
	b.context = repositoryPath(dir, context)
	b.dockerfile = path.Join(b.context, "Dockerfile")
	if file != "" {
		b.dockerfile = repositoryPath(dir, file)
	}
	return b, !strings.Contains(b.context+b.dockerfile, unknown)
}

// Marks before the values of arguments that count only under a condition.
const (
	ownerUnknown = unknown + "/" // the name alone is known: only if a layer has it
	unsettled    = unknown + ":" // only if a layer has the name, or if there is no default
)

// give sets a build argument. A reference whose owner or tag is not known may
// still tell a layer. What CI gives may be one of several values.
func (b *build) give(name, value string) {
	value = strings.Trim(value, `"'`)
	switch known := knownReference(value); {
	case known != "" && known == value && b.rank < rankCI:
		b.args[name] = known
	case known != "":
		b.args[name] = unsettled + known
	default:
		if last := lastPart(value); last != "" {
			b.args[name] = ownerUnknown + last
		}
	}
}

// lastPart is the name of a reference whose owner is not known; empty if the
// name is not known either.
func lastPart(text string) string {
	text = strings.Trim(text, `"'`)
	i := strings.LastIndex(text, "/")
	if i < 0 || strings.HasSuffix(text[:i], ":") {
		return ""
	}
	return knownReference(text[i+1:])
}

// knownReference cuts off a tag that is not known; empty if more is not.
func knownReference(text string) string {
	text = strings.Trim(text, `"'`)
	if !strings.ContainsAny(text, unknown+"\x02$`") {
		return strings.TrimSuffix(text, ":")
	}
	if i := strings.LastIndex(text, ":"); i > strings.LastIndex(text, "/") && i > 0 && !strings.ContainsAny(text[:i], unknown+"\x02$`") {
		return text[:i]
	}
	return ""
}
