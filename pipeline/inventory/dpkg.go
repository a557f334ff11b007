package inventory

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// dpkgStatus is where dpkg lists the packages it installed: dpkg(1), FILES.
const dpkgStatus = "var/lib/dpkg/status"

// readStatus reads dpkg's list, or as much of it as is allowed.
func readStatus(r io.Reader, limits limits) ([]trace, error) {
	var list []trace
	var t trace
	installed := false
	end := func() {
		if installed && t.name != "" && counts(t) {
			list = append(list, t)
		}
		t, installed = trace{kind: debPkg, path: dpkgStatus}, false
	}
	end()
	limited := &io.LimitedReader{R: r, N: limits.status}
	lines := bufio.NewScanner(limited)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() && len(list) < limits.traces {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "":
			end()
		case "Package":
			t.name = value
		case "Version":
			t.version = value
		case "Status":
			installed = strings.HasSuffix(value, " installed")
		}
	}
	if limited.N > 0 {
		end()
	}
	switch err := lines.Err(); {
	case len(list) >= limits.traces:
		return list, fmt.Errorf("more than %d packages", limits.traces)
	case errors.Is(err, bufio.ErrTooLong):
		return list, fmt.Errorf("%s has a line of more than a MiB", dpkgStatus)
	case err != nil:
		return list, err
	case limited.N <= 0:
		return list, fmt.Errorf("%s has more than %d bytes", dpkgStatus, limits.status)
	}
	return list, nil
}

// upstream is a Debian version without epoch, revision and repackaging mark:
// 1:1.13.1+dfsg-4 is 1.13.1. See deb-version(7).
func upstream(version string) string {
	if _, rest, ok := strings.Cut(version, ":"); ok {
		version = rest
	}
	version, _, _ = cutLast(version)
	for _, mark := range []string{"+dfsg", "+ds", "~dfsg"} {
		version, _, _ = strings.Cut(version, mark)
	}
	return version
}
