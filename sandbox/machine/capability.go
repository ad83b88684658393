package machine

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// capabilityNames are in the order of their numbers in the kernel.
var capabilityNames = strings.Fields(`
	CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
	NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
	SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
	MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ`)

// capabilities returns those that this machine can give. --privileged asks for
// all of them and fails on a machine that lacks one, as virtual machines of CI
// systems do.
func capabilities(status string) ([]string, error) {
	body, err := os.ReadFile(status)
	if err != nil {
		return nil, fmt.Errorf("read capabilities: %w", err)
	}
	for line := range strings.Lines(string(body)) {
		text, ok := strings.CutPrefix(line, "CapBnd:")
		if !ok {
			continue
		}
		set, err := strconv.ParseUint(strings.TrimSpace(text), 16, 64)
		if err != nil {
			return nil, fmt.Errorf("read capabilities: %w", err)
		}
		var names []string
		for i, name := range capabilityNames {
			if set&(1<<i) != 0 {
				names = append(names, name)
			}
		}
		return names, nil
	}
	return nil, fmt.Errorf("read capabilities: no CapBnd in %s", status)
}
