package postgres

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

var schemaName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,47}$`)

// connectTime is how long a host has to take a connection up, unless the URL
// names a connect_timeout: one that is there and hangs must not hold up others.
const connectTime = 10 * time.Second

// config is how to connect to the database that a URL names.
func (o Options) config(url string) (*pgxpool.Config, error) {
	if !schemaName.MatchString(o.Schema) {
		return nil, fmt.Errorf("schema %q: not a lower-case name of at most 48 characters", o.Schema)
	}
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		// The error quotes the URL, which may hold a password.
		return nil, errors.New("the database URL is malformed; it looks like postgres://USER:PASSWORD@HOST:PORT/DATABASE")
	}
	config.MaxConns = 10
	if o.MaxConns > 0 {
		config.MaxConns = o.MaxConns
	}
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = connectTime
	}
	for name, value := range map[string]string{
		"application_name":              "lab-layers",
		"search_path":                   o.Schema,
		"timezone":                      "UTC",
		"jit":                           "off", // it costs more than these queries take
		"default_transaction_isolation": "read committed",
		// Plans are kept, and the first are made while the tables are empty:
		// they must be those for full ones.
		"enable_seqscan":                      "off",
		"plan_cache_mode":                     "force_generic_plan",
		"idle_in_transaction_session_timeout": "60000", // ms
	} {
		config.ConnConfig.RuntimeParams[name] = value
	}
	return config, nil
}
