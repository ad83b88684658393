// Package clidoc writes the reference of a command from the command itself.
package clidoc

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// Markdown is one page with the command and everything below it.
func Markdown(root *cobra.Command, intro string) (string, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s\n\n%s\n", root.Name(), strings.TrimSpace(intro))
	root.DisableAutoGenTag = true
	root.InitDefaultHelpFlag()
	root.InitDefaultVersionFlag()
	var walk func(*cobra.Command) error
	walk = func(cmd *cobra.Command) error {
		var page bytes.Buffer
		if err := doc.GenMarkdownCustom(cmd, &page, func(name string) string {
			return "#" + strings.ReplaceAll(strings.TrimSuffix(name, ".md"), "_", "-")
		}); err != nil {
			return fmt.Errorf("write the reference of %s: %w", cmd.CommandPath(), err)
		}
		b.WriteString("\n" + own(page.String()))
		for _, c := range cmd.Commands() {
			if !c.IsAvailableCommand() {
				continue
			}
			if err := walk(c); err != nil {
				return err
			}
		}
		return nil
	}
	err := walk(root)
	return b.String(), err
}

var (
	inherited = regexp.MustCompile("(?s)\n### Options inherited from parent commands\n.*?```.*?```\n")
	seeAlso   = regexp.MustCompile(`(?s)\n### SEE ALSO\n.*`)
	helpFlag  = regexp.MustCompile(`(?m)^ +-h, --help .*\n`)
	emptied   = regexp.MustCompile("\n### Options\n\n```\n```\n")
)

// own leaves what a command has of its own.
func own(page string) string {
	page = seeAlso.ReplaceAllString(page, "\n")
	page = inherited.ReplaceAllString(page, "")
	page = helpFlag.ReplaceAllString(page, "")
	page = emptied.ReplaceAllString(page, "")
	return strings.TrimRight(page, "\n") + "\n"
}

// Compare holds a page against its file, or rewrites the file.
func Compare(path, page string, update bool) error {
	if update {
		return os.WriteFile(path, []byte(page), 0o644) //nolint:gosec // a page of documentation
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != page {
		return fmt.Errorf("%s is stale; `make snapshots` rewrites it (%w)", path, err)
	}
	return nil
}
