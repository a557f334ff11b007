package layers

import (
	"regexp"
	"slices"
	"strings"
)

// TagsFor returns the tags that a ref gives to the layers of a commit. It is
// false for a ref that is not built: one that no rule matches, or a rule
// without tags, and everything outside of refs/heads and refs/tags.
//
// No two refs ever get one tag under one configuration. Where the plain
// rendering of a template could also come from another ref that the
// configuration builds, one of both has a right to it, and the other's tag gets
// a hash:
//
//   - a template without a name, such as "latest", goes first;
//   - between a branch and a Git tag, the Git tag has what begins like a
//     version (a digit, or v and a digit) and the branch all else;
//   - between two branches or two Git tags, the earlier template has it.
func (c *Config) TagsFor(ref Ref, commit Commit) (TagSet, bool) {
	_, name, ok := splitRef(ref)
	if !ok {
		return TagSet{}, false
	}
	rules := c.tagRules()
	i := rules.match(ref)
	if i < 0 || len(rules[i].templates) == 0 {
		return TagSet{}, false
	}
	set := TagSet{TTL: rules[i].TTL, Immutable: rules[i].Immutable}
	slug := Slug(name)
	for j, t := range rules[i].templates {
		tag := t.render(slug, commit.Short())
		hashed := hashTail.MatchString(tag)
		ownHash := hashed && hashTail.MatchString(slug) && strings.HasSuffix(tag, slug)
		if !validTag(tag) || hashed && !ownHash || rules.contested(tag, ref, i, j) {
			if ownHash {
				tag = hashTail.ReplaceAllString(tag, "")
			}
			identity := []string{string(ref), t.text}
			if t.dated {
				identity = append(identity, string(commit))
			}
			tag = suffixed(tag, "tag", identity...)
		}
		if !slices.Contains(set.Names, tag) {
			set.Names = append(set.Names, tag)
		}
	}
	return set, true
}

// splitRef separates a ref's name from refs/heads/ or refs/tags/.
func splitRef(ref Ref) (prefix, name string, ok bool) {
	for _, prefix := range []string{headsPrefix, tagsPrefix} {
		if name, ok := strings.CutPrefix(string(ref), prefix); ok && name != "" {
			return prefix, name, true
		}
	}
	return "", "", false
}

// tagRule is a rule made ready.
type tagRule struct {
	RefRule
	pattern   RefPattern
	templates []template
}

type tagRules []tagRule

func (c *Config) tagRules() tagRules {
	refs := c.Refs
	if refs == nil {
		refs = DefaultRefs()
	}
	rules := make(tagRules, len(refs))
	for i, r := range refs {
		rules[i] = tagRule{RefRule: r, pattern: refPattern(r.Ref)}
		for _, tag := range r.Tags {
			if t, problem, _ := parseTemplate(tag, r.Ref); problem == "" {
				rules[i].templates = append(rules[i].templates, t)
			}
		}
	}
	return rules
}

// match returns the first rule for a ref, or -1.
func (rules tagRules) match(ref Ref) int {
	return slices.IndexFunc(rules, func(r tagRule) bool { return r.pattern.Matches(ref) })
}

// contested reports whether another ref has more right to a tag that template
// j of rule i makes for a ref.
func (rules tagRules) contested(tag string, ref Ref, i, j int) bool {
	for k, rule := range rules {
		for l, t := range rule.templates {
			if rules.before(tag, [2]int{k, l}, [2]int{i, j}) && rules.couldMake(tag, ref, k, t) {
				return true
			}
		}
	}
	return false
}

// couldMake reports whether rule k could give a tag to another ref by a
// template.
func (rules tagRules) couldMake(tag string, ref Ref, k int, t template) bool {
	slug, ok := t.slug(tag)
	if !ok {
		return false
	}
	other := Ref(rules[k].Ref)
	if t.named {
		prefix, _, _ := splitRef(other)
		name, ok := unslug(slug)
		if !ok { // a slug with a hash can only be that of the same name
			_, name, _ = splitRef(ref)
			if Slug(name) != slug {
				return false
			}
		}
		other = Ref(prefix + name)
	}
	return other != ref && rules.match(other) == k
}

var versionLike = regexp.MustCompile(`^v?[0-9]`)

// before reports whether template a (rule, template) goes before b in the
// right to a tag.
func (rules tagRules) before(tag string, a, b [2]int) bool {
	namedA, namedB := rules[a[0]].templates[a[1]].named, rules[b[0]].templates[b[1]].named
	if namedA != namedB {
		return namedB
	}
	gitTagA, gitTagB := strings.HasPrefix(rules[a[0]].Ref, tagsPrefix), strings.HasPrefix(rules[b[0]].Ref, tagsPrefix)
	if namedA && gitTagA != gitTagB {
		return gitTagA == versionLike.MatchString(tag)
	}
	return slices.Compare(a[:], b[:]) < 0
}
