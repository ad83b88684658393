package hostspec

// ExitCode is the exit code of hostops.
type ExitCode int

// The exit codes of hostops. docs/reference/hostops.md is generated from them.
const (
	ExitFailed        ExitCode = 1
	ExitUsage         ExitCode = 2
	ExitContract      ExitCode = 4  // image and program have different versions of the host contract
	ExitLocked        ExitCode = 5  // another process works on the same thing
	ExitNoBackup      ExitCode = 10 // from here on: of a restore
	ExitWrongPassword ExitCode = 11
	ExitDamaged       ExitCode = 12
	ExitNoRoom        ExitCode = 13
	ExitNewerSchema   ExitCode = 14
	ExitUnfinished    ExitCode = 15
)

// ExitCodes are all of them, in their order.
var ExitCodes = []ExitCode{
	ExitFailed, ExitUsage, ExitContract, ExitLocked, ExitNoBackup, ExitWrongPassword, ExitDamaged, ExitNoRoom,
	ExitNewerSchema, ExitUnfinished,
}

// String says what the code means.
func (c ExitCode) String() string {
	switch c {
	case ExitFailed:
		return "failed"
	case ExitUsage:
		return "wrong usage"
	case ExitContract:
		return "another version of the host contract than the program's"
	case ExitLocked:
		return "another process works on the host's services or backups"
	case ExitNoBackup:
		return "no such backup"
	case ExitWrongPassword:
		return "the password does not open the backups"
	case ExitDamaged:
		return "the backup is damaged"
	case ExitNoRoom:
		return "no room for the restore"
	case ExitNewerSchema:
		return "the schema of the backup is newer than the release"
	case ExitUnfinished:
		return "an earlier restore is not finished"
	}
	return "unknown exit code"
}
