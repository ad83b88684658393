// Package inspect reports what a host runs and holds, for the operator's desk. It changes nothing.
package inspect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"

	"github.com/prekzursil/momentstudio-infra/internal/hostops/backup"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/docker"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/fsutil"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/journal"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/redact"
)

// Units is the host's systemd.
type Units interface {
	Restarts(ctx context.Context) ([]hostspec.Restart, error)
	Timers(ctx context.Context, units []string) ([]hostspec.TimerState, error)
	Failed(ctx context.Context) ([]string, error)
	Scheduled(ctx context.Context) ([]hostspec.Next, error)
}

// Run answers a question about the host. root is where its file system is mounted.
func Run(ctx context.Context, q hostspec.Inspection, root string, units Units) (hostspec.HostReport, error) {
	var r hostspec.HostReport
	engine, err := docker.Connect()
	if err != nil {
		return r, err
	}
	defer engine.Close()
	if r.Restarts, err = units.Restarts(ctx); err != nil {
		return r, err
	}
	if err := engineReport(ctx, engine, &r); err != nil {
		return r, err
	}
	if r.Paths, err = paths(root, q.Paths); err != nil {
		return r, err
	}
	if r.Volume, err = volume(root, "/sys"); err != nil {
		return r, err
	}
	if len(q.Timers) > 0 {
		if r.Timers, err = units.Timers(ctx, q.Timers); err != nil {
			return r, err
		}
	}
	if r.Restore, err = journal.Read(root + hostspec.RestoreJournal); err != nil {
		return r, err
	}
	if r.Verified, err = ReadVerified(root + hostspec.VerifiedFile); err != nil {
		return r, err
	}
	if len(q.Logs) > 0 {
		r.Logs = logs(ctx, engine, r.Services, q.Logs)
	}
	if q.Application {
		r.Application = application(ctx, engine)
	}
	if q.Health {
		r.Health, err = health(ctx, root, units)
	}
	return r, err
}

// volume compares the data volume with its file system, whose size the host's own command noted. sys is where the
// kernel shows devices.
func volume(root, sys string) (*hostspec.Volume, error) {
	text, err := os.ReadFile(root + hostspec.FilesystemSizeFile)
	if missing(err) {
		return nil, nil //nolint:nilnil // a host of an older program
	}
	if err != nil {
		return nil, err
	}
	var v hostspec.Volume
	if v.Filesystem, err = strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err != nil {
		return nil, fmt.Errorf("read %s: %w", hostspec.FilesystemSizeFile, err)
	}
	var on unix.Stat_t
	if err := unix.Stat(root+hostspec.DataDir, &on); err != nil {
		return nil, fmt.Errorf("look at %s: %w", hostspec.DataDir, err)
	}
	device := fmt.Sprintf("%s/dev/block/%d:%d/size", sys, unix.Major(on.Dev), unix.Minor(on.Dev))
	sectors, err := os.ReadFile(device)
	if err != nil {
		return nil, fmt.Errorf("read the data volume's size: %w", err)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(sectors)), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", device, err)
	}
	v.Bytes = n * 512 // the kernel's unit, whatever the device's sectors are
	return &v, nil
}

// paths reads files and directories below root; those that do not exist are left out.
func paths(root string, wanted []string) (map[string]hostspec.PathState, error) {
	found := map[string]hostspec.PathState{}
	for _, path := range wanted {
		info, err := os.Stat(root + path)
		if missing(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		state := hostspec.PathState{
			Directory: info.IsDir(), Mode: strconv.FormatUint(uint64(info.Mode().Perm()), 8),
		}
		if owner, ok := info.Sys().(*syscall.Stat_t); ok {
			state.UID = int(owner.Uid)
		}
		if !info.IsDir() {
			if state.SHA256, _, err = fsutil.HashFile(root + path); missing(err) {
				continue
			}
			if err != nil {
				return nil, err
			}
		}
		found[path] = state
	}
	return found, nil
}

// missing reports whether nothing is at a path: a file where its directory should be counts, too.
func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP)
}

// ReadVerified reads which releases were seen serving; none when the file does not exist.
func ReadVerified(path string) ([]hostspec.VerifiedRelease, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the verified releases: %w", err)
	}
	var all []hostspec.VerifiedRelease
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 {
			all = append(all, hostspec.VerifiedRelease{Backend: f[0], Frontend: f[1], Name: f[2]})
		}
	}
	return all, nil
}

