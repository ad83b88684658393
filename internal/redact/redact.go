// Package redact reduces what other programs print to what may leave the host. The application, its database and its
// settings' checks quote values: settings, rows, addresses of customers. So a line passes only as one of the known
// forms below, and of it only the parts that are names; everything else is counted and withheld.
package redact

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Tail returns the last lines, at most, of what may be shown of a program's output, and how many lines are withheld.
func Tail(text string, most int) string {
	shown, withheld := Lines(text)
	shown = shown[max(0, len(shown)-most):]
	if withheld > 0 {
		shown = append(shown, fmt.Sprintf("(%d lines are withheld)", withheld))
	}
	return strings.Join(shown, "\n")
}

// Lines returns what may be shown, and the number of lines of which nothing may.
func Lines(text string) (shown []string, withheld int) {
	all := strings.Split(escapes.ReplaceAllString(text, ""), "\n")
	for i, line := range all {
		line = strings.TrimRight(line, "\r \t")
		if line == "" {
			continue
		}
		next := ""
		if i+1 < len(all) {
			next = all[i+1]
		}
		if safe := reduce(line, next); safe != "" {
			shown = append(shown, safe)
		} else {
			withheld++
		}
	}
	return shown, withheld
}

// Revision returns a schema's revision, or says that the text is none: whatever a program prints stands there
// otherwise.
func Revision(text string) string {
	if text == "" || revision.MatchString(text) {
		return text
	}
	return "(not a revision)"
}

// Forms of lines. Names are those of programs and schemas: letters, digits, dots and underscores.
var (
	escapes   = regexp.MustCompile(`\x1b\[[0-9;]*[A-Za-z]|[\x00-\x08\x0b\x0c\x0e-\x1f]`)
	revision  = regexp.MustCompile(`^[0-9A-Za-z_]{1,64}$`)
	frame     = regexp.MustCompile(`^\s*File "[\w./<>-]{1,200}", line \d+, in [\w<>]{1,80}$`)
	traceback = regexp.MustCompile(`^(Traceback \(most recent call last\):|During handling of the above exception, .*:|` +
		`The above exception was the direct cause of the following exception:)$`)
	exception = regexp.MustCompile(`^\s*((?:[a-z_][a-z0-9_]*\.)*[A-Z]\w{0,60}` +
		`(?:Error|Exception|Violation|Exit|Interrupt|Timeout|Warning))(?::|$)`)
	inner = regexp.MustCompile(`[(']((?:[a-z_][a-z0-9_]*\.)+[A-Z]\w{0,60}(?:Error|Exception))[)']`)
	// pydantic 2: "  Input should be … [type=int_parsing, input_value='…', input_type=str]", under the field's name
	field    = regexp.MustCompile(`^[a-z_][a-z0-9_.]{0,80}$`)
	problem  = regexp.MustCompile(`^  \D.*? \[type=([a-z_]{1,40})[,\]]`)
	postgres = regexp.MustCompile(`\b(ERROR|FATAL|PANIC):\s`)
	client   = regexp.MustCompile(`^(pg_dump|pg_restore|psql|initdb|pg_ctl): (error|warning|fatal):`)
	level    = regexp.MustCompile(`^(CRITICAL|ERROR|WARNING|WARN|INFO|DEBUG)\b:?\s+(\[[a-z_][a-z0-9_.]{0,80}\])?`)
	nginx    = regexp.MustCompile(`\[emerg\] .{1,200}$`) // about its configuration, before it serves anybody
	name     = regexp.MustCompile(`^[A-Za-z_][\w.]{0,80}$`)
)

// sayings are parts of messages that hold no value, whoever says them. The last of several counts as well.
var sayings = regexp.MustCompile(strings.Join([]string{
	`Running (?:upgrade|downgrade) [0-9A-Za-z_]{0,64} -> [0-9A-Za-z_]{0,64}`,
	`Can't locate revision identified by '[0-9A-Za-z_]{1,64}'`,
	`\d+ validation errors? for [A-Z]\w{0,60}`,
	`SQLSTATE [0-9A-Z]{5}`,
	`violates (?:unique|foreign key|check|not-null|exclusion) constraint "\w{1,63}"`,
	`(?:relation|column|table|type|role|database|function|constraint) "\w{1,63}" (?:does not exist|already exists)`,
	`null value in column "\w{1,63}"`, `deadlock detected`, `canceling statement due to [a-z ]{1,40}`,
	`No space left on device`, `Connection refused`, `Permission denied`, `Cannot allocate memory`, `out of memory`,
	`server closed the connection unexpectedly`, `could not translate host name`, `password authentication failed`,
	`terminating connection due to [a-z ]{1,40}`, `File too large`, `Application startup failed`, `Killed`,
	`No module named '[a-z_][a-z0-9_.]{0,80}'`, `database system is (?:shut down|ready to accept connections)`,
}, "|"))

// reduce returns what may be shown of a line; empty: nothing.
func reduce(line, next string) string {
	said := strings.Join(sayings.FindAllString(line, 5), "; ")
	switch {
	case frame.MatchString(line), traceback.MatchString(line):
		return line
	case strings.HasPrefix(line, "{"):
		return structured(line, said)
	case field.MatchString(line) && problem.MatchString(next):
		return line
	case problem.MatchString(line):
		return "  [type=" + problem.FindStringSubmatch(line)[1] + "]"
	}
	if m := exception.FindStringSubmatch(line); m != nil {
		parts := []string{strings.TrimSpace(m[1])}
		for _, i := range inner.FindAllStringSubmatch(line, 3) {
			parts = append(parts, "("+i[1]+")")
		}
		return join(strings.Join(parts, " "), said)
	}
	for _, form := range []*regexp.Regexp{postgres, client, level} {
		if m := form.FindString(line); m != "" {
			return join(strings.TrimRight(m, ": \t"), said)
		}
	}
	if m := nginx.FindString(line); m != "" {
		return m
	}
	return said
}

func join(what, said string) string {
	if said == "" {
		return what
	}
	return what + ": " + said
}

// structured reduces a log record in JSON.
func structured(line, said string) string {
	var record map[string]any
	if json.Unmarshal([]byte(line), &record) != nil {
		return said
	}
	var parts []string
	for _, key := range []string{"level", "levelname", "severity", "logger", "name", "module", "status", "status_code"} {
		switch v := record[key].(type) {
		case string:
			if name.MatchString(v) {
				parts = append(parts, key+"="+v)
			}
		case float64:
			parts = append(parts, key+"="+strconv.FormatFloat(v, 'f', -1, 64))
		}
	}
	for _, key := range []string{"exc_info", "exception", "error", "exc_type"} {
		text, _ := record[key].(string)
		for l := range strings.Lines(text) {
			if m := exception.FindStringSubmatch(l); m != nil {
				parts = append(parts, m[1])
			}
		}
	}
	return join(strings.Join(parts, " "), said)
}
