// Package sshfiles writes the SSH client files by which the Docker provider reaches a stack's
// host. Everything in them comes from state, and every path is relative to the project's root:
// the same on every machine, so that the provider's inputs never differ between runners.
package sshfiles

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/prekzursil/momentstudio-infra/internal/atomicfile"
	"github.com/prekzursil/momentstudio-infra/internal/render"
)

// Dir is where a stack's files lie, relative to the project's root. It is not committed.
func Dir(stack string) string { return ".momentstudio/" + stack + "/ssh" }

// Options are the ssh options of the Docker provider for a stack.
func Options(stack string) []string { return []string{"-F", Dir(stack) + "/config"} }

// Files is the content of the files.
type Files struct {
	Address     string
	PrivateKeys []string // PEMs of the newest deploy key and of the one before; secrets
	KnownHosts  []string // lines
}

// Write puts the files below root, two private keys at most, replacing each whole: key 0400, others 0600.
func Write(root, stack string, f Files) error {
	dir := filepath.Join(root, Dir(stack))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make %s: %w", Dir(stack), err)
	}
	config, err := render.SSHConfig(f.Address, Dir(stack))
	if err != nil {
		return err
	}
	type file struct {
		name, text string
		mode       os.FileMode
	}
	files := []file{
		{"known_hosts", strings.Join(f.KnownHosts, "\n") + "\n", 0o600},
		{"config", config, 0o600},
	}
	for i, key := range f.PrivateKeys {
		files = append(files, file{render.IdentityFiles[i], key, 0o400})
	}
	for _, file := range files {
		a := atomicfile.Attributes{Mode: file.mode}
		if err := atomicfile.Write(filepath.Join(dir, file.name), []byte(file.text), a); err != nil {
			return fmt.Errorf("write %s/%s: %w", Dir(stack), file.name, err)
		}
	}
	return nil
}
