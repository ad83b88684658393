package hostssh

import (
	"os/exec"
	"testing"
)

func TestShellQuoteByTheShell(t *testing.T) {
	for _, text := range []string{"plain", "it's $HOME `id` \"x\" \\ *", "'", ""} {
		out, err := exec.Command("sh", "-c", "printf %s "+Quote(text)).Output() //nolint:gosec // that is what is tested
		if err != nil || string(out) != text {
			t.Errorf("the shell reads %q as %q (%v)", text, out, err)
		}
	}
}
