package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
	gitssh "github.com/go-git/go-git/v5/plumbing/transport/ssh"
	"golang.org/x/crypto/ssh"
)

// dial connects; the connection breaks when the context ends.
func dial(ctx context.Context, host string, port int) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(strings.Trim(host, "[]"), strconv.Itoa(port)))
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	return conn, nil
}

func dialGit(ctx context.Context, a address, guard guard) (conversation, error) {
	port := a.endpoint.Port
	if port == 0 {
		port = 9418 // IANA's for git
	}
	conn, err := dial(ctx, a.endpoint.Host, port)
	if err != nil {
		return nil, err
	}
	host := a.endpoint.Host
	if a.endpoint.Port != 0 {
		host += ":" + strconv.Itoa(a.endpoint.Port)
	}
	req := packp.GitProtoRequest{RequestCommand: transport.UploadPackServiceName, Pathname: a.endpoint.Path, Host: host}
	if err := req.Encode(conn); err != nil {
		conn.Close()
		return nil, err
	}
	return &stream{
		in:     guard.reader(conn, maxAdvertised),
		out:    conn,
		close:  func() error { return nil },
		broken: func(err error) error { return err },
	}, nil
}

func dialSSH(ctx context.Context, a address, guard guard) (conversation, error) {
	config, err := sshConfig(a)
	if err != nil {
		return nil, err
	}
	conn, err := dial(ctx, a.endpoint.Host, a.endpoint.Port)
	if err != nil {
		return nil, err
	}
	addr := net.JoinHostPort(a.endpoint.Host, strconv.Itoa(a.endpoint.Port))
	c, channels, requests, err := ssh.NewClientConn(conn, addr, config)
	if err != nil {
		conn.Close()
		return nil, err
	}
	client := ssh.NewClient(c, channels, requests)
	s, err := startUploadPack(client, a.endpoint.Path, guard)
	if err != nil {
		client.Close()
		return nil, err
	}
	return s, nil
}

func startUploadPack(client *ssh.Client, path string, guard guard) (conversation, error) {
	session, err := client.NewSession()
	if err != nil {
		return nil, err
	}
	out, err := session.StdinPipe()
	if err != nil {
		return nil, err
	}
	in, err := session.StdoutPipe()
	if err != nil {
		return nil, err
	}
	said := &complaint{}
	session.Stderr = said
	if err := session.Start(transport.UploadPackServiceName + " " + shellQuote(path)); err != nil {
		return nil, err
	}
	return &stream{in: guard.reader(in, maxAdvertised), out: out, close: client.Close, broken: func(err error) error {
		if errors.Is(err, packp.ErrEmptyInput) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			session.Wait() // for the rest of its complaint; the stream is at its end
			if text := said.String(); text != "" {
				return fmt.Errorf("%w: the remote said: %s", err, text)
			}
		}
		return err
	}}, nil
}

func shellQuote(s string) string {
	return "'" + strings.NewReplacer("'", `'\''`, "!", `'\!'`).Replace(s) + "'"
}

func sshConfig(a address) (*ssh.ClientConfig, error) {
	user := a.remote.Username
	if user == "" {
		user = "git"
	}
	var auth gitssh.AuthMethod
	var err error
	switch {
	case a.remote.SSHKey != "":
		auth, err = gitssh.NewPublicKeysFromFile(user, a.remote.SSHKey, a.remote.Password)
	case a.remote.Password != "":
		auth = &gitssh.Password{User: user, Password: a.remote.Password}
	default:
		auth, err = gitssh.NewSSHAgentAuth(user)
	}
	if err != nil {
		return nil, fmt.Errorf("prepare ssh: %w", err)
	}
	var files []string
	if a.remote.KnownHosts != "" {
		files = []string{a.remote.KnownHosts}
	}
	known, err := gitssh.NewKnownHostsDb(files...)
	if err != nil {
		return nil, fmt.Errorf("read known hosts: %w", err)
	}
	switch auth := auth.(type) {
	case *gitssh.PublicKeys:
		auth.HostKeyCallback = known.HostKeyCallback()
	case *gitssh.Password:
		auth.HostKeyCallback = known.HostKeyCallback()
	case *gitssh.PublicKeysCallback:
		auth.HostKeyCallback = known.HostKeyCallback()
	}
	config, err := auth.ClientConfig()
	if err != nil {
		return nil, err
	}
	config.HostKeyAlgorithms = known.HostKeyAlgorithms(net.JoinHostPort(a.endpoint.Host, strconv.Itoa(a.endpoint.Port)))
	return config, nil
}

// complaint keeps the beginning of what the far command writes to its standard
// error.
type complaint struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (c *complaint) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	const most = 2000
	c.text.Write(p[:min(len(p), max(0, most-c.text.Len()))])
	return len(p), nil
}

func (c *complaint) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.TrimSpace(c.text.String())
}
