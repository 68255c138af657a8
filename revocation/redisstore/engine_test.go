//go:build unix

package redisstore_test

import (
	"context"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// engine is a redis-server of the test's own, on a loopback port.
type engine struct {
	t    testing.TB
	dir  string
	addr string
	args []string
	cmd  *exec.Cmd
}

func startEngine(t testing.TB, args ...string) *engine {
	t.Helper()
	if binary() == "" {
		t.Skip("neither redis-server nor valkey-server is installed: apt-get install redis-server")
	}
	e := &engine{t: t, dir: t.TempDir(), addr: freeAddr(t), args: args}
	e.start()
	t.Cleanup(e.kill)
	return e
}

func binary() string {
	for _, name := range []string{"redis-server", "valkey-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// start also starts it again, after kill: with what it has saved in its directory.
func (e *engine) start() {
	e.t.Helper()
	_, port, _ := net.SplitHostPort(e.addr)
	args := append([]string{"--port", port, "--bind", "127.0.0.1", "--dir", e.dir, "--save", "", "--appendonly", "no",
		"--logfile", filepath.Join(e.dir, "log")}, e.args...)
	e.cmd = exec.Command(binary(), args...)
	if err := e.cmd.Start(); err != nil {
		e.t.Fatal(err)
	}
	client := redis.NewClient(&redis.Options{Addr: e.addr, MaxRetries: -1})
	defer client.Close()
	for range 500 {
		if client.Ping(context.Background()).Err() == nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	e.t.Fatal("the engine doesn't start")
}

func (e *engine) kill() {
	_ = e.cmd.Process.Kill()
	_ = e.cmd.Wait()
}

func (e *engine) stop() { _ = e.cmd.Process.Signal(syscall.SIGSTOP) }
func (e *engine) cont() { _ = e.cmd.Process.Signal(syscall.SIGCONT) }

func (e *engine) do(args ...any) any {
	e.t.Helper()
	client := redis.NewClient(&redis.Options{Addr: e.addr})
	defer client.Close()
	got, err := client.Do(context.Background(), args...).Result()
	if err != nil {
		e.t.Fatal(args, err)
	}
	return got
}

// client is one instance's own, by the options that the documentation gives, or
// by those that a client has by itself.
func client(t testing.TB, addr string, byDefault bool) redis.UniversalClient {
	options := &redis.UniversalOptions{Addrs: []string{addr}}
	if !byDefault {
		options.ContextTimeoutEnabled, options.MaxRetries = true, -1
	}
	c := redis.NewUniversalClient(options)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// proxy stands between the instances and the engine.
type proxy struct {
	listener net.Listener
	target   string

	mu    sync.Mutex
	deaf  bool // new connections are taken and nothing of them is passed on
	shut  bool // new connections are closed at once
	pairs map[*pair]bool
}

type pair struct {
	client, server net.Conn
	stalled        chan struct{} // closed: nothing is passed on any more
	once           sync.Once
}

func startProxy(t testing.TB, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, target: target, pairs: map[*pair]bool{}}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(c)
		}
	}()
	t.Cleanup(func() { l.Close(); p.cut() })
	return p
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

func (p *proxy) serve(c net.Conn) {
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		c.Close()
		return
	}
	one := &pair{client: c, server: server, stalled: make(chan struct{})}
	p.mu.Lock()
	p.pairs[one] = true
	if p.deaf {
		one.stall()
	}
	if p.shut {
		c.Close()
		server.Close()
	}
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { one.pass(server, c) })
	both.Go(func() { one.pass(c, server) })
	both.Wait()
	c.Close()
	server.Close()
	p.mu.Lock()
	delete(p.pairs, one)
	p.mu.Unlock()
}

func (p *pair) stall() { p.once.Do(func() { close(p.stalled) }) }

func (p *pair) pass(to, from net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		select {
		case <-p.stalled:
			if err == nil {
				continue
			}
		default:
			if n > 0 {
				if _, err := to.Write(buf[:n]); err != nil {
					return
				}
			}
		}
		if err != nil {
			if err == io.EOF {
				_ = to.(*net.TCPConn).CloseWrite()
			}
			return
		}
	}
}

func (p *proxy) each(f func(*pair)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for one := range p.pairs {
		f(one)
	}
}

// cut closes all connections.
func (p *proxy) cut() { p.each(func(one *pair) { one.client.Close(); one.server.Close() }) }

// stall leaves all connections open and passes nothing on, for ever.
func (p *proxy) stall() { p.each((*pair).stall) }

// halfClose ends one direction of all connections.
func (p *proxy) halfClose(toClient bool) {
	p.each(func(one *pair) {
		c := one.server
		if toClient {
			c = one.client
		}
		_ = c.(*net.TCPConn).CloseWrite()
	})
}

func (p *proxy) set(deaf, shut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deaf, p.shut = deaf, shut
}
