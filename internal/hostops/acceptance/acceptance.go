// Package acceptance checks what a restored shop must be able to do.
package acceptance

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/moby/moby/client"

	"github.com/prekzursil/momentstudio-infra/internal/hostops/docker"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/fsutil"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/journal"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/lines"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/postgres"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/restore"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/redact"
)

// errNothingThere is a check's answer when the backup has nothing that it could be made with.
var errNothingThere = errors.New("the backup has nothing to check this with")

const (
	hashedAssets  = 50 // originals whose content is compared
	visitedAssets = 20 // of them through the edge
)

// prover looks at a shop that a restore has brought.
type checker struct {
	docker  *client.Client
	db      *pgx.Conn
	state   hostspec.RestoreState
	visitor *visitor
	release string // that is deployed here
	proof   hostspec.AcceptanceReport
}

// Run looks at everything that a restored shop must be able to do, the last of it by deleting one of its
// pictures: it is for shops that are thrown away.
func Run(ctx context.Context, spec hostspec.Backup, domain hostspec.Domain) (hostspec.AcceptanceReport, error) {
	if !spec.ReadOnly {
		return hostspec.AcceptanceReport{}, errors.New("this stack is no drill: a proof moves a picture to the trash and " +
			"removes it for good")
	}
	state, err := journal.Read(hostspec.RestoreJournal)
	switch {
	case err != nil:
		return hostspec.AcceptanceReport{}, err
	case state == nil || !state.Switched || state.Target != hostspec.SideRestored:
		return hostspec.AcceptanceReport{}, errors.New("no backup was restored here: there is nothing to prove")
	}
	p := &checker{state: *state, release: spec.Release, proof: hostspec.AcceptanceReport{
		Source:   state.Source,
		Manifest: state.Manifest, Phases: state.Phases,
	}}
	if p.docker, err = docker.Connect(); err != nil {
		return hostspec.AcceptanceReport{}, err
	}
	defer p.docker.Close()
	url, err := postgres.ReadURL("")
	if err != nil {
		return hostspec.AcceptanceReport{}, err
	}
	if p.db, err = postgres.ConnectURL(ctx, url); err != nil {
		return hostspec.AcceptanceReport{}, err
	}
	defer p.db.Close(context.WithoutCancel(ctx))
	if p.visitor, err = newVisitor(domain); err != nil {
		return hostspec.AcceptanceReport{}, err
	}
	for _, c := range []struct {
		name string
		look func(context.Context) (string, error)
	}{
		{"every row is there", p.rows},
		{"the schema is the release's", p.schema},
		{"every picture is there, a sample of them byte by byte", p.pictures},
		{"the shop has no way out", p.enclosed},
		{"the API is ready", p.ready},
		{"the pages are the release's", p.pages},
		{"the sitemap lists pages", p.sitemap},
		{"visitors see the pictures", p.media},
		{"staff see every picture, and the trash", p.list},
		{"staff can use the trash", p.trash},
	} {
		detail, err := c.look(ctx)
		result := hostspec.CheckPassed
		switch {
		case errors.Is(err, errNothingThere):
			result, detail = hostspec.CheckNotPossible, err.Error()
		case err != nil:
			result, detail = hostspec.CheckFailed, err.Error()
		}
		p.proof.Checks = append(p.proof.Checks, hostspec.AcceptanceCheck{Name: c.name, Result: result, Detail: detail})
		if ctx.Err() != nil {
			return p.proof, ctx.Err()
		}
	}
	return p.proof, nil
}

