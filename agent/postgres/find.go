package postgres

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/distribution/reference"
	"github.com/jackc/pgx/v5"

	"github.com/lab-layers/lab-layers/agent"
)

// ErrNotFound says that nothing is recorded under a name.
var ErrNotFound = errors.New("nothing is recorded under this name")

// AmbiguousError says that a query fits several things.
type AmbiguousError struct {
	// Candidates are things that it fits, told to people, at most 20.
	Candidates []string
}

func (e *AmbiguousError) Error() string {
	return "it fits several things:\n  " + strings.Join(e.Candidates, "\n  ")
}

// found is what a query names.
type found struct {
	kind TraceKind
	// name is the image's digest or the commit.
	name string
	// outside are the images from outside.
	outside []agent.Base
}

const (
	minPrefix     = 6
	maxCandidates = 20
)

var abbreviated = regexp.MustCompile(`^(?:(sha256|sha512):)?([0-9a-f]+)$`)

func (s *Store) find(ctx context.Context, query string) (found, error) {
	if clean(query) != query || len(query) > maxShort {
		return found{}, ErrNotFound
	}
	if _, d, ok := strings.Cut(query, "@"); ok {
		query = d // the digest says it all
	}
	match := abbreviated.FindStringSubmatch(strings.ToLower(query))
	if match != nil && len(match[2]) >= minPrefix {
		f, err := s.findByDigits(ctx, match[1], match[2])
		if !errors.Is(err, ErrNotFound) {
			return f, err
		}
	}
	f, err := s.findTag(ctx, query)
	if errors.Is(err, ErrNotFound) {
		f, err = s.findOutside(ctx, query)
	}
	if errors.Is(err, ErrNotFound) && match != nil && len(match[2]) < minPrefix {
		err = fmt.Errorf("%w; give at least %d digits", err, minPrefix)
	}
	return f, err
}

// candidate is something that a query may name.
type candidate struct {
	kind TraceKind
	name string
	// told describes it for people.
	told string
}

// pick takes the one candidate there is.
func pick(candidates []candidate) (found, error) {
	switch len(candidates) {
	case 0:
		return found{}, ErrNotFound
	case 1:
		return found{kind: candidates[0].kind, name: candidates[0].name}, nil
	}
	e := &AmbiguousError{}
	for _, c := range candidates {
		e.Candidates = append(e.Candidates, c.told)
	}
	return found{}, e
}

func scanCandidate(r pgx.CollectableRow) (c candidate, err error) {
	err = r.Scan(&c.kind, &c.name, &c.told)
	return c, err
}

// findByDigits finds images by digest, index or key, images from outside by
// digest, and commits. Digits sort before "g".
func (s *Store) findByDigits(ctx context.Context, algorithm, digits string) (found, error) {
	commit := digits
	if algorithm == "" {
		algorithm = "sha256"
	} else {
		commit = "g" // none
	}
	candidates, err := read(ctx, s, scanCandidate, `
		with named as (
			select digest::text from images where digest >= $1 and digest < $1 || 'g'
			union
			select digest::text from images where index_digest >= $1 and index_digest < $1 || 'g'
			union
			(select distinct on (key) digest::text from images where key >= $1 and key < $1 || 'g'
			order by key, lost_at is not null, id desc)
		)
		select 'image', digest, 'image ' || (select max(i.repository) from images i where i.digest = named.digest) || '@' || digest from named
		union all
		select distinct 'commit', commit::text, 'commit ' || commit from snapshots where commit >= $2 and commit < $2 || 'g'
		union all
		select 'outside', base_image_digest::text, 'image from outside ' || coalesce(max(base_image_ref), '') || '@' || base_image_digest
		from images o where base_image_digest >= $1 and base_image_digest < $1 || 'g'
		and not exists (select from images i where i.digest = o.base_image_digest)
		group by base_image_digest
		order by 1, 2 limit $3`, algorithm+":"+digits, commit, maxCandidates)
	if err != nil {
		return found{}, err
	}
	f, err := pick(candidates)
	if err == nil && f.kind == TracedOutside {
		f.outside, err = s.outside(ctx, "o.base_image_digest = $1", f.name)
	}
	return f, err
}

// findTag finds an image by LAYER:TAG or HOST/PREFIX/LAYER:TAG.
func (s *Store) findTag(ctx context.Context, query string) (found, error) {
	colon := strings.LastIndex(query, ":")
	if colon < strings.LastIndex(query, "/") || colon < 0 {
		return found{}, ErrNotFound
	}
	repository, tag := query[:colon], query[colon+1:]
	candidates, err := read(ctx, s, scanCandidate, `
		select 'image', digest::text, 'tag ' || min(repository) || ':' || min(name) || ', image ' || digest from tags
		where name = $1 and (repository = $2 or layer = $2 or right(repository, length($2) + 1) = '/' || $2)
		group by digest order by min(repository) limit $3`, tag, repository, maxCandidates)
	if err != nil {
		return found{}, err
	}
	return pick(candidates)
}

// findOutside finds images from outside by their reference, also in its full
// form.
func (s *Store) findOutside(ctx context.Context, query string) (found, error) {
	names := []string{query}
	if named, err := reference.ParseNormalizedNamed(query); err == nil {
		named = reference.TagNameOnly(named)
		names = append(names, named.String(), reference.FamiliarString(named), strings.TrimSuffix(reference.FamiliarString(named), ":latest"))
	}
	outside, err := s.outside(ctx, "o.base_image_ref = any($1)", names)
	if err == nil && len(outside) == 0 {
		err = ErrNotFound
	}
	return found{kind: TracedOutside, outside: outside}, err
}

// outside lists the images from outside, the last used first, that images o
// stand on.
func (s *Store) outside(ctx context.Context, where string, args ...any) ([]agent.Base, error) {
	return read(ctx, s, pgx.RowToStructByPos[agent.Base], `
		select coalesce(o.base_image_ref, ''), coalesce(o.base_image_digest, '') from images o where `+where+`
		and not exists (select from images i where i.digest = o.base_image_digest)
		group by 1, 2 order by max(o.id) desc limit 1000`, args...)
}
