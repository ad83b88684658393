package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// outside names the network namespace that a test run was started in.
const outside = "EDGE_TEST_OUTSIDE"

// TestMain runs the tests in a network of their own: clients need addresses that the machine does
// not have, Cloudflare's among them, and no test can reach anything else.
func TestMain(m *testing.M) {
	here, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		fmt.Fprintln(os.Stderr, "the tests need Linux:", err)
		os.Exit(1)
	}
	if before := os.Getenv(outside); before == "" || before == here {
		os.Exit(runInside(here))
	}
	if err := claimAddresses(); err != nil {
		fmt.Fprintln(os.Stderr, "give the tests their addresses:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// runInside runs this program again in a new network and returns its status.
func runInside(here string) int {
	// The child is killed when the thread that started it ends.
	runtime.LockOSThread()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), outside+"="+here)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if id := os.Geteuid(); id != 0 {
		// Whoever is not root may make a network as the root of a user namespace.
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: id, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return max(exit.ExitCode(), 1)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "make a network for the tests:", err)
		return 1
	}
	return 0
}

// claimAddresses makes every address that the tests use one of the loopback interface's own. IPv6
// gives no address of a whole network to a program without the leave to take foreign ones.
func claimAddresses() error {
	for _, name := range []string{"conf/all/disable_ipv6=0", "conf/lo/disable_ipv6=0", "ip_nonlocal_bind=1"} {
		name, value, _ := strings.Cut(name, "=")
		if err := os.WriteFile("/proc/sys/net/ipv6/"+name, []byte(value), 0o600); err != nil {
			return err
		}
	}
	cmd := exec.Command("ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(`link set lo up
route add local 173.245.48.0/20 dev lo
route add local 2400:cb00::/32 dev lo
route add local fd00::/8 dev lo
`)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("ip of iproute2: %w: %s", err, strings.TrimSpace(out.String()))
	}
	return nil
}
