package layers

import "gopkg.in/yaml.v3"

func stubConfig(_ string, data []byte) (*Config, error) {
	var c struct {
		Layers []struct {
			Name, Kind, Parent, Context, Dockerfile, Target, From string
			Args                                                  map[string]string
		}
	}
	if err := yaml.Unmarshal(data, &c); err != nil {
		return nil, err
	}
	cfg := &Config{Platform: "linux/amd64"}
	for _, l := range c.Layers {
		if l.Dockerfile == "" {
			l.Dockerfile = l.Context + "/Dockerfile"
		}
		cfg.Layers = append(cfg.Layers, Layer{Name: Name(l.Name), Kind: Kind(l.Kind), Parent: Name(l.Parent), Context: l.Context, Dockerfile: l.Dockerfile, Target: l.Target, From: l.From, Args: l.Args})
	}
	return cfg, nil
}
