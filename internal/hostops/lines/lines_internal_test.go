package lines

import (
	"bytes"
	"strings"
	"testing"
)

func TestLineWriter(t *testing.T) {
	long := strings.Repeat("x", 9<<10)
	for _, c := range []struct {
		name   string
		writes []string
		want   string
	}{
		{"whole lines pass", []string{"a\nb\n"}, "a\nb\n"},
		{"a line in pieces is put together", []string{"a", "b", "c\nd\n"}, "abc\nd\n"},
		{"the last line needs no line break", []string{"a\nlast"}, "a\nlast\n"},
		{"empty lines stay", []string{"\n\na\n"}, "\n\na\n"},
		{"Windows' line ends become ours", []string{"a\r\n"}, "a\n"},
		{"a long line is cut at 8 KiB", []string{long + "\nb\n"}, long[:8<<10] + "\nb\n"},
		{"so is a long last one", []string{long}, long[:8<<10] + "\n"},
		{"nothing gives nothing", nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			w := &Writer{Out: &out}
			for _, text := range c.writes {
				if n, err := w.Write([]byte(text)); err != nil || n != len(text) {
					t.Fatalf("Write took %d of %d bytes: %v", n, len(text), err)
				}
			}
			w.Flush()
			if out.String() != c.want {
				t.Errorf("got %d bytes %.60q, want %d bytes %.60q", out.Len(), out.String(), len(c.want), c.want)
			}
		})
	}
}