// rows compares with the manifest what is live. The restore compared it before anybody could write; since then there
// may be more.
func (p *checker) rows(ctx context.Context) (string, error) {
	tx, err := p.db.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
	if err != nil {
		return "", err
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // it only reads
	have, err := postgres.CountRows(ctx, tx)
	if err != nil {
		return "", err
	}
	return compareRows(p.state.Manifest.Database.Rows, have)
}

func compareRows(want, have map[string]int64) (string, error) {
	if len(want) == 0 {
		return "", fmt.Errorf("%w: its manifest counts no rows", errNothingThere)
	}
	var bad []error
	var total int64
	for table, n := range want {
		total += n
		if got, ok := have[table]; !ok || got < n {
			bad = append(bad, fmt.Errorf("%s has %d rows, its manifest says %d", table, got, n))
		}
	}
	if total == 0 {
		bad = append(bad, errors.New("the backup's database is empty"))
	}
	return fmt.Sprintf("%d rows in %d tables", total, len(want)), errors.Join(bad...)
}

func (p *checker) schema(ctx context.Context) (string, error) {
	out, err := p.inBackend(ctx, "alembic", "current")
	if err != nil {
		return "", err
	}
	at := lines.Last(strings.TrimSpace(out), 1)
	if !strings.HasSuffix(at, "(head)") {
		return "", fmt.Errorf("it is at %q, and not at the head of the release's migrations",
			redact.Revision(strings.Fields(at + " ?")[0]))
	}
	return fmt.Sprintf("%s; the backup had %s", strings.TrimSuffix(at, " (head)"), p.state.Manifest.Revision), nil
}

// selectAssets reads the fields of an asset.
const selectAssets = "SELECT id::text, storage_key, coalesce(checksum_sha256, ''), status::text, visibility::text " +
	"FROM media_assets"

// asset is what the database says of a picture.
type asset struct {
	ID, Key, Checksum, Status, Visibility string
}

func (a asset) public() bool { return a.Status == "approved" && a.Visibility == "public" }

// assets reads them in an order of chance. A shop from before there was a media library has none.
func (p *checker) assets(ctx context.Context) ([]asset, error) {
	var known bool
	if err := p.db.QueryRow(ctx, "SELECT to_regclass('media_assets') IS NOT NULL").Scan(&known); err != nil {
		return nil, err
	}
	if !known {
		return nil, fmt.Errorf("%w: its schema has no media library", errNothingThere)
	}
	rows, err := p.db.Query(ctx, selectAssets+" ORDER BY id")
	if err != nil {
		return nil, fmt.Errorf("list the pictures: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[asset])
	if err != nil {
		return nil, fmt.Errorf("list the pictures: %w", err)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: it has no picture", errNothingThere)
	}
	//nolint:gosec // a sample, and nobody to guess it
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all, nil
}

// fileOf finds an asset's original under either root (app-contract §5).
func fileOf(root string, a asset) (string, error) {
	for _, part := range hostspec.MediaParts {
		path := filepath.Join(root, part, filepath.FromSlash(filepath.Clean("/"+a.Key)))
		if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() {
			return path, nil
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", unreadable(a, err)
		}
	}
	return "", fmt.Errorf("the original of %s is under neither root", a.ID) // a key has what a person called the file
}

// unreadable names the asset and not its path, which has what a person called the file.
func unreadable(a asset, err error) error {
	var reason *fs.PathError
	if errors.As(err, &reason) {
		err = reason.Err
	}
	return fmt.Errorf("the original of %s cannot be read: %w", a.ID, err)
}

func (p *checker) pictures(ctx context.Context) (string, error) {
	all, err := p.assets(ctx)
	if err != nil {
		return "", err
	}
	return comparePictures(hostspec.DataDir, all)
}

func comparePictures(root string, all []asset) (string, error) {
	var bad []error
	hashed := 0
	for _, a := range all {
		path, err := fileOf(root, a)
		if err == nil && hashed < hashedAssets && a.Checksum != "" {
			hashed++
			var sum string
			if sum, _, err = fsutil.HashFile(path); err != nil {
				err = unreadable(a, err)
			} else if sum != a.Checksum {
				err = fmt.Errorf("the original of %s has another content than the database says", a.ID)
			}
		}
		bad = append(bad, err)
	}
	return fmt.Sprintf("%d originals, %d of them compared by hash", len(all), hashed), atMost(5, bad)
}

// atMost joins errors, and counts those after the first few.
func atMost(n int, bad []error) error {
	bad = slices.DeleteFunc(bad, func(err error) bool { return err == nil })
	if len(bad) <= n {
		return errors.Join(bad...)
	}
	return errors.Join(append(bad[:n:n], fmt.Errorf("and %d more", len(bad)-n))...)
}

// enclosed looks at the networks of every task, and into those of the shop's own code: a network without a way out
// gives no default route.
func (p *checker) enclosed(ctx context.Context) (string, error) {
	var bad []error
	all, err := p.docker.ContainerList(ctx, client.ContainerListOptions{
		Filters: make(client.Filters).Add("label", docker.ServiceLabel),
	})
	if err != nil {
		return "", fmt.Errorf("list the tasks: %w", err)
	}
	for _, c := range all.Items {
		for name := range c.NetworkSettings.Networks {
			on, err := p.docker.NetworkInspect(ctx, name, client.NetworkInspectOptions{})
			if err != nil {
				return "", fmt.Errorf("look at network %s: %w", name, err)
			}
			if !on.Network.Internal {
				bad = append(bad, fmt.Errorf("a task of %s is on the network %s, which has a way out",
					c.Labels[docker.ServiceLabel], name))
			}
		}
	}
	seen := 0
	for _, service := range restore.Writers {
		ids, err := p.tasks(ctx, service)
		if err != nil {
			return "", err
		}
		for _, id := range ids {
			routes, err := p.exec(ctx, id, "cat", "/proc/net/route")
			if err != nil {
				return "", err
			}
			seen++
			if hasDefaultRoute(routes) {
				bad = append(bad, fmt.Errorf("a task of %s has a default route", service))
			}
		}
	}
	if seen == 0 {
		return "", errors.New("no task of the shop runs")
	}
	return fmt.Sprintf("%d tasks on networks without a way out, the shop's own %d without a default route", len(all.Items),
		seen), errors.Join(bad...)
}

// hasDefaultRoute reads /proc/net/route: a header, then a line each with device, destination, gateway, …, mask.
func hasDefaultRoute(text string) bool {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) > 7 && f[1] == "00000000" && f[7] == "00000000" {
			return true
		}
	}
	return false
}

// tasks are the running containers of a service.
func (p *checker) tasks(ctx context.Context, service string) ([]string, error) {
	list, err := p.docker.ContainerList(ctx, docker.TasksOf(service))
	if err != nil {
		return nil, fmt.Errorf("list the tasks of %s: %w", service, err)
	}
	ids := make([]string, 0, len(list.Items))
	for _, c := range list.Items {
		ids = append(ids, c.ID)
	}
	return ids, nil
}

func (p *checker) inBackend(ctx context.Context, command ...string) (string, error) {
	ids, err := p.tasks(ctx, hostspec.BackendService)
	if err != nil {
		return "", err
	}
	if len(ids) == 0 {
		return "", errors.New("no task of the API runs")
	}
	return p.exec(ctx, ids[0], command...)
}

// exec runs a command in a container and returns its standard output.
func (p *checker) exec(ctx context.Context, id string, command ...string) (string, error) {
	done, err := docker.Exec(ctx, p.docker, id, command...)
	if err != nil {
		return "", err
	}
	if done.Code != 0 {
		return "", fmt.Errorf("%s ended with code %d", command[0], done.Code)
	}
	return done.Stdout, nil
}

// mint makes the application write a bearer for a user: the drill knows nobody's password.
const mint = `import sys
from app.core.security import create_access_token
print(create_access_token(sys.argv[1]))`

// login makes the visitor a member of the staff who may do everything.
func (p *checker) login(ctx context.Context) error {
	if p.visitor.bearer != "" {
		return nil
	}
	var id string
	err := p.db.QueryRow(ctx, "SELECT id::text FROM users WHERE role::text IN ('owner', 'admin') ORDER BY role::text "+
		"DESC, id LIMIT 1").Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return errors.New("the shop has neither owner nor admin")
	}
	if err != nil {
		return fmt.Errorf("look for an owner: %w", err)
	}
	out, err := p.inBackend(ctx, "python", "-c", mint, id)
	if err != nil {
		return err
	}
	p.visitor.bearer = strings.TrimSpace(lines.Last(strings.TrimSpace(out), 1))
	return nil
}

