package drift

import (
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
	case uploads[hostspec.ApplyInbox+"/Caddyfile"] != "":
		for in, content := range uploads {
			add(hostspec.CaddyConfigDir+strings.TrimPrefix(in, hostspec.ApplyInbox), content, 0o600, 0)
		}
	}
	return nil
}

// files asks the host for files, directories, timers, and the engine's IDs; what it prints are names, modes and
// hashes. An engine that does not answer ends it: nothing would look like everything is gone.
func (w hostWants) files() string {
	var b strings.Builder
	b.WriteString("set -e\nfor p in")
	for _, path := range slices.Concat(slices.Sorted(maps.Keys(w.wanted)), w.directories) {
		b.WriteString(" " + hostssh.Quote(path))
	}
	b.WriteString(`; do
if [ -d "$p" ]; then echo "directory $p"
elif [ -e "$p" ]; then echo "file $(stat -c '%a %u' "$p") $(sha256sum < "$p" | cut -d' ' -f1) $p"; fi
done
for u in`)
	for _, unit := range w.timers {
		b.WriteString(" " + hostssh.Quote(unit))
	}
	b.WriteString(`; do
echo "timer $(systemctl is-enabled "$u" 2>/dev/null) $(systemctl is-active "$u" 2>/dev/null) $u"
for x in "$u" "${u%.timer}.service"; do [ -z "$(systemctl show --property=DropInPaths --value "$x")" ] || echo "dropin $x"; done
done
docker secret ls --format 'id {{.ID}} secret {{.Name}}'
docker network ls --no-trunc --format 'id {{.ID}} network {{.Name}}'
`)
	return b.String()
}

// askTasks asks the host's engine for what runs that nobody asked for, and for tasks that ended.
const askTasks = `set -e
echo "boot $(systemctl show --property=UserspaceTimestamp --value --timestamp=unix)"
docker service ls --format 'service {{.Name}}'
services="$(docker service ls --quiet --filter label=momentstudio.server)"
for s in $services; do
  changed="$(docker service inspect --format '{{.UpdatedAt.Unix}} {{.Spec.Name}}' "$s")"
  tasks="$(docker service ps --quiet --no-trunc --filter desired-state=shutdown "$s")"
  for t in $tasks; do
    docker inspect --type task --format "task $changed {{.Status.Timestamp.Unix}} {{.Status.State}} {{json .Status.Err}}" "$t"
  done
done
`

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
	have, err := swarm.Running(ctx, c, o.Address)
	if err != nil {
		return nil, err
	}
	up := "studio up --stack " + c.Name
	var out []Finding
	for _, d := range swarm.Compare(services, have) {
		out = append(out, Finding{
			Where: "service", Name: d.Service, What: strings.Join(d.Why, "; "), Revert: up,
			Adopt: "write it into the stack's file, then " + up,
		})
	}
	text, err := hostssh.Run(ctx, c, o.Address, wants.files()+askTasks)
	if err != nil {
		return out, fmt.Errorf("ask the host: %w", err)
	}
	more, err := wants.compare(string(text), services, c.Name, time.Now())
	return append(out, more...), err
}

