package layers

// Config reads the configuration of a commit, or finds the outcome for the same
// content: callers do not change it. The error is [Faults], wraps
// fs.ErrNotExist if the tree has none or [ErrTooLarge], or else is that of the
// object database.
func (p *Planner) Config(tree Tree) (*Config, error) {
	entry, err := tree.Entry(ConfigFile)
	if err != nil {
		return nil, err
	}
	if cfg, ok := p.configs.Get(entry.ID); ok {
		return cfg, nil
	}
	text, err := tree.ReadFile(ConfigFile, MaxConfig)
	if err != nil {
		return nil, err
	}
	cfg, err := ParseConfig(ConfigFile, text)
	if err != nil {
		return nil, err
	}
	p.configs.Add(entry.ID, cfg)
	return cfg, nil
}
