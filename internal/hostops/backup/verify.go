package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/hostops/fsutil"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/restic"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// sample chooses some of the files, or all when there are few: half of them those that were written last, which no
// run before has read back, and half by chance.
func sample(paths []string) []string {
	written := map[string]time.Time{}
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil { // one that is not there differs when it is compared
			written[path] = info.ModTime()
		}
	}
	slices.SortFunc(paths, func(a, b string) int { return written[b].Compare(written[a]) })
	n := min(sampleFiles, len(paths))
	rest := paths[n/2:]
	rand.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] }) //nolint:gosec // a sample, no secret
	return paths[:n]
}

// verify downloads, past restic's own cache, a snapshot's manifest and dump whole, and a sample of its files, and
// compares the list of its files with the manifest.
func verify(ctx context.Context, r restic.Repository, snapshot, staging string, m hostspec.Manifest) error {
	var manifest bytes.Buffer
	if err := r.Run(ctx, &manifest, "dump", "--no-lock", "--no-cache", snapshot,
		filepath.Join(staging, "manifest.json")); err != nil {
		return err
	}
	sent, err := os.ReadFile(filepath.Join(staging, "manifest.json"))
	if err != nil {
		return err
	}
	if !bytes.Equal(sent, manifest.Bytes()) {
		return errors.New("its manifest differs")
	}
	if sum, err := hash(ctx, r, snapshot, filepath.Join(staging, hostspec.DumpPart)); err != nil {
		return err
	} else if sum != m.Database.SHA256 {
		return errors.New("its dump of the database differs")
	}
	var list bytes.Buffer
	if err := r.Run(ctx, &list, "ls", "--no-lock", "--no-cache", "--json", snapshot); err != nil {
		return err
	}
	found := map[string]hostspec.FileTree{}
	var paths []string
	for line := range bytes.Lines(list.Bytes()) {
		var node struct {
			Type string `json:"type"`
			Path string `json:"path"`
			Size int64  `json:"size"`
		}
		if err := json.Unmarshal(line, &node); err != nil {
			return errors.New("its list is not the JSON that this program knows")
		}
		part, _, inside := strings.Cut(strings.TrimPrefix(node.Path, staging+"/"), "/")
		if node.Type != "file" || !inside {
			continue
		}
		t := found[part]
		t.Files, t.Bytes = t.Files+1, t.Bytes+node.Size
		found[part], paths = t, append(paths, node.Path)
	}
	for part, want := range m.Files {
		if have := found[part]; have.Files != want.Files || have.Bytes != want.Bytes {
			return fmt.Errorf("%s has %d files of %d bytes there, want %d of %d", part, have.Files, have.Bytes, want.Files,
				want.Bytes)
		}
	}
	for _, path := range sample(paths) {
		sum, err := hash(ctx, r, snapshot, path)
		if err != nil {
			return err
		}
		if want, _, err := fsutil.HashFile(path); err != nil || sum != want {
			return errors.Join(fmt.Errorf("%s differs", strings.TrimPrefix(path, staging+"/")), err)
		}
	}
	return nil
}

func hash(ctx context.Context, r restic.Repository, snapshot, path string) (string, error) {
	h := sha256.New()
	err := r.Run(ctx, h, "dump", "--no-lock", "--no-cache", snapshot, path)
	return hex.EncodeToString(h.Sum(nil)), err
}
