package layers

// configText is lab-layers.yaml as it is written, before anything is checked
// but its shape. The JSON Schema is made of the same structs: their tags are
// what an editor shows.
type configText struct {
	At       Position    `yaml:"-" json:"-"`
	Version  yamlNumber  `yaml:"version" jsonschema_description:"Version of this format. There is one: 1."`
	Platform yamlText    `yaml:"platform" jsonschema_description:"Platform that every layer is built for."`
	Layers   []layerText `yaml:"layers" jsonschema:"required,minItems=1" jsonschema_description:"The images of the lab, in any order."`
	Refs     []refText   `yaml:"refs" jsonschema:"minItems=1" jsonschema_description:"Which branches and Git tags are built, and what their images are tagged. The first rule that matches counts. Without it: main and master are tagged with their name and with name-commit; feature/** and experiment/** with their name for 14 days; Git tags with their name, never moved."`
}

type layerText struct {
	At         Position      `yaml:"-" json:"-"`
	Name       yamlText      `yaml:"name" jsonschema:"required" jsonschema_description:"Name of the layer and of its image's repository in the registry."`
	Kind       yamlText      `yaml:"kind" jsonschema:"required" jsonschema_description:"Place in the graph: operating system and CUDA (base), PyTorch or TensorFlow (framework), or one exercise (experiment). A layer never stands on one of a higher kind."`
	Parent     yamlText      `yaml:"parent" jsonschema_description:"Name of the layer that this one stands on. Leave it out for a layer on an image from outside."`
	From       yamlText      `yaml:"from" jsonschema_description:"The image reference or stage in the Dockerfile that the parent stands in for. Default: the image that the target's FROM lines end in."`
	Context    yamlText      `yaml:"context" jsonschema_description:"Directory that COPY and ADD read from, relative to the repository's root. Default: the layer's name."`
	Dockerfile yamlText      `yaml:"dockerfile" jsonschema_description:"Path of the Dockerfile, relative to the repository's root (not to the context). Default: Dockerfile in the context."`
	Target     yamlText      `yaml:"target" jsonschema_description:"Stage of the Dockerfile to build. Default: the last one."`
	Args       yamlArguments `yaml:"args" jsonschema_description:"Build arguments: values for the ARG lines of the Dockerfile."`
	Secrets    []yamlText    `yaml:"secrets" jsonschema:"uniqueItems=true" jsonschema_description:"Ids that RUN --mount=type=secret may ask for. Their values come from the agent, never from the repository."`
	SSH        []yamlText    `yaml:"ssh" jsonschema:"uniqueItems=true" jsonschema_description:"Ids that RUN --mount=type=ssh may ask for, usually \"default\". The agent forwards its own."`
}

type refText struct {
	At        Position   `yaml:"-" json:"-"`
	Ref       yamlText   `yaml:"ref" jsonschema:"required" jsonschema_description:"Pattern over full ref names. * stands for any characters but a slash, ** for any characters."`
	Tags      []yamlText `yaml:"tags" jsonschema:"required,uniqueItems=true" jsonschema_description:"Tags for every layer; {branch}, {tag} and {commit} (its first 12 digits) are replaced. An empty list leaves these refs unbuilt."`
	TTL       yamlText   `yaml:"ttl" jsonschema_description:"How long the tags stay after the ref last moved, such as 14d, 36h or 90m. Default: for ever."`
	Immutable yamlFlag   `yaml:"immutable" jsonschema_description:"true: a tag that exists is never moved to another image."`
}
