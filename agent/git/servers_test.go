package git

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// serveGit runs git daemon over a directory, a process for each connection,
// and returns its URL.
func serveGit(t testing.TB, base string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				socket, err := conn.(*net.TCPConn).File()
				if err != nil {
					return
				}
				defer socket.Close()
				cmd := exec.Command("git", "daemon", "--inetd", "--export-all", "--base-path="+base)
				cmd.Env, cmd.Stdin, cmd.Stdout = gitEnv(), socket, socket
				cmd.Run()
			}()
		}
	}()
	return "git://" + listener.Addr().String()
}

// serveHTTP runs git http-backend behind basic authentication or a token.
func serveHTTP(t testing.TB, base, user, password, token string) string {
	t.Helper()
	execPath, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		t.Fatal(err)
	}
	backend := &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(execPath)), "git-http-backend"),
		Env:  append(gitEnv(), "GIT_PROJECT_ROOT="+base, "GIT_HTTP_EXPORT_ALL=1"),
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		gotUser, gotPassword, _ := r.BasicAuth()
		basic := password != "" && gotUser == user && gotPassword == password
		bearer := token != "" && r.Header.Get("Authorization") == "Bearer "+token
		if !basic && !bearer {
			w.Header().Set("WWW-Authenticate", "Basic realm=git")
			http.Error(w, "who are you, with "+r.Header.Get("Authorization")+"?", http.StatusUnauthorized)
			return
		}
		backend.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// serveSSH runs git-upload-pack for who has the key in the returned file.
func serveSSH(t testing.TB) (addr, keyFile, knownHostsFile string) {
	t.Helper()
	dir := t.TempDir()
	_, hostKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	host, err := ssh.NewSignerFromKey(hostKey)
	if err != nil {
		t.Fatal(err)
	}
	_, userKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	user, err := ssh.NewSignerFromKey(userKey)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(userKey, "")
	if err != nil {
		t.Fatal(err)
	}
	keyFile, knownHostsFile = filepath.Join(dir, "key"), filepath.Join(dir, "known_hosts")
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if !bytes.Equal(key.Marshal(), user.PublicKey().Marshal()) {
			return nil, fmt.Errorf("unknown key")
		}
		return nil, nil
	}}
	config.AddHostKey(host)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	addr = listener.Addr().String()
	line := knownhosts.Line([]string{knownhosts.Normalize(addr)}, host.PublicKey()) + "\n"
	for name, content := range map[string][]byte{keyFile: pem.EncodeToMemory(block), knownHostsFile: []byte(line)} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go answerSSH(conn, config)
		}
	}()
	return addr, keyFile, knownHostsFile
}

func answerSSH(conn net.Conn, config *ssh.ServerConfig) {
	defer conn.Close()
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for offered := range channels {
		channel, requests, err := offered.Accept()
		if err != nil {
			return
		}
		for req := range requests {
			if req.Type != "exec" {
				req.Reply(false, nil)
				continue
			}
			req.Reply(true, nil)
			var command struct{ Line string }
			ssh.Unmarshal(req.Payload, &command)
			go func() {
				cmd := exec.Command("sh", "-c", command.Line)
				cmd.Env, cmd.Stdout, cmd.Stderr = gitEnv(), channel, channel.Stderr()
				stdin, _ := cmd.StdinPipe()
				go func() {
					io.Copy(stdin, channel)
					stdin.Close()
				}()
				var status struct{ Code uint32 }
				if cmd.Run() != nil {
					status.Code = 1
				}
				channel.SendRequest("exit-status", false, ssh.Marshal(status))
				channel.Close()
			}()
		}
	}
}
