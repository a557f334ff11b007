package clustertest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/lab-layers/lab-layers/pipeline/child"
)

// Cluster is a control plane that runs.
type Cluster struct {
	Client     kubernetes.Interface
	Config     *rest.Config // an administrator's, without a client-side rate limit
	Kubeconfig string       // the same as a file
	Logs       string       // a directory with a file NAME.log for each program

	binaries, dir string
	token         string
	etcd, api     string // host:port
	running       map[string]*child.Process
}

// programs are what runs, each after what it needs.
var programs = [...]string{"etcd", apiServer, "kube-controller-manager", "kube-scheduler", "kwok"}

// attempts is how often a start is tried: a port that was free may be taken by
// the time it is used.
const attempts = 3

// startLimit bounds a start; it takes 3 s where nothing else runs.
const startLimit = 2 * time.Minute

// Start runs the programs in a directory of binaries and keeps what they write
// in dir. They end with Stop, or with this process.
func Start(ctx context.Context, binaries, dir string) (*Cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	var failed error
	for range attempts {
		c := &Cluster{binaries: binaries, dir: dir, Logs: filepath.Join(dir, "logs"), running: map[string]*child.Process{}}
		err := c.start(ctx)
		if err == nil {
			return c, nil
		}
		c.Stop()
		failed = fmt.Errorf("start of the test cluster: %w\n%s", err, c.tails())
		if !strings.Contains(failed.Error(), "address already in use") {
			break
		}
	}
	return nil, failed
}

func (c *Cluster) start(ctx context.Context) error {
	if err := c.prepare(); err != nil {
		return err
	}
	if err := c.run("etcd"); err != nil {
		return err
	}
	if err := c.StartAPIServer(ctx); err != nil {
		return err
	}
	for _, name := range programs[2:] {
		if err := c.run(name); err != nil {
			return err
		}
	}
	// The controllers are up once they have given an account to the pods.
	return c.running["kube-controller-manager"].Await(ctx, func(ctx context.Context) error {
		return c.accountIn(ctx, metav1.NamespaceDefault)
	})
}

// StartAPIServer starts the API server, again after StopAPIServer, and returns
// when it is ready.
func (c *Cluster) StartAPIServer(ctx context.Context) error {
	if err := c.run(apiServer); err != nil {
		return err
	}
	p := c.running[apiServer]
	if err := p.Await(ctx, func(context.Context) error {
		file, err := os.Stat(c.ca())
		if err == nil && file.Size() == 0 { // a client would trust the system's instead, for good
			err = errors.New("its certificate is being written")
		}
		return err
	}); err != nil {
		return err
	}
	if err := c.connect(); err != nil {
		return err
	}
	return p.Await(ctx, func(ctx context.Context) error {
		return c.Client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
}

// StopAPIServer takes the API server away from everybody; what it knows stays.
func (c *Cluster) StopAPIServer() { c.running[apiServer].Kill() }

// Stop ends every program.
func (c *Cluster) Stop() {
	for _, name := range slices.Backward(programs[:]) {
		if p := c.running[name]; p != nil {
			p.Kill()
		}
	}
}

// accountIn fails until a namespace has what every pod runs as.
func (c *Cluster) accountIn(ctx context.Context, namespace string) error {
	_, err := c.Client.CoreV1().ServiceAccounts(namespace).Get(ctx, "default", metav1.GetOptions{})
	return err
}

// connect makes the client, once.
func (c *Cluster) connect() error {
	if c.Client != nil {
		return nil
	}
	c.Config = &rest.Config{
		Host:            "https://" + c.api,
		BearerToken:     c.token,
		TLSClientConfig: rest.TLSClientConfig{CAFile: c.ca()},
		QPS:             -1,
	}
	client, err := kubernetes.NewForConfig(c.Config)
	c.Client = client
	return err
}

// tails is the end of every log.
func (c *Cluster) tails() string {
	var b strings.Builder
	for _, name := range programs {
		if p := c.running[name]; p != nil {
			fmt.Fprintf(&b, "%v\n", p.Because(errors.New(name)))
		}
	}
	return b.String()
}
