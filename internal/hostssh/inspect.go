package hostssh

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/engine"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/resourcetype"
)

// noImage is docker's own exit code for a container that it cannot start, for example because the image cannot be
// pulled.
const noImage = 125

// inspectLimit is how long a report may take: with the logs of all services, some minutes.
const inspectLimit = 4 * time.Minute

// Inspect asks the host for a report, with the hostops of the ops image. state is the exported state, which names the
// image that is on the host; before there is one, or when it is too old to report, the image of the stack's file is
// used, which the host pulls.
func Inspect(ctx context.Context, c engine.Stack, address string, state []byte,
	q hostspec.Inspection,
) (hostspec.HostReport, error) {
	var r hostspec.HostReport
	question, err := json.Marshal(q)
	if err != nil {
		return r, err
	}
	wanted, err := c.Config()
	if err != nil {
		return r, err
	}
	var last error
	for _, image := range slices.Compact([]string{opsImage(state), wanted.Images.Ops}) {
		if image == "" {
			continue
		}
		answer, err := inspectWith(ctx, c, address, image, question)
		if err == nil {
			if err := json.Unmarshal(answer, &r); err != nil {
				return r, errors.New("ask the host: its report is not the JSON that this program knows")
			}
			return r, nil
		}
		last = err
		var exit *exec.ExitError
		if !errors.As(err, &exit) || !olderOrMissing(exit.ExitCode()) {
			return r, err
		}
	}
	if last == nil {
		return r, errors.New("ask the host: neither the state nor the stack's file names an ops image")
	}
	return r, last
}

// olderOrMissing reports whether another image may answer: this one cannot be pulled, lacks the command, or speaks
// another version of the contract.
func olderOrMissing(code int) bool {
	return code == noImage || code == int(hostspec.ExitUsage) || code == int(hostspec.ExitContract)
}

// inspectWith runs one image. It reads the host's file system, its Docker engine and systemd, and has no network.
func inspectWith(ctx context.Context, c engine.Stack, address, image string, question []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, inspectLimit)
	defer cancel()
	cmd := Command(ctx, c, address, "docker run --rm --interactive --log-driver none --network none --cap-drop ALL "+
		"--cap-add DAC_READ_SEARCH --mount type=bind,source=/,target="+hostspec.HostRoot+",readonly "+
		"--mount type=bind,source=/run/dbus,target=/var/run/dbus "+
		"--mount type=bind,source=/var/run/docker.sock,target=/var/run/docker.sock "+Quote(image)+" inspect --contract "+
		strconv.Itoa(hostspec.ContractVersion))
	cmd.WaitDelay = 5 * time.Second
	var out, errOut bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(question), &out, &errOut
	if err := c.Exec(cmd); err != nil {
		return nil, fmt.Errorf("ask the host %s: %w: %s", address, reason(ctx, err), strings.TrimSpace(errOut.String()))
	}
	return out.Bytes(), nil
}

// opsImage finds in an exported state the image of the job that configures the host; empty without one.
func opsImage(state []byte) string {
	all, err := engine.Resources(state)
	if err != nil {
		return ""
	}
	for _, r := range all {
		var inputs struct {
			Image   string   `json:"image"`
			Command []string `json:"command"`
		}
		if r.Type == resourcetype.DockerContainer && json.Unmarshal(r.Inputs, &inputs) == nil &&
			len(inputs.Command) > 0 && inputs.Command[0] == "host-apply" {
			return inputs.Image
		}
	}
	return ""
}
