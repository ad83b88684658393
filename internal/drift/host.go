package drift

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/engine"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/hostssh"
	"github.com/prekzursil/momentstudio-infra/internal/swarm"
)

// hostWants is what of the host's state the program's last update left, beside the services.
type hostWants struct {
	wanted      map[string]fileWant // files by path on the host
	directories []string
	timers      []string
	things      map[string]engine.Resource // secrets and networks by "<kind> <name>"
	jobs        map[string]string          // path of a file -> URN of the job that writes it
	applyJob    string                     // URN
}

type fileWant struct {
	mode, sum string
	uid       int
}

// wantsOfHost reads them from a state that was exported with its secrets.
func wantsOfHost(state []byte) (hostWants, error) {
	w := hostWants{wanted: map[string]fileWant{}, things: map[string]engine.Resource{}, jobs: map[string]string{}}
	records, err := engine.Resources(state)
	if err != nil {
		return w, err
	}
	for _, r := range records {
		var inputs map[string]any
		if err := json.Unmarshal(r.Inputs, &inputs); err != nil && len(r.Inputs) > 0 {
			return w, fmt.Errorf("the state's record of %s is not the JSON that this program knows", r.URN)
		}
		switch r.Type {
		case "docker:index/secret:Secret", "docker:index/network:Network":
			kind, _, _ := strings.Cut(strings.TrimPrefix(r.Type, "docker:index/"), ":")
			w.things[kind+" "+fmt.Sprint(engine.Revealed(inputs["name"]))] = r
		case engine.JobType:
			if err := w.takeJob(r.URN, inputs); err != nil {
				return w, err
			}
		}
	}
	return w, nil
}

// takeJob takes the files that a job was given to write.
func (w *hostWants) takeJob(urn string, inputs map[string]any) error {
	uploads := map[string]string{}
	list, _ := engine.Revealed(inputs["uploads"]).([]any)
	for _, u := range list {
		fields, _ := engine.Revealed(u).(map[string]any)
		content, ok := engine.Revealed(fields["content"]).(string)
		if !ok {
			return fmt.Errorf("the state's record of %s has an upload without content", urn)
		}
		uploads[fmt.Sprint(engine.Revealed(fields["file"]))] = content
	}
	add := func(path, content string, mode uint32, uid int) {
		sum := sha256.Sum256([]byte(content))
		w.wanted[path] = fileWant{strconv.FormatUint(uint64(mode), 8), hex.EncodeToString(sum[:]), uid}
		w.jobs[path] = urn
	}
	switch text, isApply := uploads[hostspec.ApplySpec]; {
	case isApply:
		var spec hostspec.Apply
		if err := json.Unmarshal([]byte(text), &spec); err != nil {
			return fmt.Errorf("the state's record of %s has no specification that this program knows", urn)
		}
		for _, f := range spec.Files {
			add(f.Path, f.Content, f.Mode, 0)
		}
		for _, s := range spec.Secrets {
			add(s.Path, uploads[s.Upload], 0o400, s.UID)
		}
		for _, d := range spec.Directories {
			w.directories = append(w.directories, d.Path)
			w.jobs[d.Path] = urn
		}
		w.timers, w.applyJob = spec.Timers, urn
	case slices.ContainsFunc(slices.Collect(maps.Keys(uploads)), func(path string) bool {
		return strings.HasPrefix(path, hostspec.ApplyInbox+"/"+hostspec.CaddyfileOf(""))
	}):
		for in, content := range uploads {
			add(hostspec.CaddyConfigDir+strings.TrimPrefix(in, hostspec.ApplyInbox), content, 0o600, 0)
		}
	}
	return nil
}

// Inspection asks for the files, directories and timers that the last update left on the host, by an exported state
// with its secrets.
func Inspection(state []byte) (hostspec.Inspection, error) {
	w, err := wantsOfHost(state)
	return w.inspection(), err
}

func (w hostWants) inspection() hostspec.Inspection {
	return hostspec.Inspection{
		Paths:  slices.Concat(slices.Sorted(maps.Keys(w.wanted)), w.directories),
		Timers: w.timers,
	}
}

