package layers

import (
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// Refs outside of these two are never built.
const (
	headsPrefix = "refs/heads/"
	tagsPrefix  = "refs/tags/"
)

// Limits of the tag convention. The longest TTL is ten years.
const (
	maxRules     = 100
	maxTemplates = 10 // of one rule
	maxTTL       = 3650 * 24 * time.Hour
)

// DefaultRefs is the tag convention of a file without "refs".
func DefaultRefs() []RefRule {
	const temporary = 14 * 24 * time.Hour
	lasting := []string{"{branch}", "{branch}-{commit}"}
	return []RefRule{
		{Ref: "refs/heads/main", Tags: lasting},
		{Ref: "refs/heads/master", Tags: lasting},
		{Ref: "refs/heads/feature/**", Tags: []string{"{branch}"}, TTL: temporary},
		{Ref: "refs/heads/experiment/**", Tags: []string{"{branch}"}, TTL: temporary},
		{Ref: "refs/tags/**", Tags: []string{"{tag}"}, Immutable: true},
	}
}

var ttlPattern = regexp.MustCompile(`^([1-9][0-9]{0,8})([mhd])$`)

// parseTTL reads a whole number of minutes, hours or days.
func parseTTL(s string) (time.Duration, error) {
	m := ttlPattern.FindStringSubmatch(s)
	if m == nil {
		return 0, fmt.Errorf("bad duration %s", quoted(s))
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		return 0, fmt.Errorf("bad duration %s: %w", quoted(s), err)
	}
	ttl := time.Duration(n) * map[string]time.Duration{"m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}[m[2]]
	if ttl > maxTTL {
		return 0, fmt.Errorf("duration %s is over ten years", quoted(s))
	}
	return ttl, nil
}

// refRules checks the rules of a file.
func refRules(t *configText, faults *faultList) []RefRule {
	if len(t.Refs) == 0 || len(t.Refs) > maxRules {
		faults.add(t.At, fmt.Sprintf("\"refs\" has %d rules", len(t.Refs)), fmt.Sprintf("write at most %d, or take it out for the default", maxRules))
		return nil
	}
	rules := make([]RefRule, 0, len(t.Refs))
	fixed := map[string]Position{} // tags that do not tell the ref
	for _, r := range t.Refs {
		if !r.At.known() {
			continue
		}
		if !r.Ref.given() {
			faults.add(r.At, "a rule has no ref", "add \"ref\", such as refs/heads/main")
		}
		if r.Tags == nil {
			faults.add(r.At, fmt.Sprintf("the rule for %s has no tags", quoted(r.Ref.Value)), "add \"tags\"; an empty list leaves these refs unbuilt")
		}
		r.Ref.check(patternProblem, faults)
		rule := RefRule{Ref: r.Ref.Value, Immutable: r.Immutable.Value}
		if r.TTL.given() && !r.TTL.Bad {
			var err error
			if rule.TTL, err = parseTTL(r.TTL.Value); err != nil {
				faults.add(r.TTL.At, err.Error(), "write a whole number with m, h or d, such as 14d, 36h or 90m")
			}
		}
		if len(r.Tags) > maxTemplates {
			faults.add(r.Tags[maxTemplates].At, fmt.Sprintf("a rule has %d tags", len(r.Tags)), fmt.Sprintf("write at most %d", maxTemplates))
			r.Tags = r.Tags[:maxTemplates]
		}
		for _, tag := range r.Tags {
			if !tag.given() || tag.Bad {
				continue
			}
			template, problem, remedy := parseTemplate(tag.Value, r.Ref.Value)
			if problem != "" {
				faults.add(tag.At, problem, remedy)
			} else if first, ok := fixed[tag.Value]; ok && !template.named {
				faults.add(tag.At, fmt.Sprintf("tag %s is given twice, first at line %d", quoted(tag.Value), first.Line), "two refs cannot share a tag")
			} else {
				fixed[tag.Value] = tag.At
			}
			rule.Tags = append(rule.Tags, tag.Value)
		}
		rules = append(rules, rule)
	}
	return rules
}
