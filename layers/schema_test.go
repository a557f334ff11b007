package layers

import (
	"encoding/json"
	"testing"
)

// TestSchema holds that docs/lab-layers.schema.json is what the types say.
func TestSchema(t *testing.T) {
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "../docs/lab-layers.schema.json", string(text))
	var schema struct {
		Properties map[string]struct {
			Description string
			Items       struct{ Required []string }
		}
		AdditionalProperties any
		Required             []string
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	if len(schema.Properties) != 4 || schema.Properties["layers"].Description == "" || schema.AdditionalProperties != false {
		t.Errorf("schema %+v", schema)
	}
	if required := schema.Properties["layers"].Items.Required; len(required) != 2 {
		t.Errorf("a layer requires %v", required)
	}
}
