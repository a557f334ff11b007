package main

import (
	"errors"
	"strings"
	"testing"
)

func TestParseRepos(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"", "name at least one"},
		{"https://git.example/lab.git?a=b", "=https://git.example/lab.git?a=b"},
		{"/lab", "=/lab"},
		{"one=https://git.example/one.git two=git@git.example:two.git", "one=https://git.example/one.git two=git@git.example:two.git"},
		{"One=/lab", "the name must be lower-case"},
		{"/one /two", "tell their images apart"},
		{"one=/one one=/two", "there already"},
		{"one=/lab two=/lab", "there already"},
	} {
		repos, err := parseRepos(strings.Fields(c.args))
		if err != nil {
			if !errors.As(err, new(inputError)) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %q", c.args, err, c.want)
			}
			continue
		}
		var got []string
		for _, repo := range repos {
			got = append(got, repo.name+"="+repo.url)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q, want %q", c.args, got, c.want)
		}
	}
}

func TestOneHost(t *testing.T) {
	two := []string{"https://a.example/x", "https://b.example/x", "/local"}
	if err := oneHost(two, true); !errors.As(err, new(inputError)) {
		t.Errorf("a token for two hosts: %v", err)
	}
	for _, urls := range [][]string{{"https://a.example/x", "https://a.example/y", "/local", "git@b.example:z"}, nil} {
		if err := oneHost(urls, true); err != nil {
			t.Errorf("%q: %v", urls, err)
		}
	}
	if err := oneHost(two, false); err != nil {
		t.Error(err)
	}
}

// TestTokenFiles holds that each repository is opened with its own token, and
// that none goes where it does not belong.
func TestTokenFiles(t *testing.T) {
	const all, own = "/etc/lab-layers/token", "/etc/lab-layers/own=1"
	repos := func(urls ...string) (repos []namedRepo) {
		for i, url := range urls {
			repos = append(repos, namedRepo{string(rune('a' + i)), url})
		}
		return repos
	}
	f := remoteFlags{tokenFiles: []string{all, "b=" + own}}
	two := repos("https://a.example/x", "https://b.example/x", "git@c.example:x")
	if err := f.check(two); err != nil {
		t.Error(err)
	}
	if a, b := f.remote(two[0]), f.remote(two[1]); a.TokenFile != all || b.TokenFile != own {
		t.Errorf("%q and %q", a.TokenFile, b.TokenFile)
	}
	for _, c := range []struct {
		files []string
		repos []namedRepo
		want  string
	}{
		{[]string{all}, two, "would go to a.example and to b.example"},
		{[]string{"b=" + own}, two, ""},
		{[]string{all, "b=" + own}, repos("https://a.example/x", "https://b.example/x", "https://c.example/x"), "would go to a.example and to c.example"},
		{[]string{all, own}, two, "one for the same repositories already"},
		{[]string{"c=" + own}, two, "there is no https repository c"},
		{[]string{"d=" + own}, two, "there is no https repository d"},
		{[]string{all}, repos("http://a.example/x"), "in the clear"},
		{[]string{all}, repos("http://127.0.0.1:8080/x", "http://127.0.0.1:8080/y"), ""},
		{[]string{all}, []namedRepo{{url: "https://a.example/x"}}, ""},
	} {
		f := remoteFlags{tokenFiles: c.files}
		err := f.check(c.repos)
		if (err == nil) != (c.want == "") || err != nil && (exitCode(err) != exitInput || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "--git-token-file")) {
			t.Errorf("%v for %v: %v, want %q", c.files, c.repos, err, c.want)
		}
	}
}
