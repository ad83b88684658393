// Command sandbox-toolchain builds the Pulumi engine of the sandbox, or checks the machine's
// own, and prints the environment that a shell needs to use it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/prekzursil/momentstudio-infra/sandbox/toolchain"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run() error {
	engine := flag.String("engine", "sandbox/engine", "directory of the pinned modules")
	install := flag.String("install", "/var/cache/momentstudio-sandbox/toolchain", "where the built toolchain is kept")
	home := flag.String("home", "", "PULUMI_HOME that gets the plugins (default: home below -install)")
	own := flag.Bool("machine", false, "use the machine's own Pulumi and only check it")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	var t toolchain.Toolchain
	var err error
	if *own {
		t, err = toolchain.FromMachine(ctx)
	} else {
		t, err = toolchain.Ensure(ctx, toolchain.Options{
			EngineDir: *engine, InstallDir: *install, PulumiHome: *home, Log: os.Stderr,
		})
	}
	if err != nil {
		return err
	}
	fmt.Printf("export PATH=%q:\"$PATH\"\nexport PULUMI_HOME=%q\n", t.BinDir, t.PulumiHome)
	fmt.Println("export PULUMI_SKIP_UPDATE_CHECK=true PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION=true")
	return nil
}
