package registry

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

func newTransport(roots *x509.CertPool, stall time.Duration) *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:       &tls.Config{RootCAs: roots},
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: stall,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConns:          256,
		MaxIdleConnsPerHost:   64,
		ForceAttemptHTTP2:     true,
		// The bytes as they are: their digest and their length count.
		DisableCompression: true,
	}
}

// schemed speaks to a registry in the way that its handshake found, whatever
// go-containerregistry guesses from the host's name.
type schemed struct {
	host, scheme string
	inner        http.RoundTripper
}

func (s schemed) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host == s.host && req.URL.Scheme != s.scheme {
		req = withScheme(req, s.scheme)
	}
	return s.inner.RoundTrip(req)
}

// encrypted uses TLS for every host that may not be spoken to in plain HTTP,
// also where a registry redirects to, or keeps its tokens.
type encrypted struct {
	mayBePlain func(host string) bool
	inner      http.RoundTripper
}

func (e encrypted) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme == "http" && !e.mayBePlain(req.URL.Host) {
		req = withScheme(req, "https")
	}
	return e.inner.RoundTrip(req)
}

func withScheme(req *http.Request, scheme string) *http.Request {
	req = req.Clone(req.Context())
	req.URL.Scheme = scheme
	return req
}

func (c *Client) mayBePlain(host string) bool { return c.plain[host] || loopback(host) }

// loopback reports whether a host, with or without a port, is this machine.
func loopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.IsLoopback()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}
