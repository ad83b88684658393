// Package offhost serves places away from the host that take backups: restic's own rest-server, append-only, and SFTP.
package offhost

import (
	"crypto/sha1" //nolint:gosec // the form of an htpasswd file that needs no further library
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	restserver "github.com/restic/rest-server"
)

// Rest serves repositories below dir/<user> to that user, who may add to them and delete nothing.
func Rest(dir, user, password string) (http.Handler, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("rest-server: %w", err)
	}
	sum := sha1.Sum([]byte(password)) //nolint:gosec // as above
	line := user + ":{SHA}" + base64.StdEncoding.EncodeToString(sum[:]) + "\n"
	if err := os.WriteFile(filepath.Join(dir, ".htpasswd"), []byte(line), 0o600); err != nil {
		return nil, fmt.Errorf("rest-server: %w", err)
	}
	handler, err := restserver.NewHandler(&restserver.Server{Path: dir, AppendOnly: true, PrivateRepos: true})
	if err != nil {
		return nil, fmt.Errorf("rest-server: %w", err)
	}
	return handler, nil
}