// trash takes one picture through the trash and back, and through it again to its end (app-contract §5).
func (p *checker) trash(ctx context.Context) (string, error) {
	if err := p.login(ctx); err != nil {
		return "", err
	}
	all, err := p.assets(ctx)
	if err != nil {
		return "", err
	}
	chosen := all[0]
	path := assetsPath + "/" + chosen.ID
	for _, step := range []struct {
		what   string
		act    func() error
		status string // of the picture afterwards; empty: it is gone
	}{
		{"delete it", func() error { return p.visitor.act(ctx, "DELETE", path) }, "trashed"},
		{"restore it", func() error { return p.visitor.act(ctx, "POST", path+"/restore") }, "draft"},
		{"delete it again", func() error { return p.visitor.act(ctx, "DELETE", path) }, "trashed"},
		{"purge it", func() error { return p.visitor.act(ctx, "POST", path+"/purge") }, ""},
	} {
		if step.what == "delete it" && chosen.Status == "trashed" {
			continue
		}
		before := chosen
		if err := step.act(); err != nil {
			return "", fmt.Errorf("%s: %w", step.what, err)
		}
		err := p.db.QueryRow(ctx, selectAssets+" WHERE id = $1", chosen.ID).
			Scan(&chosen.ID, &chosen.Key, &chosen.Checksum, &chosen.Status, &chosen.Visibility)
		if step.status == "" {
			if !errors.Is(err, pgx.ErrNoRows) {
				return "", errors.Join(fmt.Errorf("%s: its row is still there", step.what), err)
			}
			if _, err := fileOf(hostspec.DataDir, before); err == nil {
				return "", fmt.Errorf("%s: its file is still there", step.what)
			}
			continue
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w", step.what, err)
		}
		if chosen.Status != step.status {
			return "", fmt.Errorf("%s: it is %q afterwards, want %q", step.what, chosen.Status, step.status)
		}
		if _, err := comparePictures(hostspec.DataDir, []asset{chosen}); err != nil {
			return "", fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return "a picture went there, came back, and was purged with its file", nil
}
