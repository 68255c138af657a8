// The proxy: files as the go command asks for them.

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

// publish writes the published modules to dir, which becomes the proxy
// (https://go.dev/ref/mod#goproxy-protocol).
func (r *repository) publish(dir string) error {
	for _, m := range r.published() {
		escaped, err := module.EscapePath(m.Path)
		if err != nil {
			return err
		}
		at := filepath.Join(dir, filepath.FromSlash(escaped), "@v")
		if err := os.MkdirAll(at, 0o755); err != nil {
			return err
		}
		goMod, err := os.ReadFile(filepath.Join(r.root, filepath.FromSlash(m.dir), "go.mod"))
		if err != nil {
			return err
		}
		info, err := json.Marshal(struct {
			Version string
			Time    time.Time
		}{r.version, time.Now().UTC().Truncate(time.Second)})
		if err != nil {
			return err
		}
		for name, content := range map[string][]byte{"list": []byte(r.version + "\n"), r.version + ".info": info, r.version + ".mod": goMod} {
			if err := os.WriteFile(filepath.Join(at, name), content, 0o644); err != nil {
				return err
			}
		}
		if err := r.zip(filepath.Join(at, r.version+".zip"), m); err != nil {
			return fmt.Errorf("%s: %w", m.Path, err)
		}
	}
	return nil
}

// zip writes the archive of a module: its files without those of modules below it.
func (r *repository) zip(name string, m *mod) error {
	out, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(zip.Create(out, module.Version{Path: m.Path, Version: r.version}, r.filesOf(m)), out.Close())
}

// filesOf are the files for the archive of a module. Package zip leaves out what is
// in a module below. A module without a LICENSE gets the repository's, as from the go
// command.
func (r *repository) filesOf(m *mod) []zip.File {
	var files []zip.File
	licensed := false
	for _, name := range r.files {
		inside, ok := strings.CutPrefix(name, m.prefix())
		if !ok {
			continue
		}
		licensed = licensed || inside == license
		files = append(files, file{inside, filepath.Join(r.root, filepath.FromSlash(name))})
	}
	if !licensed {
		files = append(files, file{license, filepath.Join(r.root, license)})
	}
	return files
}

const license = "LICENSE"

// file is a zip.File.
type file struct{ name, at string }

func (f file) Path() string                 { return f.name }
func (f file) Lstat() (os.FileInfo, error)  { return os.Lstat(f.at) }
func (f file) Open() (io.ReadCloser, error) { return os.Open(f.at) }

// cache sees to it that all modules of others are in the module cache, and gives the folder
// of it that can serve as a proxy. What go mod tidy asks for in a published module is what
// it asks for in a module that uses it.
func (r *repository) cache(ctx context.Context) (string, error) {
	for _, m := range r.published() {
		if _, err := command(ctx, filepath.Join(r.root, filepath.FromSlash(m.dir)), nil, "go", "mod", "tidy", "-diff"); err != nil {
			return "", err
		}
	}
	cache, err := command(ctx, r.root, nil, "go", "env", "GOMODCACHE")
	return filepath.Join(strings.TrimSpace(cache), "cache", "download"), err
}

func fileURL(dir string) string {
	return (&url.URL{Scheme: "file", Path: path.Join("/", filepath.ToSlash(dir))}).String()
}