// askVersion prints which release the API of a task says that it is. The edge does not route the page, and the
// diagnostics that name it too want a login (app-contract §1.6, §3). A shop in maintenance answers with the bypass
// token only, which the application's own settings know.
const askVersion = `import json,urllib.request as u
from app.core.config import settings as s
r=u.Request("http://127.0.0.1:8000/openapi.json",headers={"X-Maintenance-Bypass":s.maintenance_bypass_token})
print(json.dumps(json.load(u.urlopen(r,timeout=5))["info"]["version"]))`

// applicationTime is for all answers of the API together: a database that hangs must not hide what runs.
const applicationTime = 20 * time.Second

// application asks the healthy tasks of the API.
func application(ctx context.Context, engine *client.Client) *hostspec.Application {
	ctx, cancel := context.WithTimeout(ctx, applicationTime)
	defer cancel()
	var a hostspec.Application
	healthy := docker.TasksOf(hostspec.BackendService)
	healthy.Filters.Add("health", "healthy")
	tasks, err := engine.ContainerList(ctx, healthy)
	if err != nil {
		a.Schema.Error = err.Error()
		return &a
	}
	for _, t := range tasks.Items {
		a.Releases = append(a.Releases, version(ctx, engine, t.ID))
	}
	if len(tasks.Items) == 0 {
		a.Schema.Error = "no healthy task of the API runs"
		return &a
	}
	a.Schema, a.Media = schema(ctx, engine, tasks.Items[0].ID), media(ctx, engine, tasks.Items[0].ID)
	return &a
}

// tryMedia writes a file without a name into each directory of the media, which is gone when it is closed, and prints
// those that refuse it. Root in a task may not write into what others own.
const tryMedia = `import json,os
bad,seen=[],0
for top in ("/app/uploads","/app/private_uploads"):
    for path,_,_ in os.walk(top):
        seen+=1
        try:
            fd=os.open(path,os.O_TMPFILE|os.O_WRONLY,0o600)
            os.write(fd,b"x")
            os.close(fd)
        except OSError as e:
            bad.append(f"{path}: {e.strerror}, owner {os.stat(path).st_uid}")
        if seen>2000 or len(bad)>4: break
print(json.dumps(bad))`

func media(ctx context.Context, engine *client.Client, id string) (m hostspec.Media) {
	done, err := docker.Exec(ctx, engine, id, "python", "-c", tryMedia)
	if err != nil {
		return hostspec.Media{Error: err.Error()}
	}
	if done.Code != 0 || json.Unmarshal([]byte(done.Stdout), &m.Unwritable) != nil {
		return hostspec.Media{Error: fmt.Sprintf("the test exited with code %d: %s", done.Code, redact.Tail(done.Stderr, 3))}
	}
	return m
}

func version(ctx context.Context, engine *client.Client, id string) hostspec.Answer {
	done, err := docker.Exec(ctx, engine, id, "python", "-c", askVersion)
	if err != nil {
		return hostspec.Answer{Error: err.Error()}
	}
	var answer string
	if done.Code != 0 || json.Unmarshal([]byte(done.Stdout), &answer) != nil {
		return hostspec.Answer{Error: fmt.Sprintf("the API does not tell its version (exit code %d): %s", done.Code,
			redact.Tail(done.Stderr, 3))}
	}
	if !versions.MatchString(answer) {
		return hostspec.Answer{Error: "the API's version is not a version"}
	}
	return hostspec.Answer{Value: answer}
}

// versions are what a release may be called; an answer is text of the application.
var versions = regexp.MustCompile(`^[0-9A-Za-z._+-]{1,64}$`)

// health reads what status reports.
func health(ctx context.Context, root string, units Units) (*hostspec.Health, error) {
	var h hostspec.Health
	var err error
	if _, err := os.Stat(root + hostspec.BackupSecret); err == nil {
		h.BackupEnabled = true
		text, err := backup.AgeOn(root, time.Now())
		h.Backup = strings.TrimSpace(text)
		if err != nil {
			h.BackupError = err.Error()
		}
	}
	if h.FailedUnits, err = units.Failed(ctx); err != nil {
		return nil, err
	}
	if h.Timers, err = units.Scheduled(ctx); err != nil {
		return nil, err
	}
	for _, path := range []string{"/", hostspec.DataDir} {
		var s unix.Statfs_t
		if err := unix.Statfs(root+path, &s); err != nil {
			return nil, fmt.Errorf("measure %s: %w", path, err)
		}
		h.Disks = append(h.Disks, hostspec.Disk{
			Path:   path,
			SizeMB: int64(s.Blocks) * s.Bsize >> 20, //nolint:gosec // far from its limit
			FreeMB: int64(s.Bavail) * s.Bsize >> 20, //nolint:gosec // far from its limit
			Inodes: s.Files, FreeInodes: s.Ffree,
		})
	}
	slices.Sort(h.FailedUnits)
	return &h, nil
}
