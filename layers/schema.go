package layers

import (
	"encoding/json"
	"fmt"

	"github.com/invopop/jsonschema"
)

// schemaID names the schema; editors need not find anything there.
const schemaID = "https://github.com/lab-layers/lab-layers/docs/lab-layers.schema.json"

// Schema returns the JSON Schema (draft 2020-12) of lab-layers.yaml, for
// editors. It says what fields there are and what their values look like; only
// [ParseConfig] knows how layers must fit together.
func Schema() ([]byte, error) {
	reflector := &jsonschema.Reflector{
		FieldNameTag: "yaml", DoNotReference: true, RequiredFromJSONSchemaTags: true, Anonymous: true,
	}
	schema := reflector.Reflect(configText{})
	schema.ID = schemaID
	schema.Title = ConfigFile
	schema.Description = "The container images of an AI teaching lab, and how they stand on each other."
	text, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("schema of %s: %w", ConfigFile, err)
	}
	return append(text, '\n'), nil
}

// JSONSchema says what the scalars look like in a file.
func (yamlText) JSONSchema() *jsonschema.Schema   { return &jsonschema.Schema{Type: "string"} }
func (yamlNumber) JSONSchema() *jsonschema.Schema { return &jsonschema.Schema{Type: "integer"} }
func (yamlFlag) JSONSchema() *jsonschema.Schema   { return &jsonschema.Schema{Type: "boolean"} }

// JSONSchema of build arguments takes values as people write them.
func (yamlArguments) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{
		Type:          "object",
		PropertyNames: &jsonschema.Schema{Pattern: argumentPattern.String()},
		AdditionalProperties: &jsonschema.Schema{AnyOf: []*jsonschema.Schema{
			{Type: "string"}, {Type: "number"}, {Type: "boolean"},
		}},
	}
}

// JSONSchemaExtend adds the checks that the parser makes.
func (configText) JSONSchemaExtend(s *jsonschema.Schema) {
	property(s, "version").Const = 1
	property(s, "platform").Enum = anyOf(platformNames)
	property(s, "platform").Default = platformNames[0]
	property(s, "layers").MaxItems = schemaLimit(maxEntries)
	property(s, "refs").MaxItems = schemaLimit(maxRules)
}

// JSONSchemaExtend adds the checks that the parser makes.
func (layerText) JSONSchemaExtend(s *jsonschema.Schema) {
	property(s, "name").Pattern = namePattern.String()
	property(s, "parent").Pattern = namePattern.String()
	for _, name := range []string{"name", "parent", "target"} {
		property(s, name).MaxLength = schemaLimit(maxName)
	}
	property(s, "kind").Enum = anyOf(kindNames)
	property(s, "target").Pattern = targetPattern.String()
	for _, name := range []string{"secrets", "ssh"} {
		property(s, name).Items.Pattern = idPattern.String()
		property(s, name).Items.MaxLength = schemaLimit(maxName)
	}
}

// JSONSchemaExtend adds the checks that the parser makes.
func (refText) JSONSchemaExtend(s *jsonschema.Schema) {
	property(s, "ref").Pattern = "^refs/(heads|tags)/."
	property(s, "tags").MaxItems = schemaLimit(maxTemplates)
	property(s, "ttl").Pattern = ttlPattern.String()
	property(s, "immutable").Default = false
}

// property returns a field's schema; there is one for each yaml tag.
func property(s *jsonschema.Schema, name string) *jsonschema.Schema {
	p, _ := s.Properties.Get(name)
	return p
}

func anyOf(names []string) []any {
	values := make([]any, len(names))
	for i, name := range names {
		values[i] = name
	}
	return values
}

func schemaLimit(n uint64) *uint64 { return &n }