// hostDrift asks the host's engine for its services and the host for everything else.
func ofHost(ctx context.Context, c engine.Stack, state []byte) ([]Finding, error) {
	services, err := swarm.Wanted(state)
	if err != nil {
		return nil, err
	}
	wants, err := wantsOfHost(state)
	if err != nil || len(services) == 0 && wants.applyJob == "" {
		return nil, err
	}
	if err := hostssh.WriteConfig(ctx, c); err != nil {
		return nil, err
	}
	o, err := c.Outputs(ctx)
	if err != nil {
		return nil, err
	}
	// An update under way would look like drift.
	release, err := hostssh.LockServices(ctx, c, o.Address, "a look for drift")
	if err != nil {
		return nil, err
	}
	defer release()
	report, err := hostssh.Inspect(ctx, c, o.Address, state, wants.inspection())
	if err != nil {
		return nil, err
	}
	report.Foreign = notWanted(report, services)
	up := "studio up --stack " + c.Name
	var out []Finding
	for _, d := range swarm.Compare(services, swarm.Found(report.Services)) {
		out = append(out, Finding{
			Where: "service", Name: d.Service, What: strings.Join(d.Why, "; "), Revert: up,
			Adopt: "write it into the stack's file, then " + up,
		})
	}
	return append(out, wants.compare(report, c.Name, time.Now())...), nil
}

// notWanted are the services on the host that the state has not, whoever created them.
func notWanted(r hostspec.HostReport, wanted []swarm.Service) (names []string) {
	for _, s := range r.Services {
		names = append(names, s.Name)
	}
	return slices.DeleteFunc(append(names, r.Foreign...), func(name string) bool {
		return slices.ContainsFunc(wanted, func(w swarm.Service) bool { return w.Name == name })
	})
}

// ChangedFiles are the URNs of the jobs that write files which a report shows to be changed on the host. The state is
// exported with its secrets.
func ChangedFiles(c engine.Stack, state []byte, report hostspec.HostReport) ([]string, error) {
	wants, err := wantsOfHost(state)
	if err != nil || wants.applyJob == "" {
		return nil, err
	}
	var urns []string
	for _, f := range wants.compare(report, c.Name, time.Now()) {
		if f.job == "" {
			continue
		}
		fmt.Fprintf(c.Out, "%s %s is not what the state says: %s\n", f.Where, f.Name, f.What)
		if !slices.Contains(urns, f.job) {
			urns = append(urns, f.job)
		}
	}
	return urns, nil
}

// restless is the time after a restart in which tasks may fail because others are not there yet.
const restless = 5 * time.Minute

// byRestart reports whether a task that ended then did so because the host or its Docker engine was restarted.
func byRestart(r hostspec.HostReport, at time.Time) bool {
	return slices.ContainsFunc(r.Restarts, func(one hostspec.Restart) bool {
		return !at.Before(one.Stopped) && at.Before(one.Started.Add(restless))
	})
}

const inProgram = "it is the program's: change it there or in the stack's file, then update"

// compare finds what of a host's report is not what the state says.
func (w hostWants) compare(r hostspec.HostReport, stack string, now time.Time) []Finding {
	up := "studio up --stack " + stack
	out := slices.Concat(w.comparePaths(r.Paths, up), w.compareTimers(r.Timers, up), foreignServices(r.Foreign),
		endedTasks(r, now), volume(r.Volume), w.compareObjects(r, stack, up))
	slices.SortStableFunc(out, func(a, b Finding) int { return strings.Compare(a.Where+" "+a.Name, b.Where+" "+b.Name) })
	return out
}

func (w hostWants) comparePaths(have map[string]hostspec.PathState, up string) (out []Finding) {
	written := func(where, path, what string) {
		out = append(out, Finding{Where: where, Name: path, What: what, Revert: up, Adopt: inProgram, job: w.jobs[path]})
	}
	for path, want := range w.wanted {
		switch state, exists := have[path]; {
		case !exists || state.Directory:
			written("file", path, "it is gone")
		case want.differs(state) != "":
			written("file", path, want.differs(state))
		}
	}
	for _, path := range w.directories {
		if state, exists := have[path]; !exists || !state.Directory {
			written("directory", path, "it is gone")
		}
	}
	return out
}

