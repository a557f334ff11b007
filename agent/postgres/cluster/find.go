package cluster

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const install = "install it (apt-get install postgresql), or give the URL of a PostgreSQL that runs already"

// installed is a directory with initdb and postgres.
type installed struct {
	bin   string
	major string
}

// find returns the directory of the programs to run: bin if it is given, else
// the one that fits the version of a cluster, or the first where there is no
// cluster yet.
func find(ctx context.Context, bin, version string) (string, error) {
	dirs := []string{bin}
	if bin == "" {
		dirs = candidates()
	}
	var have []installed
	for _, dir := range dirs {
		major, err := majorVersion(ctx, dir)
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		if err != nil && bin != "" {
			return "", err
		}
		if err == nil {
			have = append(have, installed{dir, major})
		}
	}
	if len(have) == 0 {
		return "", errors.New("no PostgreSQL found on PATH or below /usr/lib/postgresql: " + install)
	}
	if version == "" {
		return have[0].bin, nil
	}
	var others []string
	for _, i := range have {
		if i.major == version {
			return i.bin, nil
		}
		others = append(others, fmt.Sprintf("%s in %s", i.major, i.bin))
	}
	return "", fmt.Errorf("the cluster was made by PostgreSQL %s, and there is only %s: install version %[1]s, or bring the cluster up to date with pg_upgrade", version, strings.Join(others, ", "))
}

// candidates are the directories where PostgreSQL may be: on PATH, then
// Debian's and the PostgreSQL project's own, the newest version first.
func candidates() []string {
	var dirs []string
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin"} {
		found, _ := filepath.Glob(pattern) // the pattern is well-formed
		dirs = append(dirs, found...)
	}
	slices.SortStableFunc(dirs, func(a, b string) int { return number(b) - number(a) })
	if path, err := exec.LookPath("postgres"); err == nil {
		// PostgreSQL finds its other parts from where it really lies.
		if real, err := filepath.EvalSymlinks(path); err == nil {
			dirs = slices.Insert(dirs, 0, filepath.Dir(real))
		}
	}
	return dirs
}

// number is the first number in a path.
func number(path string) int {
	n, _ := strconv.Atoi(regexp.MustCompile(`\d+`).FindString(path))
	return n
}

// majorVersion asks the programs in a directory which version they are.
func majorVersion(ctx context.Context, bin string) (string, error) {
	if _, err := exec.LookPath(filepath.Join(bin, "initdb")); err != nil {
		return "", fmt.Errorf("no PostgreSQL in %s: %w: %s", bin, err, install)
	}
	version := exec.CommandContext(ctx, filepath.Join(bin, "postgres"), "--version")
	version.Env = environ()
	out, err := version.Output()
	if err != nil {
		return "", fmt.Errorf("no PostgreSQL in %s: %w: %s", bin, err, install)
	}
	// Such as "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)".
	major := regexp.MustCompile(`PostgreSQL\) (\d+)`).FindSubmatch(out)
	if major == nil {
		return "", fmt.Errorf("%s/postgres does not say its version but %q", bin, out)
	}
	return string(major[1]), nil
}
