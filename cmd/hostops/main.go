// Command hostops works on the host, inside the jobs that the program declares, and for an operator. The text
// named reference has its exit codes.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/prekzursil/momentstudio-infra/internal/commandline"
	"github.com/prekzursil/momentstudio-infra/internal/fault"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/apply"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/backup"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/journal"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/lock"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/media"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/postgres"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/release"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/restic"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/restore"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/systemd"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// reference introduces the generated docs/reference/hostops.md.
func reference() string {
	var codes strings.Builder
	codes.WriteString("| Exit code | Meaning |\n|---|---|\n| 0 | done |\n")
	for _, c := range hostspec.ExitCodes {
		fmt.Fprintf(&codes, "| %d | %s |\n", int(c), c)
	}
	return `
What runs on the host, from the ops image: in jobs that the program declares, by systemd timers, and by an operator as
` + "`" + hostspec.HostopsCommand + "`" + `.

` + codes.String()
}

// kinds are the errors that a caller may want to tell apart, and what a person can do about each.
var kinds = []struct {
	err  error
	code hostspec.ExitCode
	do   string // empty: the error itself says it
}{
	{errContract, hostspec.ExitContract, ""},
	{
		backup.ErrNotEverywhere, hostspec.ExitFailed,
		"fix what is said of each destination, then run `systemctl start momentstudio-backup`; a destination that is not " +
			"named has its copy",
	},
	{
		backup.ErrNotBackedUp, hostspec.ExitFailed,
		"no destination has a copy of this run, earlier copies are unchanged; fix the cause, then run `systemctl start " +
			"momentstudio-backup`",
	},
	{
		restic.ErrNoBackup, hostspec.ExitNoBackup,
		"nothing was changed; `restore list --from NAME` shows what a destination has",
	},
	{
		restic.ErrWrongPassword, hostspec.ExitWrongPassword,
		"nothing was changed; the repository is another stack's, or its password is of another generation than this " +
			"host's: " +
			"take another destination (--from), or run `studio up` with the stack's own file first",
	},
	{
		restic.ErrDamaged, hostspec.ExitDamaged,
		"the shop's own data were not touched; take another backup (`restore list`) or another destination (--from), and " +
			"have this one looked at",
	},
	{
		restic.ErrNoRoom, hostspec.ExitNoRoom,
		"nothing of the shop was changed; raise host.volumeSizeGB and run `studio up`, or remove what is not needed from " +
			"the data volume",
	},
	{restore.ErrNewerSchema, hostspec.ExitNewerSchema, ""},
	{journal.ErrUnfinished, hostspec.ExitUnfinished, ""},
	{lock.ErrHeld, hostspec.ExitLocked, "wait until that has ended, then run it again"},
}

var errContract = errors.New("hostops and the program disagree about the host contract")

// overheard is of a command that another program runs, which ends as soon as its output does: what it says goes first.
type overheard struct{ error }

func (e overheard) Unwrap() error { return e.error }

// hearing is how long that program is given to read it.
const hearing = 500 * time.Millisecond

func main() {
	signal.Ignore(syscall.SIGHUP) // a terminal that is lost ends nothing in the middle
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err := commandline.Execute(ctx, command())
	if err == nil {
		return
	}
	code, do := exitFor(err)
	fmt.Fprintln(os.Stderr, "hostops:", err)
	if do != "" {
		fmt.Fprintln(os.Stderr, fault.Fix(do))
	}
	if errors.As(err, &overheard{}) {
		time.Sleep(hearing)
	}
	os.Exit(int(code))
}

// exitFor is the exit code of an error, and what to do about it.
func exitFor(err error) (code hostspec.ExitCode, do string) {
	if commandline.Wrong(err) {
		return hostspec.ExitUsage, "hostops --help shows what there is"
	}
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			return k.code, k.do
		}
	}
	return hostspec.ExitFailed, ""
}

