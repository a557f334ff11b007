package buildkit

import "testing"

func TestWithLabels(t *testing.T) {
	labels := map[string]string{"new": "1", "old": "2"}
	for in, want := range map[string]string{
		`{}`:                           `{"config":{"Labels":{"new":"1","old":"2"}}}`,
		`{"config":null,"os":"linux"}`: `{"config":{"Labels":{"new":"1","old":"2"}},"os":"linux"}`,
		`{"config":{"Labels":null}}`:   `{"config":{"Labels":{"new":"1","old":"2"}}}`,
		`{"config":{"Cmd":["a"],"Labels":{"old":"1","kept":"x"},"Shell":["b"]}}`: `{"config":{"Cmd":["a"],"Labels":{"kept":"x","new":"1","old":"2"},"Shell":["b"]}}`,
		`{"moby.buildkit.cache.v0":{"n":12345678901234567890},"config":{"X":1}}`: `{"config":{"Labels":{"new":"1","old":"2"},"X":1},"moby.buildkit.cache.v0":{"n":12345678901234567890}}`,
	} {
		got, err := withLabels([]byte(in), labels)
		if err != nil || string(got) != want {
			t.Errorf("%s becomes %s, %v; want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", "[]", `{"config":3}`, `{"config":{"Labels":[]}}`} {
		if got, err := withLabels([]byte(in), labels); err == nil {
			t.Errorf("%s becomes %s", in, got)
		}
	}
	if got, err := withLabels([]byte("as it is"), nil); err != nil || string(got) != "as it is" {
		t.Errorf("without labels: %s, %v", got, err)
	}
}
