package hostimage

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// aptSources collects, from an apt configuration directory, the entries for the
// main component of a suite and of its updates. It returns "" when there are
// none, for example on a machine with another release. Third-party entries
// carry other suite names and stay out.
func aptSources(dir, suite string) (string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "sources.list.d", "*"))
	if err != nil {
		return "", err
	}
	files = append([]string{filepath.Join(dir, "sources.list")}, files...)
	var lines, stanzas []string
	for _, file := range files {
		body, err := os.ReadFile(file)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("read apt sources: %w", err)
		}
		switch {
		case strings.HasSuffix(file, ".sources"):
			stanzas = append(stanzas, matchingStanzas(string(body), suite)...)
		case strings.HasSuffix(file, ".list"):
			lines = append(lines, matchingLines(string(body), suite)...)
		}
	}
	// apt wants one format per file; the stanzas are the newer one, and a
	// machine that has both describes the same archive twice.
	if len(stanzas) > 0 {
		return strings.Join(stanzas, "\n\n") + "\n", nil
	}
	if len(lines) > 0 {
		return strings.Join(lines, "\n") + "\n", nil
	}
	return "", nil
}

func matchingStanzas(body, suite string) []string {
	var found []string
	for _, stanza := range strings.Split(body, "\n\n") {
		fields := map[string][]string{}
		var kept []string
		for _, line := range strings.Split(stanza, "\n") {
			if strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "" {
				continue
			}
			kept = append(kept, line)
			if name, value, ok := strings.Cut(line, ":"); ok && !strings.HasPrefix(line, " ") {
				fields[strings.ToLower(name)] = strings.Fields(value)
			}
		}
		if slices.Contains(fields["types"], "deb") && slices.Contains(fields["components"], "main") &&
			slices.ContainsFunc(fields["suites"], func(s string) bool { return ofSuite(s, suite) }) &&
			!slices.Contains(fields["enabled"], "no") {
			found = append(found, strings.Join(kept, "\n"))
		}
	}
	return found
}

func matchingLines(body, suite string) []string {
	var found []string
	for _, line := range strings.Split(body, "\n") {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "deb ")
		if !ok {
			continue
		}
		if _, after, bracketed := strings.Cut(rest, "]"); bracketed {
			rest = after
		}
		if fields := strings.Fields(rest); len(fields) >= 3 && ofSuite(fields[1], suite) && slices.Contains(fields[2:],
			"main") {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}

func ofSuite(s, suite string) bool {
	return s == suite || s == suite+"-updates" || s == suite+"-security"
}

// aptProxies returns the proxy settings of this machine's apt: mmdebstrap reads
// none of the machine's configuration by itself.
func aptProxies(ctx context.Context) []string {
	out, err := exec.CommandContext(ctx, "apt-config", "dump").Output()
	if err != nil {
		return nil
	}
	var options []string
	for _, line := range bytes.Split(out, []byte("\n")) {
		if key, value, ok := strings.Cut(string(line), " "); ok && value != `"";` &&
			(strings.HasPrefix(key, "Acquire::http::Proxy") || strings.HasPrefix(key, "Acquire::https::Proxy")) {
			options = append(options, string(line))
		}
	}
	return options
}