func (w hostWants) compareTimers(have []hostspec.TimerState, up string) (out []Finding) {
	for _, t := range have {
		if t.File != "enabled" || t.Active != "active" {
			out = append(out, Finding{
				Where: "timer", Name: t.Unit, What: "it is " + cmp.Or(t.File, "missing") + " and " + t.Active +
					", want enabled and active", Revert: up, Adopt: inProgram, job: w.applyJob,
			})
		}
		for _, unit := range t.DropIns {
			out = append(out, Finding{
				Where: "file", Name: unit + ".d", What: "drop-in files change the unit beside the program's file",
				Revert: "systemctl revert " + unit + " on the host", Adopt: inProgram,
			})
		}
	}
	return out
}

// volume finds a file system that did not grow with its volume.
func volume(v *hostspec.Volume) []Finding {
	if !v.Grows() {
		return nil
	}
	return []Finding{{
		Where: "volume", Name: hostspec.DataDir,
		What:   fmt.Sprintf("it has %d MB, but its file system only %d", v.Bytes>>20, v.Filesystem>>20),
		Revert: "systemctl reboot on the host, at a quiet time: the file system grows before it is mounted",
		Adopt:  "a volume cannot shrink",
	}}
}

func foreignServices(names []string) (out []Finding) {
	for _, name := range names {
		out = append(out, Finding{
			Where: "service", Name: name, What: "nobody asked for it",
			Revert: "docker service rm " + name + " on the host", Adopt: "declare it in the program",
		})
	}
	return out
}

// endedTasks finds tasks that failed since their service was changed, in the last day.
func endedTasks(r hostspec.HostReport, now time.Time) (out []Finding) {
	for _, s := range r.Services {
		for _, t := range s.Ended {
			failed := t.State == "failed" || t.State == "rejected"
			if !failed || !t.At.After(s.Updated) || byRestart(r, t.At) || now.Sub(t.At) > 24*time.Hour {
				continue
			}
			out = append(out, Finding{
				Where: "task", Name: s.Name,
				What: fmt.Sprintf("one ended at %s (%s); Swarm starts another", t.At.UTC().Format(time.RFC3339),
					cmp.Or(t.Error, t.State)),
				Revert: "nothing is to be done when its service runs",
				Adopt:  "docker service logs " + s.Name + " on the host tells why",
			})
		}
	}
	return out
}

// compareObjects finds secrets and networks that are gone or have been replaced.
func (w hostWants) compareObjects(r hostspec.HostReport, stack, up string) (out []Finding) {
	ids := map[string]string{}
	for kind, all := range map[string][]hostspec.Object{"secret": r.Secrets, "network": r.Networks} {
		for _, o := range all {
			ids[kind+" "+o.Name] = o.ID
		}
	}
	for name, r := range w.things {
		kind, plain, _ := strings.Cut(name, " ")
		f := Finding{
			Where: kind, Name: plain, What: "it is gone", Adopt: inProgram,
			Revert: fmt.Sprintf("pulumi refresh --stack %s --target '%s', then %s", stack, r.URN, up),
		}
		switch ids[name] {
		case r.ID:
			continue
		case "":
		default:
			f.What = "it is another one under the same name"
			f.Revert = fmt.Sprintf("take it from its services and remove it on the host (docker %s rm %s), then %s", kind,
				plain, f.Revert)
		}
		out = append(out, f)
	}
	return out
}

// differs says what of a file is not as wanted; "" when all of it is.
func (f fileWant) differs(have hostspec.PathState) string {
	var why []string
	if have.SHA256 != f.sum {
		why = append(why, "its content was changed")
	}
	if have.Mode != f.mode || have.UID != f.uid {
		why = append(why, fmt.Sprintf("its mode and owner are %s and %d, want %s and %d", have.Mode, have.UID, f.mode,
			f.uid))
	}
	return strings.Join(why, "; ")
}
