package deploy

import "testing"

func TestRepositories(t *testing.T) {
	alone, named := Repositories{"": "a"}, Repositories{"vision": "a"}
	several := Repositories{"vision": "a", "nlp": "b"}
	for _, test := range []struct {
		of         Repositories
		name, want string
		choices    string
	}{
		{alone, "", "a", "the one that is watched, which has no name: leave it out"},
		{alone, "vision", "", "the one that is watched, which has no name: leave it out"},
		{named, "", "a", "vision"},
		{named, "vision", "a", "vision"},
		{named, "nlp", "", "vision"},
		{several, "", "", "nlp, vision"},
		{several, "nlp", "b", "nlp, vision"},
	} {
		url, known := test.of.URL(test.name)
		if url != test.want || known != (test.want != "") || test.of.Choices() != test.choices {
			t.Errorf("%q of %v: %q, %v; %s", test.name, test.of, url, known, test.of.Choices())
		}
	}
}
