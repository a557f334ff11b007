package deploy

import (
	"maps"
	"slices"
	"strings"
)

// Repositories are URLs by the names that people use for them. With a single one the
// name may be left out.
type Repositories map[string]string

// URL finds the URL of the repository that is meant by a name.
func (r Repositories) URL(name string) (url string, known bool) {
	if url, known = r[name]; known || name != "" || len(r) != 1 {
		return url, known
	}
	for _, url := range r {
		return url, true
	}
	return "", false
}

// Choices are what people may write as a name.
func (r Repositories) Choices() string {
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(r)), func(name string) bool { return name == "" })
	if len(names) == 0 {
		return "the one that is watched, which has no name: leave it out"
	}
	return strings.Join(names, ", ")
}
