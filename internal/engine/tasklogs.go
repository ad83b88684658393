package engine

import (
	"bytes"
	"io"
	"regexp"
	"strings"
)

// The Docker provider ends the error of a service that does not come up at its creation with the log of its tasks
// (terraform-provider-docker, DidNotConvergeError). What the application prints stays on the host.
const (
	taskLogs = "Last task logs:"
	onHost   = taskLogs + " on the host, `docker service logs NAME` shows them"
)

// withoutTaskLogs cuts them off a message of the provider.
func withoutTaskLogs(message string) string {
	if before, _, found := strings.Cut(message, taskLogs+"\n"); found {
		return before + onHost
	}
	return message
}

// ownLine begins what the CLI itself prints after a message.
var ownLine = regexp.MustCompile(`^(Diagnostics|Resources|Outputs|Duration|Policies|Updating|error)\b|^@ |` +
	`^ {0,3}(\+|~|-|\+\+|--|\+-|-\+)? +[a-zA-Z0-9-]+:[A-Za-z/]+:[A-Za-z]+ `)

// taskLogFilter passes on what the CLI prints, line by line, without the logs of tasks.
type taskLogFilter struct {
	to      io.Writer
	rest    []byte
	dropped bool // inside of such a log
}

func (f *taskLogFilter) Write(p []byte) (int, error) {
	f.rest = append(f.rest, p...)
	for {
		end := bytes.IndexByte(f.rest, '\n')
		if end < 0 {
			return len(p), nil
		}
		if err := f.line(string(f.rest[:end+1])); err != nil {
			return len(p), err
		}
		f.rest = f.rest[end+1:]
	}
}

func (f *taskLogFilter) line(text string) error {
	if f.dropped && ownLine.MatchString(text) {
		f.dropped = false
	}
	if f.dropped {
		return nil
	}
	if strings.TrimSpace(text) == taskLogs {
		f.dropped = true
		text = strings.Replace(text, taskLogs, onHost, 1)
	}
	_, err := io.WriteString(f.to, text)
	return err
}

// flush passes on a last line without an end.
func (f *taskLogFilter) flush() {
	if len(f.rest) > 0 && !f.dropped {
		_, _ = f.to.Write(f.rest)
	}
	f.rest = nil
}
