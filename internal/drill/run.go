package drill

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/prekzursil/momentstudio-infra/internal/commandline"
	"github.com/prekzursil/momentstudio-infra/internal/config"
	"github.com/prekzursil/momentstudio-infra/internal/engine"
	"github.com/prekzursil/momentstudio-infra/internal/fault"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/hostssh"
	"github.com/prekzursil/momentstudio-infra/internal/secret"
	"github.com/prekzursil/momentstudio-infra/internal/update"
)

// Options say what a drill proves, and what becomes of its stack.
type Options struct {
	// stack whose file names the release and the images, which then are those of the drill; empty: the drill's own file
	Of     string
	Backup string        // a text that hostspec.ParseBackupChoice reads
	From   string        // name of the destination; default: the first
	Report string        // directory for report.md and report.json; default: the stack's own below .momentstudio
	Keep   bool          // leave the stack until it expires
	Life   time.Duration // after which `studio drill reap` may remove the stack
	Allow  hostssh.Allow
}

// drillPrefix begins the names of drills' stacks; their time follows.
const (
	drillPrefix = "drill-"
	// templateStack is the stack of Pulumi.drill.yaml, which stays empty.
	templateStack = "drill"
	drillTime     = "20060102-150405"
)

// drillName is what the stack of a drill may be called: what removes drills touches nothing else.
var drillName = regexp.MustCompile(`^` + drillPrefix + `[a-z0-9-]+$`)

// StackName is the name of a drill that begins now.
func StackName(now time.Time) string { return drillPrefix + now.UTC().Format(drillTime) }

// teardownLimit is how long a drill's end may take: it is not interrupted.
const teardownTimeout = 30 * time.Minute

// Run restores a backup on a host of its own, proves that the shop works with it, writes a report and removes all of
// it again, also when it fails or is interrupted. It reports success only when every check passed and nothing is left.
func Run(ctx context.Context, c engine.Stack, o Options, now time.Time) error {
	if _, err := hostspec.ParseBackupChoice(o.Backup); err != nil {
		return commandline.Usage(fmt.Errorf("--backup: %w", err))
	}
	if o.Life <= 0 {
		return fmt.Errorf("%s is no time for which a drill could live", o.Life)
	}
	if !drillName.MatchString(c.Name) {
		return fmt.Errorf("a drill's stack is called %s and something, and not %q; --of names the stack that is drilled",
			drillPrefix, c.Name)
	}
	template := c.File()
	dir := c.Dir()
	if o.Report == "" {
		o.Report = dir
	}
	for _, d := range []string{dir, o.Report} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return fmt.Errorf("make a place for the drill: %w", err)
		}
	}
	c.ConfigFile = filepath.Join(dir, "drill.yaml")
	like := ""
	if o.Of != "" {
		like = filepath.Join(c.Root, "Pulumi."+o.Of+".yaml")
	}
	if err := copyForDrill(template, like, c.ConfigFile, now.Add(o.Life)); err != nil {
		return err
	}
	wanted, err := checkedConfig(c)
	if err != nil {
		return errors.Join(err, os.RemoveAll(c.ConfigFile))
	}
	if wanted.Kind != config.Drill {
		return fmt.Errorf("%s is of kind %s, want %s: a drill removes what it made", template, wanted.Kind, config.Drill)
	}
	file, _, err := engine.ReadValues(c.ConfigFile)
	if err != nil {
		return err
	}
	provider, _ := file["secretsprovider"].(string)
	if err := c.Init(ctx, dir, cmp.Or(provider, "passphrase")); err != nil {
		return err
	}
	r := Report{Stack: c.Name, Began: now.UTC()}
	err = hostssh.WithAccess(ctx, c, o.Allow, func(ctx context.Context) error { return runDrill(ctx, c, o, wanted, &r) })
	if err != nil {
		r.Error = err.Error()
	}
	if o.Keep && err == nil {
		r.Kept = now.Add(o.Life).UTC()
	} else if err := timedPhase(c, &r, "remove it all", func() error {
		return tearDown(context.WithoutCancel(ctx),
			c)
	}); err != nil {
		r.Error = errors.Join(err, errorOf(r.Error)).Error()
	} else {
		r.Removed = true
	}
	return tell(c, o, r)
}

func errorOf(text string) error {
	if text == "" {
		return nil
	}
	return errors.New(text)
}

// rehearse makes the stack, restores the backup there and looks at it.
func runDrill(ctx context.Context, c engine.Stack, o Options, wanted config.Config, r *Report) error {
	if err := timedPhase(c, r, "make a host with the shop", func() error {
		_, err := update.Run(ctx, c, update.Options{})
		return err
	}); err != nil {
		return err
	}
	out, err := c.Outputs(ctx)
	if err != nil {
		return err
	}
	command := hostspec.HostopsCommand + " restore --yes --backup " + hostssh.Quote(o.Backup)
	if o.From != "" {
		command += " --from " + hostssh.Quote(o.From)
	}
	began := time.Now()
	fmt.Fprintln(c.Out, "== restore the backup")
	if err := restore(ctx, c, out.Address, command); err != nil {
		return err
	}
	restored := time.Since(began).Seconds()
	began = time.Now()
	proof, err := prove(ctx, c, out.Address, wanted.Domain.Apex())
	if proof == nil {
		return fmt.Errorf("prove the restored shop: %w", err)
	}
	r.Proof = proof
	expected := Expected{Stack: o.Of}
	if o.Backup == hostspec.LatestBackup {
		expected.MaxAge = time.Duration(wanted.Backup.MaxAgeHours) * time.Hour
	}
	r.Judge(expected)
	for _, p := range proof.Phases {
		restored -= p.Seconds
		r.Phases = append(r.Phases, Phase{Name: "restore: " + p.Name, Seconds: p.Seconds})
	}
	r.Phases = append(r.Phases, Phase{Name: "restore: find the backup, and the rest", Seconds: max(0, restored)},
		Phase{Name: "prove it", Seconds: time.Since(began).Seconds()})
	return nil
}

