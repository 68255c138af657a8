// What go.mod files and changelog must agree on.

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"
)

// published are the folders of the modules that users import.
var published = []string{".", "observers", "revocation/redisstore"}

type repository struct {
	root      string
	files     []string // with slashes, from the root
	modules   []*mod   // the library first
	version   string   // that the modules want of the library
	changelog string
}

type mod struct {
	dir string // "." or with slashes, from the root
	*modfile.File
	Path string
}

func (m *mod) prefix() string {
	if m.dir == "." {
		return ""
	}
	return m.dir + "/"
}

// read reads the work tree at root: what git has, and new files that it doesn't ignore.
func read(ctx context.Context, root string) (*repository, error) {
	names, err := command(ctx, root, nil, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate")
	if err != nil {
		return nil, err
	}
	r := &repository{root: root}
	for name := range strings.SplitSeq(strings.TrimSuffix(names, "\x00"), "\x00") {
		if _, err := os.Lstat(filepath.Join(root, filepath.FromSlash(name))); err != nil {
			continue // deleted, and git not told yet
		}
		r.files = append(r.files, name)
		if path.Base(name) != "go.mod" {
			continue
		}
		content, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			return nil, err
		}
		parsed, err := modfile.Parse(name, content, nil)
		if err != nil {
			return nil, err
		}
		if parsed.Module == nil || parsed.Go == nil {
			return nil, fmt.Errorf("%s has no module or no go line", name)
		}
		m := &mod{dir: path.Dir(name), File: parsed, Path: parsed.Module.Mod.Path}
		r.modules = append(r.modules, m)
	}
	slices.SortStableFunc(r.modules, func(a, b *mod) int { return len(a.prefix()) - len(b.prefix()) })
	if len(r.modules) == 0 || r.modules[0].dir != "." {
		return nil, errors.New("there is no go.mod")
	}
	text, err := os.ReadFile(filepath.Join(root, "CHANGELOG.md"))
	r.changelog = string(text)
	return r, err
}

func (r *repository) published() []*mod {
	var all []*mod
	for _, m := range r.modules {
		if slices.Contains(published, m.dir) {
			all = append(all, m)
		}
	}
	return all
}

// check finds the version, and what doesn't fit it.
func (r *repository) check() error {
	if n := len(r.published()); n != len(published) {
		return fmt.Errorf("%d of the modules %q are there", n, published)
	}
	library := r.modules[0]
	if len(library.Replace) > 0 {
		return errors.New("go.mod has a replace: go install of the command would fail")
	}
	var errs []error
	for _, m := range r.modules[1:] {
		if !slices.Contains(published, m.dir) {
			continue
		}
		if want := library.Path + "/" + m.dir; m.Path != want {
			errs = append(errs, fmt.Errorf("%s/go.mod: the module must be called %s", m.dir, want))
		}
		if m.Go.Version != library.Go.Version {
			errs = append(errs, fmt.Errorf("%s/go.mod asks for Go %s, the library for %s", m.dir, m.Go.Version, library.Go.Version))
		}
	}
	for _, m := range r.modules[1:] {
		for _, required := range m.Require {
			switch {
			case required.Mod.Path != library.Path:
				continue
			case r.version == "":
				r.version = required.Mod.Version
			}
			if required.Mod.Version != r.version {
				errs = append(errs, fmt.Errorf("%s/go.mod wants the library at %s, others at %s", m.dir, required.Mod.Version, r.version))
			}
		}
	}
	return errors.Join(append(errs, r.checkVersion())...)
}

var heading = regexp.MustCompile(`(?m)^## (.*)$`)

// checkVersion looks whether the version is that of the next release, or of the last one
// if nothing has changed since.
func (r *repository) checkVersion() error {
	if v := r.version; semver.Canonical(v) != v || semver.Build(v) != "" || semver.Compare(v, "v0.0.0") <= 0 {
		return fmt.Errorf("%q is no version for a release", v)
	}
	headings := heading.FindAllStringSubmatch(r.changelog, -1)
	if len(headings) == 0 {
		return errors.New("CHANGELOG.md has no heading")
	}
	for i, h := range headings {
		version, _, _ := strings.Cut(h[1], " ")
		switch {
		case version == r.version && i > 0:
			return fmt.Errorf("%s is released, and CHANGELOG.md has newer changes: the go.mod files must name the next version", version)
		case i > 0:
		case version != "Unreleased" && version != r.version:
			return fmt.Errorf("CHANGELOG.md begins with %q; the go.mod files name %s", h[1], r.version)
		}
	}
	return nil
}
