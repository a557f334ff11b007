package git

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/go-git/go-git/v5/plumbing/transport"
)

// Remote is where a repository comes from, and what opens it. At most one of
// Token, Password and SSHKey is used, as the URL's scheme has it.
type Remote struct {
	// URL is a path, or begins with file://, http://, https://, ssh://, git://
	// or HOST:. A user and password in it count as Username and Password.
	URL string
	// Username and Password for http and https (basic authentication); the
	// user name also for ssh.
	Username, Password string
	// Token is a bearer token for http and https.
	Token string
	// TokenFile is a file with a token for http and https that forges take in the
	// place of a password, with any user name or Username. It is read anew for each
	// conversation, and counts before Token and Password.
	TokenFile string
	// SSHKey is a file with a private key; without it the agent at
	// SSH_AUTH_SOCK is asked. Password opens the key.
	SSHKey string
	// KnownHosts is a file; without it those of the user and the system count.
	KnownHosts string
}

// address is a remote taken apart, its URL without credentials.
type address struct {
	remote Remote
	// url names the remote for people and records: an absolute path for a
	// repository on this machine.
	url      string
	path     string // of a repository on this machine
	endpoint *transport.Endpoint
}

// scpLike is HOST:PATH and USER@HOST:PATH.
var scpLike = regexp.MustCompile(`^(?:([^@/:]+)@)?(\[[0-9a-fA-F:]+\]|[^@/:\[\]]+):([^:].*)$`)

// Name returns the URL by which a mirror of the remote is known.
func (r Remote) Name() (string, error) {
	from, err := r.parse()
	return from.url, err
}

// parse takes a remote apart. Its errors never show the URL, which may hold
// credentials where they do not belong.
func (r Remote) parse() (address, error) {
	if strings.ContainsAny(r.URL, "\n\r\x00") {
		return address{}, errors.New("the URL of the remote has control characters")
	}
	if !strings.Contains(r.URL, "://") {
		if m := scpLike.FindStringSubmatch(r.URL); m != nil {
			return r.ssh(m[1], strings.Trim(m[2], "[]"), 22, m[3])
		}
		return r.local(r.URL)
	}
	u, err := url.Parse(r.URL)
	if err != nil {
		return address{}, errors.New("the URL of the remote is malformed")
	}
	scheme := strings.ToLower(u.Scheme)
	if scheme == "file" {
		if u.Host != "" && u.Host != "localhost" {
			return address{}, errors.New("a file:// URL names a host; write file:///PATH")
		}
		return r.local(u.Path)
	}
	switch {
	case u.RawQuery != "" || u.Fragment != "":
		return address{}, errors.New("the URL of the remote has a query or a fragment; credentials are given separately")
	case u.Hostname() == "" || u.Path == "" || u.Path == "/":
		return address{}, errors.New("the URL of the remote lacks a host or a path")
	}
	port, err := strconv.Atoi("0" + u.Port())
	if err != nil || port > 65535 {
		return address{}, errors.New("the URL of the remote has a bad port")
	}
	if u.User != nil {
		if r.Username == "" {
			r.Username = u.User.Username()
		}
		if password, ok := u.User.Password(); ok && r.Password == "" && r.Token == "" {
			r.Password = password
		}
	}
	switch scheme {
	case "ssh":
		return r.ssh(r.Username, u.Hostname(), port, u.Path)
	case "http", "https", "git":
		clean := url.URL{Scheme: scheme, Host: strings.ToLower(u.Host), Path: u.Path}
		host := u.Hostname()
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		return address{remote: r, url: clean.String(), endpoint: &transport.Endpoint{
			Protocol: scheme, Host: host, Port: port, Path: (&url.URL{Path: u.Path}).EscapedPath(),
		}}, nil
	}
	return address{}, fmt.Errorf("the scheme %.20q of the remote is not supported: use a path, file, http, https, ssh or git", scheme)
}

func (r Remote) local(path string) (address, error) {
	if path == "" {
		return address{}, errors.New("the URL of the remote is empty")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return address{}, fmt.Errorf("find the remote's path: %w", err)
	}
	return address{remote: r, url: path, path: path}, nil
}

func (r Remote) ssh(user, host string, port int, path string) (address, error) {
	if r.Username == "" {
		r.Username = user
	}
	if strings.HasPrefix(path, "/~") {
		path = path[1:] // as git does: ~ is for the far shell
	}
	if port == 0 {
		port = 22
	}
	name := host
	if strings.Contains(name, ":") {
		name = "[" + name + "]"
	}
	if port != 22 {
		name += ":" + strconv.Itoa(port)
	}
	clean := url.URL{Scheme: "ssh", Host: strings.ToLower(name), Path: "/" + strings.TrimPrefix(path, "/")}
	return address{remote: r, url: clean.String(), endpoint: &transport.Endpoint{
		Protocol: "ssh", Host: host, Port: port, Path: path,
	}}, nil
}

// secrets are what no error may show, longest forms first.
func (r Remote) secrets() []string {
	var all []string
	for _, secret := range []string{r.Password, r.Token} {
		if secret != "" {
			all = append(all, url.QueryEscape(secret), url.PathEscape(secret), secret)
		}
	}
	if r.Password != "" {
		all = append(all, base64.StdEncoding.EncodeToString([]byte(r.Username+":"+r.Password)))
	}
	if r.Password == "" && len(r.Username) > 8 {
		all = append(all, r.Username) // a token in the place of a user name
	}
	return all
}

// remoteError is an error about a remote whose text shows no credentials.
type remoteError struct {
	text  string
	cause error
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.cause }

// tokenUser is the user name with a token, where none is given: forges take any,
// and for some of its tokens GitHub wants this one.
const tokenUser = "x-access-token"

// maxToken bounds a file with a token.
const maxToken = 64 << 10

// withToken is the address with the token that is in its file now.
func (a address) withToken() (address, error) {
	if a.remote.TokenFile == "" || a.endpoint == nil || a.endpoint.Protocol != "https" && a.endpoint.Protocol != "http" {
		return a, nil
	}
	token, err := readToken(a.remote.TokenFile)
	if err != nil {
		return a, fmt.Errorf("read the token: %w", err)
	}
	a.remote.Password, a.remote.Token = token, ""
	if a.remote.Username == "" {
		a.remote.Username = tokenUser
	}
	return a, nil
}

func readToken(name string) (string, error) {
	file, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxToken))
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(text))
	if token == "" || strings.ContainsFunc(token, unicode.IsSpace) {
		return "", fmt.Errorf("%s does not hold one word", name)
	}
	return token, nil
}

// hide removes credentials from an error's text.
func (a address) hide(err error) error {
	if err == nil || a.remote.TokenFile == "" {
		return err
	}
	return &remoteError{a.hidden(err.Error()), err}
}

func (a address) hidden(text string) string {
	for _, secret := range a.remote.secrets() {
		text = strings.ReplaceAll(text, secret, "***")
	}
	return text
}

// fault prefixes an error with what was being done to which remote, and
// removes credentials and control characters from its text.
func (a address) fault(op string, err error) error {
	if err == nil {
		return nil
	}
	text := a.hidden(err.Error())
	text = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return ' '
		}
		return c
	}, text)
	const most = 1000
	if len(text) > most {
		text = text[:most] + " …"
	}
	return &remoteError{fmt.Sprintf("%s %s: %s", op, a.url, strings.TrimSpace(text)), err}
}
