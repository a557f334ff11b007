package clustertest

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Dial connects to an address in the node's network, as that of a pod.
func (k *Kubelet) Dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = k.inside(func() error {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// listen listens on an address in the node's network, for this process.
func (k *Kubelet) listen(address string) (l net.Listener, err error) {
	err = k.inside(func() error {
		l, err = net.Listen("tcp", address)
		return err
	})
	return l, err
}

// inside runs f on a thread that is in the node's network. What it opens there
// stays there.
func (k *Kubelet) inside(f func() error) error {
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", k.process.PID()))
	if err != nil {
		return err
	}
	defer ns.Close()
	done := make(chan error)
	go func() {
		// The thread is never unlocked, so it ends with this goroutine.
		runtime.LockOSThread()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	return <-done
}

// relay passes what is said to a listener on to the same address here.
func relay(l net.Listener, address string) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer in.Close()
			out, err := net.DialTimeout("tcp", address, 5*time.Second)
			if err != nil {
				return
			}
			defer out.Close()
			go func() {
				_, _ = io.Copy(out, in)
				_ = out.(*net.TCPConn).CloseWrite()
			}()
			_, _ = io.Copy(in, out)
		}()
	}
}
