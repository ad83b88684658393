package app

import (
	_ "embed"
	"fmt"
	"strconv"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/workload"
)

//go:embed schedulers.py
var schedulersProgram string

// schedulersHealth asks each process; the argument is how many there are.
const schedulersHealth = `import urllib.request as u
for n in range(%d): u.urlopen('http://127.0.0.1:%%d/api/v1/health'%%(8001+n),timeout=4).read()`

// schedulers runs as many API processes as there are schedulers. The application gives a process one connection for
// the locks of all schedulers, and a scheduler keeps it for life: one process runs one scheduler (docs/explanation/
// application.md, 3.6). With the API's own processes alone, which of them run changes at each restart, and with fewer
// processes than schedulers some never run.
func (b *builder) schedulers() error {
	args := b.args
	if args.Schedulers == 0 {
		return nil
	}
	_, err := workload.NewService(b.ctx, b.name+"-schedulers", "schedulers", workload.Service{
		Image: pulumi.String(args.BackendImage),
		Args:  []string{"python", "-c", schedulersProgram, strconv.Itoa(args.Schedulers)},
		Env:   args.SchedulersEnv, Secrets: append([]workload.SecretFile{b.env()}, args.KeyFiles...),
		Mounts:  append(media(), workload.Mount{Target: "/tmp", TmpfsMB: 64}),
		Network: args.Network, Alias: "schedulers",
		Health: &workload.Health{
			Command:  []string{"python", "-c", fmt.Sprintf(schedulersHealth, args.Schedulers)},
			Interval: 15 * time.Second, Timeout: 30 * time.Second, Retries: 4, StartPeriod: 2 * time.Minute,
		},
		Replicas: 1, MemoryMB: args.SchedulersMemoryMB, StopGrace: hostspec.AppGrace,
		Converge: 4 * time.Minute, After: b.after(),
	}, pulumi.Parent(b.app), b.needs())
	return err
}
