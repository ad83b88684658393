package hostssh_test

import (
	"strings"
	"testing"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/hostssh"
)

func TestAFileSystemThatDidNotFollowItsVolumeIsNamed(t *testing.T) {
	const gb = 1 << 30
	for name, c := range map[string]struct {
		volume *hostspec.Volume
		bad    bool
	}{
		"a host of an older program":   {nil, false},
		"whole":                        {&hostspec.Volume{Bytes: 10 * gb, Filesystem: 10 * gb}, false},
		"less than a block group free": {&hostspec.Volume{Bytes: 10*gb + 100<<20, Filesystem: 10 * gb}, false},
		"one gigabyte free":            {&hostspec.Volume{Bytes: 11 * gb, Filesystem: 10 * gb}, true},
		"one of ten terabytes":         {&hostspec.Volume{Bytes: 10240 * gb, Filesystem: 10239 * gb}, true},
	} {
		if err := hostssh.JudgeVolume(c.volume); (err != nil) != c.bad {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestADiskIsNamedBeforeItIsFull(t *testing.T) {
	for name, c := range map[string]struct {
		disk hostspec.Disk
		want string
	}{
		"half full":       {hostspec.Disk{Path: "/", SizeMB: 40_000, FreeMB: 20_000, Inodes: 100, FreeInodes: 50}, ""},
		"the system disk": {hostspec.Disk{Path: "/", SizeMB: 40_000, FreeMB: 4_000}, "docker system df"},
		"the data volume": {hostspec.Disk{Path: "/mnt/momentstudio", SizeMB: 10_000, FreeMB: 10}, "host.volumeSizeGB"},
		"inodes": {
			hostspec.Disk{Path: "/", SizeMB: 9000, FreeMB: 8000, Inodes: 1000, FreeInodes: 99}, "99 of 1000 inodes",
		},
		"no limit for inodes": {hostspec.Disk{Path: "/", SizeMB: 9000, FreeMB: 8000}, ""},
	} {
		switch err := hostssh.JudgeDisk(c.disk); {
		case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
