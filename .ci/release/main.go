// Command release proves that what this repository publishes can be used. It makes
// a module proxy from the files of the work tree, as if they had been tagged, and
// uses each published module as its users do: from a module that is elsewhere, with
// nothing but that proxy and, for the modules of others, the module cache.
//
//	go run .
//
// Before that it looks whether the go.mod files and the changelog agree, and are tidy,
// which fills the module cache. From then on nothing is downloaded.
package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"embed"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
)

func main() {
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "release: takes no arguments; see go doc")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	top, err := command(ctx, ".", nil, "git", "rev-parse", "--show-toplevel")
	if err != nil {
		return err
	}
	r, err := read(ctx, strings.TrimSpace(top))
	if err != nil {
		return err
	}
	if err := r.check(); err != nil {
		return err
	}
	temp, err := os.MkdirTemp("", "release")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	proxy := filepath.Join(temp, "proxy")
	if err := r.publish(proxy); err != nil {
		return err
	}
	cache, err := r.cache(ctx)
	if err != nil {
		return err
	}
	u := &user{root: r.modules[0].Path, version: r.version, temp: temp, env: []string{
		"GOPROXY=" + fileURL(proxy) + "," + fileURL(cache), "GOSUMDB=off", "GONOSUMDB=", "GOPRIVATE=", "GONOPROXY=", "GOVCS=*:off",
		"GOMODCACHE=" + filepath.Join(temp, "mod"), "GOBIN=" + filepath.Join(temp, "bin"),
		// -trimpath lets what was built here before serve again.
		"GOFLAGS=-modcacherw -trimpath", "GOWORK=off", "GOTOOLCHAIN=local",
	}}
	for _, use := range uses {
		if err := u.use(ctx, use.name, use.pkg); err != nil {
			return fmt.Errorf("%s, used from a module elsewhere: %w", use.name, err)
		}
		_, _ = fmt.Fprintf(out, "go get %s@%s: the test of a program that uses it passes\n", u.path(use.pkg), r.version)
	}
	if err := u.install(ctx); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "go install %s@%s: the command runs\n", u.path(tool), r.version)
	return nil
}

// uses are the programs in testdata, and the one package that each asks for: who asks for
// an observer need not have asked for the library before.
var uses = []struct{ name, pkg string }{
	{"library", ""},
	{"prometheus", "observers/promlogto"},
	{"opentelemetry", "observers/otellogto"},
	{"redis", "revocation/redisstore"},
}

const tool = "cmd/logto"

//go:embed testdata
var programs embed.FS

// user is somebody who has nothing but the proxy.
type user struct {
	root, version, temp string
	env                 []string
}

func (u *user) path(pkg string) string { return strings.TrimSuffix(u.root+"/"+pkg, "/") }

func (u *user) use(ctx context.Context, name, pkg string) error {
	dir := filepath.Join(u.temp, "use", name)
	program, err := fs.Sub(programs, "testdata/"+name)
	if err != nil {
		return err
	}
	if err := os.CopyFS(dir, program); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"mod", "init", "example.com/" + name}, {"get", u.path(pkg) + "@" + u.version}, {"mod", "tidy"}, {"vet", "./..."}, {"test", "./..."},
	} {
		if _, err := command(ctx, dir, u.env, append([]string{"go"}, args...)...); err != nil {
			return err
		}
	}
	// What was built is what was asked for.
	version, err := command(ctx, dir, u.env, "go", "list", "-m", "-f", "{{.Version}}{{with .Replace}} replaced{{end}}", u.root)
	if version = strings.TrimSpace(version); err == nil && version != u.version {
		err = fmt.Errorf("the library is at %s, not %s", version, u.version)
	}
	return err
}

func (u *user) install(ctx context.Context) error {
	if _, err := command(ctx, u.temp, u.env, "go", "install", u.path(tool)+"@"+u.version); err != nil {
		return err
	}
	bin, err := filepath.Glob(filepath.Join(u.temp, "bin", "logto*"))
	if err != nil || len(bin) != 1 {
		return fmt.Errorf("go install left %q: %w", bin, err)
	}
	info, err := buildinfo.ReadFile(bin[0])
	if err != nil {
		return err
	}
	if info.Main.Path != u.root || info.Main.Version != u.version {
		return fmt.Errorf("the command is of %s@%s", info.Main.Path, info.Main.Version)
	}
	_, err = command(ctx, u.temp, u.env, bin[0], "-h")
	return err
}

// command gives what a command writes to its standard output. The error has the rest.
func command(ctx context.Context, dir string, env []string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, stdout.String()+stderr.String())
	}
	return stdout.String(), nil
}
