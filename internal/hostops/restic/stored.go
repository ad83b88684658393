package restic

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// Why a restore refuses. All are found before anything of the shop is stopped or changed.
var (
	ErrNoBackup = errors.New("there is no such backup")
	ErrDamaged  = errors.New("the backup is damaged")
	ErrNoRoom   = errors.New("there is no room for the restore")
)

// Stored is a backup in a repository.
type Stored struct {
	Repo     Repository
	Snapshot Snapshot
	Stack    string // whose backup it must be; empty: any
}

// Name says which backup it is, for people.
func (s Stored) Name() string {
	return fmt.Sprintf("backup %s of destination %s", s.Snapshot.ID, s.Repo.Name)
}

// Describe reads the manifest of the backup. A manifest that cannot be read is ErrDamaged.
func (s Stored) Describe(ctx context.Context) (hostspec.Manifest, error) {
	var m hostspec.Manifest
	var text bytes.Buffer
	if err := s.Repo.Run(ctx, &text, "dump", "--no-lock", "--no-cache", s.Snapshot.Snapshot,
		path.Join(s.Snapshot.Path, "manifest.json")); err != nil {
		return m, s.Judge(ctx, err)
	}
	if err := json.Unmarshal(text.Bytes(), &m); err != nil || m.Format != 1 || m.ID != s.Snapshot.ID {
		return m, fmt.Errorf("%w: its manifest is not one", ErrDamaged)
	}
	if s.Stack != "" && m.Stack != s.Stack {
		return m, fmt.Errorf("%w: its manifest is of stack %q, not of %q", ErrDamaged, m.Stack, s.Stack)
	}
	return m, nil
}

// Fetch restores the backup into a directory, which is created.
func (s Stored) Fetch(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	err := s.Repo.Run(ctx, io.Discard, "restore", "--quiet", "--no-lock", "--no-cache",
		s.Snapshot.Snapshot+":"+s.Snapshot.Path, "--target", dir)
	return s.Judge(ctx, err)
}

// Judge tells a damaged backup from a destination that is away.
func (s Stored) Judge(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	if away := s.Repo.opens(ctx); away != nil {
		return fmt.Errorf("destination %s: %w", s.Repo.Name, away)
	}
	return fmt.Errorf("%w: %w; `restore list` shows the others", OrNoRoom(ErrDamaged), err)
}
