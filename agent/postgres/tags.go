package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
)

// Tags returns the tags that the refs of a repository gave, but those that have
// expired.
func (s *Store) Tags(ctx context.Context, repository agent.RepositoryID) (map[layers.Ref][]agent.Tag, error) {
	found, err := read(ctx, s, scanTag, "select "+tagColumns+` from tags t join runs r on r.id = t.run
		where r.repository = $1 and (t.expires is null or t.expires > now())
		order by t.repository, t.name`, repository)
	if err != nil {
		return nil, fmt.Errorf("tags of repository %d: %w", repository, err)
	}
	tags := map[layers.Ref][]agent.Tag{}
	for _, t := range found {
		tags[t.Ref] = append(tags[t.Ref], t)
	}
	return tags, nil
}

// tagColumns is what [scanTag] reads, of tags t.
const tagColumns = "t.layer, t.repository, t.name, t.digest, t.ref, t.expires"

func scanTag(r pgx.CollectableRow) (t agent.Tag, err error) {
	var ref string
	var expires *time.Time
	err = r.Scan(&t.Layer, &t.Repository, &t.Name, &t.Digest, &ref, &expires)
	t.Ref, t.Expires = decodeRef(ref), orZero(expires)
	return t, err
}
