// Keys that are there before the first fetch, and keys for a service that never reaches Logto.

package recipes

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"os"

	"github.com/seed-70fe37f4/logto"
)

// keepKeys fetches the key set and writes it to a file, whole or not at all.
func keepKeys(ctx context.Context, v *logto.Verifier, name string) error {
	if err := v.Refresh(ctx); err != nil {
		return err
	}
	text, err := json.Marshal(v.KeySets()[0])
	if err != nil {
		return err
	}
	if err := os.WriteFile(name+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// newWithKeys is logto.New with the keys of the file. A file that is missing or broken is no
// reason not to start: the log tells, and the first token fetches them.
func newWithKeys(cfg logto.Config, name string) (*logto.Verifier, error) {
	text, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(text, &cfg.KeySet)
	}
	if err == nil {
		var v *logto.Verifier
		if v, err = logto.New(cfg); err == nil {
			return v, nil
		}
	}
	slog.Warn("no keys from the file", "name", name, "error", err)
	cfg.KeySet = logto.KeySet{}
	return logto.New(cfg)
}

// withoutLogto takes the key set from a file: of https://tenant.logto.app from oidc/jwks
// below the folder.
func withoutLogto(cfg logto.Config, folder string) logto.Config {
	cfg.HTTPClient = &http.Client{Transport: http.NewFileTransportFS(os.DirFS(folder))}
	return cfg
}
