package appsettings

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// PublicKey reads a public key: a PEM text, the base64 of a DER file, or "file:" and a path below
// dir, to a file of either form. It returns a PEM text of a certificate or public key, and refuses
// private keys. The forms are those that the application reads (app-contract §2.5); what it does
// not check, an inline PEM, is checked here.
func PublicKey(value, dir string) (string, error) {
	text := []byte(value)
	if path, ok := strings.CutPrefix(value, "file:"); ok {
		if filepath.IsAbs(path) || !filepath.IsLocal(path) {
			return "", errors.New("the path leaves the project")
		}
		content, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil {
			return "", fmt.Errorf("the file cannot be read: %w", errors.Unwrap(err))
		}
		text = content
	} else if der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(value), "")); err == nil {
		text = der
	}
	return PublicKeyDER(text)
}

// PublicKeyDER is PublicKey for the content of a file, PEM or DER.
func PublicKeyDER(text []byte) (string, error) {
	if bytes.Contains(text, []byte("PRIVATE KEY")) {
		return "", errors.New("it is a private key")
	}
	der := text
	if block, _ := pem.Decode(text); block != nil {
		der = block.Bytes
	}
	if _, err := x509.ParseCertificate(der); err == nil {
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), nil
	}
	if _, err := x509.ParsePKIXPublicKey(der); err == nil {
		return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), nil
	}
	return "", errors.New("it is neither a certificate nor a public key")
}
