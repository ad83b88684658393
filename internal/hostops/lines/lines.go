// Package lines cuts the output of other programs by lines.
package lines

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// Writer passes whole lines on, each cut at 8 KiB: a longer one would end the Docker provider
// of older releases, which reads a job's log by lines of at most 64 KiB.
type Writer struct {
	Out io.Writer
	buf []byte
}

func (w *Writer) Write(p []byte) (int, error) {
	w.buf = append(w.buf, p...)
	for {
		advance, line, _ := bufio.ScanLines(w.buf, false)
		if advance == 0 {
			return len(p), nil
		}
		fmt.Fprintf(w.Out, "%s\n", line[:min(len(line), 8<<10)])
		w.buf = w.buf[advance:]
	}
}

// Flush passes on what came after the last line break.
func (w *Writer) Flush() {
	if len(w.buf) > 0 {
		fmt.Fprintf(w.Out, "%s\n", w.buf[:min(len(w.buf), 8<<10)])
		w.buf = nil
	}
}

// Last returns the last n lines of a text.
func Last(text string, n int) string {
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
