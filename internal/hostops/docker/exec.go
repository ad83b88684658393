package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"
)

// outputLimit is how much of a command's output is read.
const outputLimit = 4 << 20

// Executed is a command that ran to its end in a container.
type Executed struct {
	Stdout, Stderr string // Stderr may quote customers' data
	Code           int
}

// Exec runs a command in a running container. A command that ends with another code than 0 is no error here.
func Exec(ctx context.Context, engine *client.Client, id string, command ...string) (Executed, error) {
	var done Executed
	fail := func(err error) (Executed, error) {
		return done, fmt.Errorf("run %s in a container: %w", command[0], err)
	}
	made, err := engine.ExecCreate(ctx, id, client.ExecCreateOptions{
		Cmd: command, AttachStdout: true, AttachStderr: true,
	})
	if err != nil {
		return fail(err)
	}
	streams, err := engine.ExecAttach(ctx, made.ID, client.ExecAttachOptions{})
	if err != nil {
		return fail(err)
	}
	defer streams.Close()
	stop := context.AfterFunc(ctx, streams.Close)
	defer stop()
	var out, errOut strings.Builder
	if _, err := stdcopy.StdCopy(&out, &errOut, io.LimitReader(streams.Reader, outputLimit)); err != nil {
		return fail(errors.Join(ctx.Err(), err))
	}
	ended, err := engine.ExecInspect(ctx, made.ID, client.ExecInspectOptions{})
	if err != nil {
		return fail(err)
	}
	done = Executed{out.String(), errOut.String(), ended.ExitCode}
	return done, nil
}