func command() *cobra.Command {
	var contract int
	root := &cobra.Command{
		Use: "hostops", Short: "Work on a momentstudio host", SilenceErrors: true, SilenceUsage: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("contract") && contract != hostspec.ContractVersion {
				return fmt.Errorf("%w: it wants version %d, this image has %d; set images.ops to the image of the program's commit",
					errContract, contract, hostspec.ContractVersion)
			}
			return nil
		},
	}
	root.PersistentFlags().IntVar(&contract, "contract", 0, "version of the host contract that the caller speaks")
	root.AddCommand(versionCommand(), hostApplyCommand(), dbRolesCommand(), dbRetireCommand(), prepareCommand(),
		migrateCommand(), caddyLoadCommand(), pullCommand(), pruneCommand(), backupCommand(), backupAgeCommand(),
		backupCheckCommand(), notifyCommand(), mediaJobsCommand(),
		restoreCommand(), proveCommand(), sftpCommand(), inspectCommand())
	return root
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version of the host contract", Args: cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			fmt.Fprintln(cmd.OutOrStdout(), "host contract", hostspec.ContractVersion)
		},
	}
}

func hostApplyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "host-apply", Short: "Make directories, files and secrets of the host true", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			spec, err := apply.ReadSpec(hostspec.ApplySpec)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), 5*time.Minute)
			defer cancel()
			return apply.Run(ctx, spec, hostspec.HostRoot, systemd.Manager{}, cmd.OutOrStdout())
		},
	}
}

func dbRolesCommand() *cobra.Command {
	return rolesCommand("db-roles", "Make the database, its owner and its login roles", postgres.ApplyRoles)
}

func dbRetireCommand() *cobra.Command {
	return rolesCommand("db-retire", "Close the login role that is not in use", postgres.RetireIdle)
}

// rolesCommand is a command that works on the database's roles as the superuser.
func rolesCommand(use, short string, work func(context.Context, *pgx.Conn, postgres.Roles,
	io.Writer) error,
) *cobra.Command {
	var superuser, first, loginA, loginB string
	roles := postgres.Roles{}
	cmd := &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := roles.ReadLogins(loginA, loginB); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Minute)
			defer cancel()
			conn, err := postgres.ConnectSuperuser(ctx, hostspec.PostgresHost, superuser, first, cmd.OutOrStdout())
			if err != nil {
				return err
			}
			defer conn.Close(context.WithoutCancel(ctx))
			return work(ctx, conn, roles, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&superuser, "superuser-password", "", "file with the superuser's password; old ones beside it "+
		"are tried too, and removed")
	cmd.Flags().StringVar(&first, "first-password", "", "file with the superuser's password of the first initialisation")
	cmd.Flags().StringVar(&loginA, "login-a-password", "", "file with the password of login role a")
	cmd.Flags().StringVar(&loginB, "login-b-password", "", "file with the password of login role b")
	cmd.Flags().StringVar(&roles.Active, "active", "", "login role in use: a or b")
	cmd.Flags().IntVar(&roles.ConnectionLimit, "connection-limit", 90, "most connections of a login role")
	for _, f := range []string{"superuser-password", "first-password", "login-a-password", "login-b-password", "active"} {
		_ = cmd.MarkFlagRequired(f)
	}
	return cmd
}

func prepareCommand() *cobra.Command {
	p := release.Preparation{ReleasesDir: hostspec.ReleasesDir, RegistryAuth: hostspec.RegistrySecret}
	cmd := &cobra.Command{
		Use: "prepare", Short: "Check the host's room for a release, pull its images, keep its bundles", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), 15*time.Minute)
			defer cancel()
			return release.Prepare(ctx, p, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&p.Release, "release", "", "the release's name")
	cmd.Flags().StringVar(&p.Backend, "backend", "", "the release's backend image, with digest")
	cmd.Flags().StringVar(&p.Frontend, "frontend", "", "the release's frontend image, with digest")
	cmd.Flags().StringVar(&p.WebRoot, "web-root", "", "directory of the frontend's image with what browsers load")
	cmd.Flags().IntVar(&p.MemoryMB, "memory-mb", 0, "memory that one more task may take")
	for _, f := range []string{"release", "backend", "frontend", "web-root", "memory-mb"} {
		_ = cmd.MarkFlagRequired(f)
	}
	return cmd
}

