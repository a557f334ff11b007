package agent

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

// Trust says which builds are given secrets and ssh keys: what a build is given,
// whoever pushed its commit can print.
type Trust struct {
	// Secrets and SSH are the builder's names: ID for every repository's builds,
	// or NAMESPACE/ID for those of one, where it goes before ID.
	Secrets []string
	SSH     []string
	// Refs are given them; with none it is the trunk alone.
	Refs []layers.RefPattern
}

// Grant is what the builds of a repository's ref are given.
func (c *Carrier) Grant(source Source, ref layers.Ref, trunk Trunk) pipeline.Grant {
	namespace := c.Namespaces[source.URL()]
	g := pipeline.Grant{Secrets: byID(c.Trust.Secrets, namespace), SSH: byID(c.Trust.SSH, namespace)}
	trusted := ref == trunk.Ref && ref != ""
	if refs := c.Trust.Refs; len(refs) > 0 {
		trusted = slices.ContainsFunc(refs, func(p layers.RefPattern) bool { return p.Matches(ref) })
	}
	if !trusted {
		g.Withheld = fmt.Sprintf("builds of %s are not given it; merge into a branch that is, or name the ref with the agent's --secret-refs", ref)
	}
	return g
}

// byID finds a namespace's names by their ids.
func byID(names []string, namespace string) map[string]string {
	ids := map[string]string{}
	for _, name := range names {
		of, id, qualified := strings.Cut(name, "/")
		switch {
		case qualified && of == namespace:
			ids[id] = name
		case !qualified && ids[name] == "":
			ids[name] = name
		}
	}
	return ids
}
