// Command pulumi-language-go runs Go programs for the engine. It is the sandbox's own language
// host, because the official one cannot be had as a Go module in a release that the engine of
// today speaks with: the last one that can (sdk v3.65) reads the project's runtime options from
// its command line, where current engines no longer put them, and so compiles the program anew
// for every preview.
//
// It knows the two options that the project uses, binary and buildTarget, and leaves out what
// only authors of packages need: templates, code generation, debuggers, plugins written in Go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
)

// healthInterval is how often the host asks whether the engine is still there. When it is not,
// the host ends, and with it the program.
const healthInterval = 5 * time.Second

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "pulumi-language-go:", err)
		os.Exit(1)
	}
}

func run() error {
	// The engine passes flags for tracing, logging and, for older hosts, options; only its address counts.
	flags := flag.NewFlagSet("pulumi-language-go", flag.ContinueOnError)
	flags.String("tracing", "", "accepted and ignored")
	flags.String("root", "", "accepted and ignored")
	flags.Bool("logtostderr", false, "accepted and ignored") // these two when the CLI runs with them
	flags.Int("v", 0, "accepted and ignored")
	if err := flags.Parse(os.Args[1:]); err != nil {
		return fmt.Errorf("parse flags: %w", err)
	}
	if flags.NArg() == 0 {
		return errors.New("missing the engine's address")
	}
	engine := flags.Arg(0)

	// The engine starts the host in a process group of its own, so a key pressed at the terminal
	// does not reach it: an interrupt is the engine's way to end it, and it waits until it works.
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := rpcutil.Healthcheck(ctx, engine, healthInterval, cancel); err != nil {
		return fmt.Errorf("watch the engine: %w", err)
	}

	stop := make(chan bool)
	go func() {
		<-ctx.Done()
		close(stop)
	}()
	server, err := rpcutil.ServeWithOptions(rpcutil.ServeOptions{
		Cancel: stop,
		Init: func(srv *grpc.Server) error {
			pulumirpc.RegisterLanguageRuntimeServer(srv, &host{engine: engine, stop: ctx})
			return nil
		},
	})
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	// The engine reads the port from the first line.
	fmt.Fprintln(os.Stdout, server.Port)
	if err := <-server.Done; err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}
