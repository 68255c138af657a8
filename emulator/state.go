package emulator

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// stored is the state file.
type stored struct {
	Emulator string  `json:"emulator"` // the endpoint, and what the file is
	Sum      string  `json:"sum"`      // of the description that Tenant began as
	Tenant   *tenant `json:"tenant"`
	Issued   *issued `json:"issued"`
}

// load reads description and state. What was changed at the control page is kept, until
// the description changes.
func (s *Server) load() error {
	t, from, err := s.read()
	if err != nil {
		return err
	}
	s.tenant, s.source = t, from
	if s.state != "" {
		kept, err := readState(s.state)
		if err != nil {
			return err
		}
		if kept != nil {
			if kept.Emulator != s.endpoint {
				return fmt.Errorf("%s is the state of the emulator at %s, and this one is %s: give it a file of its own", s.state, kept.Emulator, s.endpoint)
			}
			s.issued = kept.Issued
			if kept.Sum == from.sum {
				s.tenant = kept.Tenant
			} else {
				s.tenant.adopt(kept.Tenant)
			}
		}
	}
	if s.issued == nil {
		s.issued = newIssued()
	}
	s.stamp()
	return s.save()
}

// read reads the description.
func (s *Server) read() (*tenant, source, error) {
	text, from := s.given, source{}
	if s.file != "" {
		var err error
		if from, err = stat(s.file); err == nil {
			text, err = os.ReadFile(s.file)
		}
		if err != nil {
			return nil, from, err
		}
	}
	sum := sha256.Sum256(text)
	from.sum = hex.EncodeToString(sum[:])
	t, err := readTenant(text)
	if err != nil && s.file != "" {
		err = fmt.Errorf("%s: %w", s.file, err)
	}
	return t, from, err
}

// reread takes a changed file. One that makes no sense changes nothing.
func (s *Server) reread() {
	if s.file == "" || s.problem == "" && s.source.isStill(s.file) {
		return
	}
	t, from, err := s.read()
	switch {
	case err == nil:
		s.problem = ""
		if from.sum != s.source.sum {
			t.adopt(s.tenant)
			s.tenant = t
			s.stamp()
			s.issued.keep(t, s.now())
			s.logger.Info("emulator: the file has changed, and is taken")
		}
		s.source = from
	case err.Error() != s.problem:
		s.problem = err.Error()
		s.logger.Warn("emulator: the file is not taken", "error", err)
	}
}

// adopt takes over users who were made at the sign-in page: they are in no file.
func (t *tenant) adopt(before *tenant) {
	for _, u := range before.Users {
		if !u.Made || t.hinted(u.ID) != nil || t.hinted(u.Username) != nil || t.hinted(u.PrimaryEmail) != nil {
			continue // the file has somebody of that name
		}
		var had []string
		for _, name := range u.Roles {
			if r := t.role(name); r != nil && r.Type == "User" {
				had = append(had, name)
			}
		}
		u.Roles = had
		t.Users = append(t.Users, u)
	}
}

// stamp gives users the times that ID tokens have.
func (s *Server) stamp() {
	now := s.now().UnixMilli()
	for _, u := range s.tenant.Users {
		if u.CreatedAt == 0 {
			u.CreatedAt = now
		}
		if u.UpdatedAt == 0 {
			u.UpdatedAt = u.CreatedAt
		}
	}
}

func readState(file string) (*stored, error) {
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s has private keys, and others than its owner may read or write it (%v): chmod 600, or delete it", file, info.Mode().Perm())
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var kept stored
	if err := decodeStrict(b, &kept); err != nil {
		return nil, fmt.Errorf("%s is no state of an emulator of this version (%v): delete it to begin anew", file, err)
	}
	if kept.Issued == nil || len(kept.Issued.Keys) == 0 || kept.Tenant == nil {
		return nil, fmt.Errorf("%s is no state of an emulator: delete it to begin anew", file)
	}
	if err := kept.Tenant.check(); err != nil {
		return nil, fmt.Errorf("%s: %w: delete it to begin anew", file, err)
	}
	if err := kept.Issued.whole(); err != nil {
		return nil, fmt.Errorf("%s is no state of an emulator (%v): delete it to begin anew", file, err)
	}
	kept.Issued.fill()
	return &kept, nil
}

// save writes the state if it has changed. Who holds the lock calls it.
func (s *Server) save() error {
	if s.state == "" {
		return nil
	}
	b, err := json.Marshal(stored{s.endpoint, s.source.sum, s.tenant, s.issued})
	if err != nil || bytes.Equal(b, s.saved) {
		return err
	}
	if err = replace(s.state, b); err == nil {
		s.saved = b
	}
	return err
}

// replace writes a file as a whole or not at all.
func replace(file string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".emulator-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // of nothing, if it was renamed
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	return err
}

// unlock ends a request: it saves first.
func (s *Server) unlock() {
	if err := s.save(); err != nil {
		s.logger.Warn("emulator: the state can't be written", "error", err)
	}
	s.mu.Unlock()
}

// lock begins one, with what the file says now.
func (s *Server) lock() {
	s.mu.Lock()
	s.reread()
	if now := time.Now(); now.Sub(s.log.swept) > time.Minute {
		s.log.swept = now
		s.issued.keep(s.tenant, s.now())
	}
}
