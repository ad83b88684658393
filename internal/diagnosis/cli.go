package diagnosis

import (
	"regexp"
	"strconv"
	"strings"
)

// What the CLI says of a state in a bucket or directory that is locked (pkg/backend/diy/lock.go), of one in Pulumi
// Cloud, and of a checkpoint in a directory whose attributes file is empty (gocloud.dev/blob/fileblob). Its exit codes
// do not tell these apart.
const (
	stateLocked = "the stack is currently locked by"
	stateBusy   = "Another update is currently in progress"
	stateTorn   = "failed to load checkpoint: EOF"
)

var lockHolder = regexp.MustCompile(`created by (\S+)@(\S+) \(pid (\d+)\) at (\S+)`)

// Holder is who locked a state.
type Holder struct {
	User, Host string
	PID        int    // 0 when it is not a number
	Since      string // as the lock has it
}

// StateLock reads from the CLI's error output whether the state is locked, and by whom. Pulumi Cloud names nobody.
func StateLock(output string) (holders []Holder, locked bool) {
	if !strings.Contains(output, stateLocked) {
		return nil, strings.Contains(output, stateBusy)
	}
	for _, m := range lockHolder.FindAllStringSubmatch(output, -1) {
		pid, _ := strconv.Atoi(m[3])
		holders = append(holders, Holder{User: m[1], Host: m[2], PID: pid, Since: m[4]})
	}
	return holders, true
}

// TornState reports whether the CLI cannot read a state in a directory because a killed run left its attributes file
// empty.
func TornState(output string) bool { return strings.Contains(output, stateTorn) }

// taken is what Docker and Hetzner say of a name that something has already.
var taken = regexp.MustCompile(`AlreadyExists|uniqueness_error`)

// NameTaken reports whether one of the failures is a name that is in use.
func NameTaken(all []Failure) bool {
	for _, f := range all {
		if taken.MatchString(f.Message) {
			return true
		}
	}
	return false
}
