package studio

import (
	"os/exec"
	"strings"
	"testing"
)

func TestWhatIsNotWellIsAnError(t *testing.T) {
	if err := judgeStatus("backups\nthe newest verified backup is 3h old\n\ntimers\n"); err != nil {
		t.Errorf("a host that is well: %v", err)
	}
	err := judgeStatus("backups\n" + badMark + "hostops: backups are overdue: backup.maxAgeHours is 30\n\ntimers\n" +
		badMark + "momentstudio-backup.service loaded failed failed\n")
	if err == nil || !strings.Contains(err.Error(), "overdue") || !strings.Contains(err.Error(),
		"momentstudio-backup.service") {
		t.Errorf("got %v", err)
	}
}

func TestTheQuestionIsAShellScript(t *testing.T) {
	if out, err := exec.Command("sh", "-n", "-c", askStatus).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
