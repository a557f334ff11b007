package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

const secretValue = "squeamish-ossifrage"

// newSecretLab has one layer that needs a secret, one that does not, and an
// agent that has the secret.
func newSecretLab(t *testing.T, names ...string) *lab {
	l := newLab(t)
	file := filepath.Join(t.TempDir(), "token")
	l.check(os.WriteFile(file, []byte(secretValue), 0o600))
	p := l.place
	p.secrets = map[string]string{}
	for _, name := range names {
		p.secrets[name] = file
	}
	l = l.beside(p)
	l.write("lab-layers.yaml", "version: 1\nlayers:\n  - {name: base, kind: base, context: images/base}\n"+
		"  - {name: unet, kind: experiment, parent: base, context: experiments/unet, secrets: [token]}\n"+
		"  - {name: gpt-2, kind: experiment, parent: base, context: experiments/gpt-2}\n")
	l.version("1")
	l.write("experiments/gpt-2/Dockerfile", "FROM base\nRUN true\n")
	return l
}

// version changes the layer that needs the secret. The mount is not required:
// without the secret the step would succeed. The test's name keeps it from what
// BuildKit and its cache mounts have of others.
func (l *lab) version(v string) {
	l.write("experiments/unet/Dockerfile", "FROM base\nARG VERSION="+l.Name()+v+"\n"+
		"RUN --mount=type=secret,id=token --mount=type=cache,id="+l.Name()+",target=/cache "+
		"(cat /run/secrets/token || echo none) > /found; ls /cache > /others; touch /cache/$VERSION\n")
}

// TestSecretRefs holds that the trunk alone is given secrets, or the refs that
// the operator names: any other that asks for one fails at the layer, and no
// image of its key is made.
func TestSecretRefs(t *testing.T) {
	l := newSecretLab(t, "token")
	l.pushed()
	if got := l.file("unet", "main", "found"); got != secretValue {
		t.Errorf("main was given %q", got)
	}

	for i, ref := range []string{"refs/heads/feature/x", "refs/heads/master", "refs/tags/v1"} {
		l.version(fmt.Sprint("other", i))
		v := l.push(ref)
		for _, want := range []string{"unet: experiments/unet/Dockerfile:3: RUN --mount=type=secret,id=token", `layer unet asks for the secret id "token"`, ref, "--secret-refs"} {
			if !strings.Contains(v.Reason, want) {
				t.Errorf("%s: the reason does not say %q: %s", ref, want, v.Reason)
			}
		}
		if asked := joined(l.builds.take()); v.State != agent.Failed || strings.Contains(asked, "unet") || joined(with(v, pipeline.Broken)) != "unet" {
			t.Errorf("%s: the run %s, and BuildKit was asked for %q", ref, v.State, asked)
		}
	}

	// Reviewed and merged, main builds the very same.
	v := l.pushed()
	if got := l.built(v); got != "unet" || l.file("unet", "main", "found") != secretValue {
		t.Errorf("main built %q", got)
	}
	// What main has made, any ref may have.
	v = l.push("refs/heads/feature/y")
	if got := l.built(v); v.State != agent.Succeeded || got != "" {
		t.Errorf("main's content on a branch: %s, built %q: %s", v.State, got, v.Reason)
	}

	pattern, err := layers.ParseRefPattern("refs/heads/feature/*")
	l.check(err)
	l.agent.Carrier.Trust.Refs = []layers.RefPattern{pattern}
	l.version("3")
	if v := l.push("refs/heads/feature/z"); v.State != agent.Succeeded || l.file("unet", "feature-z", "found") != secretValue {
		t.Errorf("a ref that is named: %s: %s", v.State, v.Reason)
	}
	l.version("4")
	if v := l.push("refs/heads/main"); v.State != agent.Failed {
		t.Errorf("main, where other refs are named: %s", v.State)
	}
}

// TestUnlistedSecret holds that a layer which does not list a secret is not
// built: without it, its image would be taken for that of a layer which does.
func TestUnlistedSecret(t *testing.T) {
	l := newSecretLab(t, "token")
	l.replace("lab-layers.yaml", ", secrets: [token]", "")
	v := l.push("refs/heads/main")
	if v.State != agent.Failed || !strings.Contains(v.Reason, `add it to the layer's "secrets"`) || joined(with(v, pipeline.Broken)) != "unet" {
		t.Errorf("the run %s: %s", v.State, v.Reason)
	}
}

// TestSecretCaches holds that a build which is given a secret sees no cache
// mount that one without could have filled.
func TestSecretCaches(t *testing.T) {
	l := newSecretLab(t, "token")
	l.pushed()
	l.write("experiments/gpt-2/Dockerfile", "FROM base\nRUN --mount=type=cache,id="+l.Name()+",target=/cache ls /cache > /others; touch /cache/poison\n")
	if v := l.push("refs/heads/feature/x"); v.State != agent.Succeeded || l.file("gpt-2", "feature-x", "others") != "" {
		t.Errorf("the branch: %s: %s", v.State, v.Reason)
	}
	l.version("2")
	l.pushed()
	if got := l.file("unet", "main", "others"); got != l.Name()+"1\n" {
		t.Errorf("the cache mount holds %q, want what main left there", got)
	}
}

// TestSecretOfOneRepository holds that a secret for one repository goes to that
// one alone, and there before the one for all.
func TestSecretOfOneRepository(t *testing.T) {
	l := newSecretLab(t, "vision/token")
	source := l.agent.Sources[0]
	l.agent.Carrier.Namespaces = map[string]string{source.URL(): "language"}
	l.pushed()
	if got := l.file("language/unet", "main", "found"); got != "none\n" {
		t.Errorf("another repository's builds were given %q", got)
	}
	l.agent.Carrier.Namespaces = map[string]string{source.URL(): "vision"}
	l.version("2")
	l.pushed()
	if got := l.file("vision/unet", "main", "found"); got != secretValue {
		t.Errorf("the repository's own builds were given %q", got)
	}
}

// TestEqualKeysOfTwoRepositories holds that one installation has one image of a
// key: another repository with the same content is given what was made with the
// first one's secret, and not the secret.
func TestEqualKeysOfTwoRepositories(t *testing.T) {
	l := newSecretLab(t, "vision/token")
	source := l.agent.Sources[0]
	l.agent.Carrier.Namespaces = map[string]string{source.URL(): "vision"}
	first := l.pushed()
	l.agent.Carrier.Namespaces = map[string]string{source.URL(): "language"}
	second := l.push("refs/heads/feature/x")
	if got := l.built(second); second.State != agent.Succeeded || got != "" {
		t.Errorf("the other repository: %s, built %q: %s", second.State, got, second.Reason)
	}
	l.same(first, second)
	if got := l.file("language/unet", "feature-x", "found"); got != secretValue {
		t.Errorf("its image holds %q", got)
	}
	l.version("2")
	if v := l.push("refs/heads/main"); v.State != agent.Succeeded || l.file("language/unet", "main", "found") != "none\n" {
		t.Errorf("with a key of its own: %s: %s", v.State, v.Reason)
	}
}

// TestSecretOptions holds that a slip in a secret's name is told at start.
func TestSecretOptions(t *testing.T) {
	repos := []namedRepo{{name: "vision", url: "/a"}, {name: "language", url: "/b"}}
	for name, ok := range map[string]bool{"token": true, "vision/token": true, "vision/": false, "vison/token": false, "/token": false} {
		flags := stackFlags{secrets: map[string]string{name: "/f"}}
		if err := flags.checkSecrets(repos); (err == nil) != ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