// JobsOf are the URNs of the jobs that write what was found to be changed on the host. A stack without a host
// has none.
func JobsOf(ctx context.Context, c engine.Stack, address string, state []byte) ([]string, error) {
	wants, err := wantsOfHost(state)
	if err != nil || wants.applyJob == "" || address == "" {
		return nil, err
	}
	text, err := hostssh.Run(ctx, c, address, wants.files())
	if err != nil {
		return nil, nil //nolint:nilerr // a host that does not answer is what the update is about to mend, or to report
	}
	findings, err := wants.compare(string(text), nil, c.Name, time.Now())
	if err != nil {
		return nil, err
	}
	var urns []string
	for _, f := range findings {
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

// restless is the time after a boot in which tasks may fail because others are not there yet.
const restless = 5 * time.Minute

// compare words what the host answered and the state says otherwise.
func (w hostWants) compare(answer string, services []swarm.Service, stack string, now time.Time) ([]Finding, error) {
	const inProgram = "it is the program's: change it there or in the stack's file, then update"
	up := "studio up --stack " + stack
	var out []Finding
	written := func(where, name, what, job string) {
		out = append(out, Finding{Where: where, Name: name, What: what, Revert: up, Adopt: inProgram, job: job})
	}
	var boot time.Time
	seenFile, seenDirectory, ids := map[string]bool{}, map[string]bool{}, map[string]string{}
	for line := range strings.Lines(answer) {
		kind, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		fields := strings.Fields(rest)
		if len(fields) < map[string]int{
			"boot": 1, "directory": 1, "file": 4, "timer": 1, "dropin": 1, "id": 3, "service": 1,
			"task": 4,
		}[kind] {
			return nil, fmt.Errorf("ask the host: it answers %q, which is nothing that this program asked for",
				strings.TrimSpace(line))
		}
		switch kind {
		case "boot":
			boot = seconds(strings.TrimPrefix(fields[0], "@"))
		case "directory":
			seenDirectory[fields[0]] = true
		case "file":
			path := fields[3]
			seenFile[path] = true
			if slices.Contains(w.directories, path) {
				continue // said below
			}
			if why := w.wanted[path].differs(fields[0], fields[1], fields[2]); why != "" {
				written("file", path, why, w.jobs[path])
			}
		case "timer":
			unit, state := fields[len(fields)-1], strings.Join(fields[:len(fields)-1], " and ")
			if state != "enabled and active" {
				written("timer", unit, "it is "+state+", want enabled and active", w.applyJob)
			}
		case "dropin":
			out = append(out, Finding{
				Where: "file", Name: fields[0] + ".d", What: "somebody edited the unit beside the program's file",
				Revert: "systemctl revert " + fields[0] + " on the host", Adopt: inProgram,
			})
		case "id":
			ids[fields[1]+" "+fields[2]] = fields[0]
		case "service":
			if !slices.ContainsFunc(services, func(s swarm.Service) bool { return s.Name == fields[0] }) {
				out = append(out, Finding{
					Where: "service", Name: fields[0], What: "nobody asked for it",
					Revert: "docker service rm " + fields[0] + " on the host", Adopt: "declare it in the program",
				})
			}
		case "task":
			ended, state := seconds(fields[2]), fields[3]
			if (state != "failed" && state != "rejected") || !ended.After(seconds(fields[0])) ||
				ended.Before(boot.Add(restless)) || now.Sub(ended) > 24*time.Hour {
				continue
			}
			out = append(out, Finding{
				Where: "task", Name: fields[1], What: fmt.Sprintf("one ended at %s (%s); Swarm starts another",
					ended.UTC().Format(time.RFC3339), strings.Join(fields[4:], " ")),
				Revert: "nothing is to be done when its service runs", Adopt: "docker service logs " + fields[1] +
					" on the host tells why",
			})
		default:
			return nil, fmt.Errorf("ask the host: it answers %q, which is nothing that this program asked for",
				strings.TrimSpace(line))
		}
	}
	for path := range w.wanted {
		if !seenFile[path] {
			written("file", path, "it is gone", w.jobs[path])
		}
	}
	for _, path := range w.directories {
		if !seenDirectory[path] {
			written("directory", path, "it is gone", w.jobs[path])
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
			f.Revert = fmt.Sprintf("take it from its services and remove it on the host (docker %s rm %s), then %s", kind, plain,
				f.Revert)
		}
		out = append(out, f)
	}
	slices.SortStableFunc(out, func(a, b Finding) int { return strings.Compare(a.Where+" "+a.Name, b.Where+" "+b.Name) })
	return out, nil
}

func seconds(text string) time.Time {
	n, _ := strconv.ParseInt(text, 10, 64)
	return time.Unix(n, 0)
}

// differs words what of a file is not as wanted; "" when all of it is.
func (f fileWant) differs(mode, uid, sum string) string {
	var why []string
	if sum != f.sum {
		why = append(why, "its content was changed")
	}
	if mode != f.mode || uid != strconv.Itoa(f.uid) {
		why = append(why, fmt.Sprintf("its mode and owner are %s and %s, want %s and %d", mode, uid, f.mode, f.uid))
	}
	return strings.Join(why, "; ")
}
