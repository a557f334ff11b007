package buildkit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

func named(addresses ...string) (nodes []*node) {
	for _, a := range addresses {
		nodes = append(nodes, &node{address: a})
	}
	return nodes
}

func TestRank(t *testing.T) {
	const names = 10000
	four := named("tcp://a:1", "tcp://b:1", "tcp://c:1", "tcp://d:1")
	count := map[string]int{}
	for i := range names {
		count[rank(four, fmt.Sprint("layer", i))[0].address]++
	}
	for _, n := range four {
		if c := count[n.address]; c < names/4*9/10 || c > names/4*11/10 {
			t.Errorf("%s has %d of %d names", n.address, c, names)
		}
	}
	// Without c only c's names move; each to the node that was its second.
	three := named("tcp://d:1", "tcp://b:1", "tcp://a:1")
	for i := range names {
		name := fmt.Sprint("layer", i)
		before, after := rank(four, name), rank(three, name)
		want := before[0].address
		if want == "tcp://c:1" {
			want = before[1].address
		}
		if after[0].address != want {
			t.Fatalf("%s moves from %s to %s", name, before[0].address, after[0].address)
		}
	}
}

func TestCheckReach(t *testing.T) {
	for _, test := range []struct {
		address, registry string
		ok                bool
	}{
		{"unix:///run/buildkitd.sock", "127.0.0.1:5000", true},
		{"tcp://127.0.0.1:1234", "localhost:5000", true},
		{"tcp://localhost:1234", "[::1]:5000", true},
		{"tcp://buildkit-0:1234", "registry.lab.example", true},
		{"tcp://buildkit-0:1234", "registry.lab.example:5000", true},
		{"tcp://buildkit-0:1234", "127.0.0.1:5000", false},
		{"tcp://10.0.0.7:1234", "localhost", false},
		{"tcp://10.0.0.7:1234", "LocalHost:5000", false},
		{"tcp://10.0.0.7:1234", "[::1]:5000", false},
		{"tcp://10.0.0.7:1234", "127.1.2.3:5000", false},
		{"kube-pod://buildkit", "localhost:5000", false},
	} {
		err := CheckReach([]string{"unix:///run/x.sock", test.address}, test.registry)
		if (err == nil) != test.ok {
			t.Errorf("%s to %s: %v", test.address, test.registry, err)
		}
		if err != nil && (!strings.Contains(err.Error(), test.address) || !strings.Contains(err.Error(), test.registry)) {
			t.Errorf("error names neither: %v", err)
		}
	}
}

func TestUnreachable(t *testing.T) {
	// An address that was free a moment ago refuses connections.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refusing := "tcp://" + l.Addr().String()
	l.Close()
	s := solvable(t, "FROM scratch\nCOPY f /f\n", memFS{{path: "f", data: "x"}}, nil, byContent)

	both := mustNew(t, Options{Addresses: []string{refusing, sharedDaemon.Address()}})
	o := order(t, s)
	for i := 0; rank(both.nodes, string(o.Layer))[0].address != refusing; i++ {
		o.Layer = layers.Name(fmt.Sprint("layer", i))
	}
	mustBuild(t, both, o)

	none := mustNew(t, Options{Addresses: []string{refusing}})
	_, err = none.Build(t.Context(), o, nil)
	var mistake *pipeline.BuildError
	if err == nil || !strings.Contains(err.Error(), refusing) || errors.As(err, &mistake) {
		t.Errorf("error %v", err)
	}
}

func TestLimit(t *testing.T) {
	n := &node{places: make(chan struct{}, 1)}
	leave, err := n.enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("superseded")
	cancel(why)
	if _, err := n.enter(ctx); !errors.Is(err, why) {
		t.Errorf("a second build enters: %v", err)
	}
	leave()
	if _, err := n.enter(t.Context()); err != nil {
		t.Errorf("a place given back is not free: %v", err)
	}
}

// TestDaemonComesBack holds that a builder works on once a daemon is back at
// its address.
func TestDaemonComesBack(t *testing.T) {
	d := freshDaemon(t)
	b := mustNew(t, Options{Addresses: []string{d.Address()}})
	o := order(t, solvable(t, "FROM scratch\nCOPY f /f\n", memFS{{path: "f", data: "x"}}, nil, byContent))
	mustBuild(t, b, o)
	d.Stop(t.Context())
	if _, err := b.Build(t.Context(), o, nil); err == nil {
		t.Fatal("a daemon that has ended builds")
	}
	startAt(t, filepath.Dir(strings.TrimPrefix(d.Address(), "unix://")))
	eventually(t, "a build succeeds", func() bool {
		_, err := b.Build(t.Context(), o, nil)
		return err == nil
	})
}

func TestOptionsAreChecked(t *testing.T) {
	for _, o := range []Options{
		{},
		{Addresses: []string{"unix:///x"}, Compression: "lzma"},
		{Addresses: []string{"unix:///x"}, Attestations: Attestations{Provenance: "all"}},
		{Addresses: []string{"unix:///x"}, Attestations: Attestations{SBOM: true, Scanner: "a,b=c"}},
		{Addresses: []string{"tcp://x:1"}, TLS: &TLS{CA: "/nowhere/ca.pem"}},
	} {
		if b, err := New(o); err == nil {
			b.Close()
			t.Errorf("%+v is taken", o)
		}
	}
	b := mustNew(t, Options{})
	s := solvable(t, "FROM scratch\nCOPY f /f\n", memFS{{path: "f", data: "x"}}, nil, byContent)
	for _, change := range []func(*pipeline.Order){
		func(o *pipeline.Order) { o.Repository += ",evil.example/x" },
		func(o *pipeline.Order) { o.Repository += ":tag" },
		func(o *pipeline.Order) { o.Repository = "" },
		func(o *pipeline.Order) { o.Annotations = map[string]string{"a b": "c"} },
		func(o *pipeline.Order) { b := *o.Build; b.Definition = nil; o.Build = &b },
		func(o *pipeline.Order) {
			b := *o.Build
			b.Image, o.Labels, o.Build = []byte("no json"), map[string]string{"a": "b"}, &b
		},
	} {
		o := order(t, s)
		change(&o)
		if built, err := b.Build(t.Context(), o, nil); err == nil {
			t.Errorf("built %s from %+v", built.Digest, o)
		}
	}
}
