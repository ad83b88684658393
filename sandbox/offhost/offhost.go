// Package offhost serves the places away from the host that take backups: restic's own rest-server,
// append-only, and an S3 store.
package offhost

import (
	"crypto/sha1" //nolint:gosec // the form of an htpasswd file that needs no further library
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3bolt"
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

// S3 serves one bucket below dir to whoever names the access key; whoever names reader may only read. It does not
// check signatures.
func S3(dir, bucket, accessKey, reader string) (http.Handler, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("S3 store: %w", err)
	}
	// Not the backend of plain files: it takes an empty folder for a missing bucket.
	backend, err := s3bolt.NewFile(filepath.Join(dir, "store.db"))
	if err != nil {
		return nil, fmt.Errorf("S3 store: %w", err)
	}
	if known, err := backend.BucketExists(bucket); err != nil || !known {
		if err := backend.CreateBucket(bucket); err != nil {
			return nil, fmt.Errorf("S3 store: make bucket %s: %w", bucket, err)
		}
	}
	store := gofakes3.New(backend).Server()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		names := func(key string) bool { return strings.Contains(r.Header.Get("Authorization"), "Credential="+key+"/") }
		switch {
		case names(accessKey), names(reader) && (r.Method == http.MethodGet || r.Method == http.MethodHead):
			store.ServeHTTP(w, r)
		case names(reader):
			refuse(w, "AccessDenied", "This access key only reads.")
		default:
			refuse(w, "InvalidAccessKeyId", "The access key is not known here.")
		}
	}), nil
}

func refuse(w http.ResponseWriter, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(http.StatusForbidden)
	fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>%s</Message></Error>`, code, message)
}