// prove runs the host's checks; a failed one is in the proof, and is no error here.
func prove(ctx context.Context, c engine.Stack, address, domain string) (*hostspec.AcceptanceReport, error) {
	cmd := hostssh.Command(ctx, c, address, hostspec.HostopsCommand+" prove --domain "+hostssh.Quote(domain))
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	ran := c.Exec(cmd)
	proof, err := ReadProof(out.Bytes())
	if err != nil {
		return nil, errors.Join(ran, err, keepLog(c, "prove", out.Bytes(), errOut.Bytes()))
	}
	return proof, nil
}

// restore runs the host's restore. Neither the report nor the terminal of a pipeline shows what it prints: the
// database's errors quote customers' rows.
func restore(ctx context.Context, c engine.Stack, address, command string) error {
	cmd := hostssh.Command(ctx, c, address, command)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	ran := c.Exec(cmd)
	if ran == nil {
		return nil
	}
	err := fmt.Errorf("restore the backup: %w", ran)
	var exit *exec.ExitError
	if errors.As(ran, &exit) {
		switch code := hostspec.ExitCode(exit.ExitCode()); {
		case exit.ExitCode() == hostssh.SSHFailed:
			err = errors.New("restore the backup: the host does not answer any more")
		case code == hostspec.ExitNoRoom:
			err = fault.Hint(fmt.Errorf("restore the backup: %s", code), "raise host.volumeSizeGB in the drill's file")
		case slices.Contains(hostspec.ExitCodes, code) && code != hostspec.ExitFailed:
			err = fmt.Errorf("restore the backup: %s", code)
		}
	}
	return errors.Join(err, keepLog(c, "restore", out.Bytes(), errOut.Bytes()))
}

// keepLog writes what the host printed beside the stack's other files, for this machine's eyes, and says where.
func keepLog(c engine.Stack, name string, parts ...[]byte) error {
	path := filepath.Join(c.Dir(), name+".log")
	if err := os.WriteFile(path, bytes.Join(parts, nil), 0o600); err != nil {
		return fmt.Errorf("keep the host's log: %w", err)
	}
	return fmt.Errorf("what the host said is in %s; it may quote customers' data", path)
}

func timedPhase(c engine.Stack, r *Report, name string, work func() error) error {
	fmt.Fprintln(c.Out, "==", name)
	began := time.Now()
	err := work()
	r.Phases = append(r.Phases, Phase{Name: name, Seconds: time.Since(began).Seconds()})
	return err
}

// tell writes the report, and is an error unless it is a good one.
func tell(c engine.Stack, o Options, r Report) error {
	text, err := r.JSON()
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{"report.json": text, "report.md": []byte(r.Markdown())} {
		if errWrite := os.WriteFile(filepath.Join(o.Report, name), content, 0o600); errWrite != nil {
			err = errors.Join(err, fmt.Errorf("write the drill's report: %w", errWrite))
		}
	}
	fmt.Fprintf(c.Out, "\n%s\nwrote %s/report.md and report.json\n", r.Markdown(), o.Report)
	return errors.Join(r.Err(), err)
}

// copyForDrill copies a drill's file with the time at which the stack expires, and with the release and images of
// another stack's file when one is named.
func copyForDrill(from, like, to string, expires time.Time) error {
	file, values, err := engine.ReadValues(from)
	if err != nil {
		return err
	}
	if like != "" {
		_, others, err := engine.ReadValues(like)
		if err != nil {
			return err
		}
		for _, group := range []string{"release", "images"} {
			values[config.Namespace+":"+group] = others[config.Namespace+":"+group]
		}
	}
	values[config.Namespace+":drill"] = map[string]any{"expires": expires.UTC().Format(time.RFC3339)}
	text, err := yaml.Marshal(file)
	if err != nil {
		return fmt.Errorf("write the drill's file: %w", err)
	}
	if err := os.WriteFile(to, text, 0o600); err != nil {
		return fmt.Errorf("write the drill's file: %w", err)
	}
	return nil
}

// checkedConfig reads the drill's file and reports everything that is wrong with it, before anything is made. Of the
// secrets it knows only which are there. What mends the template is told, and not what mends the copy.
func checkedConfig(c engine.Stack) (config.Config, error) {
	source, err := config.FromFile(c.File(), templateStack)
	if err != nil {
		return config.Config{}, err
	}
	source.Dir = c.Root
	for _, key := range source.Encrypted {
		source.Values[key] = secret.Placeholder(strings.TrimPrefix(key, config.Namespace+":"))
		source.SecretKeys = append(source.SecretKeys, key)
	}
	return config.Load(source)
}