func pullCommand() *cobra.Command {
	var images []string
	cmd := &cobra.Command{
		Use: "pull", Short: "Pull new images before the running services stop", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), 20*time.Minute)
			defer cancel()
			return release.PullAll(ctx, images, hostspec.RegistrySecret, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringSliceVar(&images, "image", nil, "an image, with digest; may be repeated")
	_ = cmd.MarkFlagRequired("image")
	return cmd
}

func pruneCommand() *cobra.Command {
	var keep []string
	cmd := &cobra.Command{
		Use: "prune", Short: "Remove images that neither a container nor one of the newest releases needs",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			unlock, err := lock.Acquire(hostspec.ServicesLock, "a change of the services",
				fmt.Sprintf("the pruning of images, since %s", time.Now().UTC().Format(time.RFC3339)))
			if errors.Is(err, lock.ErrHeld) {
				fmt.Fprintf(cmd.OutOrStdout(), "%v: nothing is pruned this time\n", err)
				return nil
			}
			if err != nil {
				return err
			}
			defer unlock()
			ctx, cancel := context.WithTimeout(cmd.Context(), 15*time.Minute)
			defer cancel()
			return release.Prune(ctx, hostspec.ReleasesDir, keep, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringSliceVar(&keep, "keep", nil, "images that stay although nothing runs them")
	return cmd
}

// mediaJobsCommand runs every hour. A database or a Redis that is away is no failure of it: their services report that.
func mediaJobsCommand() *cobra.Command {
	var longest time.Duration
	cmd := &cobra.Command{
		Use: "media-jobs", Short: "Queue media jobs again that Redis lost, or that were interrupted",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Minute)
			defer cancel()
			url, err := postgres.ReadURL("")
			if err != nil {
				return err
			}
			jobs, err := media.Open(ctx, url)
			if err != nil {
				fmt.Fprintf(cmd.OutOrStdout(), "%v; media jobs are looked at again in an hour\n", err)
				return nil
			}
			defer jobs.Close(ctx)
			return jobs.QueueLost(ctx, longest, cmd.OutOrStdout())
		},
	}
	cmd.Flags().DurationVar(&longest, "longest", 0, "longest time that one job may take")
	return cmd
}

func migrateCommand() *cobra.Command {
	m := release.Migration{BackupDir: hostspec.MigrationBackups, RegistryAuth: hostspec.RegistrySecret}
	cmd := &cobra.Command{
		Use: "migrate", Short: "Run the release's migrations under a lock, after a backup", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return release.Migrate(cmd.Context(), m, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&m.Image, "image", "", "the release's backend image, with digest")
	cmd.Flags().StringVar(&m.ClientImage, "client-image", "", "image with pg_dump and pg_restore, with digest")
	cmd.Flags().StringVar(&m.EnvFile, "env-file", "", "the application's .env on the host")
	cmd.Flags().StringVar(&m.Network, "network", "", "attachable network of the application")
	cmd.Flags().DurationVar(&m.LockLimit, "lock-limit", 5*time.Second, "how long a statement may wait for a lock")
	cmd.Flags().StringSliceVar(&m.Compatible, "compatible", nil, "newer revisions that the release works with")
	for _, f := range []string{"image", "client-image", "env-file", "network"} {
		_ = cmd.MarkFlagRequired(f)
	}
	return cmd
}

func caddyLoadCommand() *cobra.Command {
	var from, to string
	var force bool
	cmd := &cobra.Command{
		Use: "caddy-load", Short: "Load a checked configuration into Caddy without a restart", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return release.CaddyLoad(cmd.Context(), from, to, force, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "directory with the new Caddyfile")
	cmd.Flags().StringVar(&to, "to", "", "Caddy's configuration directory")
	cmd.Flags().BoolVar(&force, "force", false, "load also what is loaded already: files that it names are new")
	for _, f := range []string{"from", "to"} {
		_ = cmd.MarkFlagRequired(f)
	}
	return cmd
}
