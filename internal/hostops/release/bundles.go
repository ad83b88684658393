// Package release prepares the host for a release: images, bundles, migrations, Caddy's configuration.
package release

import (
	"archive/tar"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/prekzursil/momentstudio-infra/internal/csp"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/docker"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/fsutil"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// keptRelease is the record of a release whose images and bundles are kept.
type keptRelease struct {
	Release  string    `json:"release"`
	Backend  string    `json:"backend"`
	Frontend string    `json:"frontend"`
	Bundles  []string  `json:"bundles"`
	Scripts  []string  `json:"scripts"` // hashes of the scripts in its pages, as a Content-Security-Policy names them
	Prepared time.Time `json:"prepared"`
}

var hashedBundle = regexp.MustCompile("^" + hostspec.HashedBundle + "$")

// page is a page of the frontend: that of the static one, and those from which the other kind renders.
var page = regexp.MustCompile(`^index[a-z.]*\.html$`)

// keepBundles copies the hashed bundles out of the frontend's image, notes the scripts that its pages hold, records the
// release and drops the bundles of releases older than the newest five. It returns how many bundles the release has.
func keepBundles(ctx context.Context, engine *client.Client, p Preparation) (int, error) {
	id, err := docker.Create(ctx, engine, docker.Task{
		Name: "momentstudio-bundles", Image: p.Frontend,
		Config: container.Config{Cmd: []string{"true"}},
	})
	if err != nil {
		return 0, err
	}
	//nolint:errcheck // the next run removes it
	defer engine.ContainerRemove(context.WithoutCancel(ctx), id, client.ContainerRemoveOptions{})
	found, err := engine.CopyFromContainer(ctx, id, client.CopyFromContainerOptions{SourcePath: p.WebRoot})
	if err != nil {
		return 0, fmt.Errorf("%s has no directory %s: it is not the shop's frontend, or frontend.mode names the other kind",
			p.Frontend, p.WebRoot)
	}
	defer found.Content.Close()
	names, hashes, err := unpackBundles(found.Content, filepath.Join(p.ReleasesDir, filepath.Base(hostspec.BundlesDir)))
	if err != nil {
		return 0, fmt.Errorf("keep the bundles of %s: %w", p.Frontend, err)
	}
	if len(names) == 0 {
		return 0, fmt.Errorf("%s has no file with a hash in its name in %s: it is not the shop's frontend, or "+
			"frontend.mode names the other kind", p.Frontend, p.WebRoot)
	}
	record := keptRelease{
		Release: p.Release, Backend: p.Backend, Frontend: p.Frontend, Bundles: names,
		Scripts: hashes, Prepared: time.Now().UTC(),
	}
	return len(names), recordRelease(p.ReleasesDir, record)
}

// unpackBundles writes the hashed files of the archive's top directory and returns their names, and the hashes of the
// scripts in its pages. A file that is there already has that content: its name says so.
func unpackBundles(archive io.Reader, dir string) (names, hashes []string, err error) {
	for r := tar.NewReader(archive); ; {
		head, err := r.Next()
		if errors.Is(err, io.EOF) {
			slices.Sort(names)
			return names, hashes, nil
		}
		if err != nil {
			return nil, nil, err
		}
		base := path.Base(head.Name)
		if head.Typeflag != tar.TypeReg || strings.Count(head.Name, "/") != 1 {
			continue
		}
		isPage := page.MatchString(base)
		if !isPage && !hashedBundle.MatchString(base) {
			continue
		}
		content, err := io.ReadAll(r)
		if err != nil {
			return nil, nil, err
		}
		if isPage {
			hashes = append(hashes, csp.Hashes(content)...)
			continue
		}
		names = append(names, base)
		if _, err := fsutil.EnsureFile(filepath.Join(dir, base), content, 0o644); err != nil {
			return nil, nil, err
		}
	}
}

// recordRelease writes a release's record and forgets the oldest ones with what only they need. A
// release that is prepared again is the newest again.
func recordRelease(dir string, record keptRelease) error {
	text, err := json.MarshalIndent(record, "", "  ")
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(record.Backend + "\n" + record.Frontend))
	if _, err := fsutil.EnsureFile(filepath.Join(dir, hex.EncodeToString(sum[:8])+".json"), append(text, '\n'),
		0o644); err != nil {
		return fmt.Errorf("record the release: %w", err)
	}
	records, paths, err := keptReleases(dir)
	if err != nil {
		return err
	}
	needed, scripts := map[string]bool{hostspec.PageScripts: true}, []string{}
	for i, r := range records {
		if i >= hostspec.KeptReleases {
			if err := os.Remove(paths[i]); err != nil {
				return fmt.Errorf("forget an old release: %w", err)
			}
			continue
		}
		for _, name := range r.Bundles {
			needed[name] = true
		}
		for _, hash := range r.Scripts {
			if !slices.Contains(scripts, hash) {
				scripts = append(scripts, hash)
			}
		}
	}
	bundles := filepath.Join(dir, filepath.Base(hostspec.BundlesDir))
	if _, err := fsutil.EnsureFile(filepath.Join(bundles, hostspec.PageScripts), []byte(strings.Join(scripts, " ")),
		0o644); err != nil {
		return fmt.Errorf("note the scripts of the pages: %w", err)
	}
	files, err := os.ReadDir(bundles)
	if err != nil {
		return fmt.Errorf("list the kept bundles: %w", err)
	}
	for _, f := range files {
		if !needed[f.Name()] {
			if err := os.Remove(filepath.Join(bundles, f.Name())); err != nil {
				return fmt.Errorf("drop an old bundle: %w", err)
			}
		}
	}
	return nil
}

// keptReleases reads the records, the newest first.
func keptReleases(dir string) (records []keptRelease, paths []string, err error) {
	found, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, nil, err
	}
	byPath := map[string]keptRelease{}
	for _, p := range found {
		var r keptRelease
		err := fsutil.ReadJSON(p, &r)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("read the record %s of a release: %w", p, err)
		}
		byPath[p], paths = r, append(paths, p)
	}
	slices.SortFunc(paths, func(a, b string) int {
		return cmp.Or(byPath[b].Prepared.Compare(byPath[a].Prepared), strings.Compare(a, b))
	})
	for _, p := range paths {
		records = append(records, byPath[p])
	}
	return records, paths, nil
}
