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
