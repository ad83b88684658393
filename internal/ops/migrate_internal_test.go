package ops

import (
	"bytes"
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/prekzursil/momentstudio-infra/internal/render"
)

func TestDatabaseURLReadsWhatWasRendered(t *testing.T) {
	for name, value := range map[string]string{
		"a URL":                             "postgresql+asyncpg://momentstudio_a:0f@postgres:5432/adrianaart",
		"a single quote":                    "it's",
		"a single quote at the end":         "it'",
		"quotes around it":                  "'x'",
		"a backslash":                       `a\b`,
		"a backslash at the end":            `a\`,
		"a backslash before a quote":        `a\'b`,
		"signs that shells and YAML expand": `$HOME "x" # y = {z} %41`,
		"blanks at both ends":               "  x  ",
	} {
		t.Run(name, func(t *testing.T) {
			text := render.DotEnv(map[string]string{"A": "before", "DATABASE_URL": value, "DATABASE_URL_OLD": "other", "Z": "after"})
			if got := databaseURL(text); got != value {
				t.Errorf("got %q, want %q", got, value)
			}
		})
	}
}

func TestDatabaseURLOfAMissingName(t *testing.T) {
	if got := databaseURL("XDATABASE_URL='a'\nDATABASE_URLX='b'\n"); got != "" {
		t.Errorf("got %q for a name that is not there", got)
	}
}

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
			w := &lineWriter{out: &out}
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

func TestConnectURLNeverShowsThePassword(t *testing.T) {
	const canary = "canary-77"
	for _, c := range []struct{ name, url, want string }{
		{"a server that is not there", "postgresql+asyncpg://u:" + canary + "@127.0.0.1:1/db", "connect to the database at 127.0.0.1 as u"},
		{"a broken escape", "postgresql+asyncpg://u:" + canary + "%zz@127.0.0.1/db", "not a URL"},
		{"no host", "postgresql+asyncpg:///" + canary, "not a URL"},
		{"a port beyond the last", "postgresql+asyncpg://u:" + canary + "@127.0.0.1:65536/db", "no usable port"},
		{"a port that is no number", "postgresql+asyncpg://u:" + canary + "@127.0.0.1:x/db", "not a URL"},
		{"nothing at all", "", "not a URL"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			conn, err := connectURL(ctx, c.url)
			if err == nil {
				conn.Close(ctx)
				t.Fatal("it connected")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
			if strings.Contains(err.Error(), canary) {
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
}

// The client prefers TLS; the second attempt, without it, must go to the same server.
func TestConnectURLKeepsThePortWithoutTLS(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	seen := make(chan map[string]string, 1)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			backend := pgproto3.NewBackend(conn, conn)
			message, err := backend.ReceiveStartupMessage()
			if _, wantsTLS := message.(*pgproto3.SSLRequest); wantsTLS {
				_, _ = conn.Write([]byte("N"))
				message, err = backend.ReceiveStartupMessage()
			}
			if startup, ok := message.(*pgproto3.StartupMessage); ok && err == nil {
				seen <- startup.Parameters
				backend.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "28P01", Message: "this is a test"})
				_ = backend.Flush()
			}
			conn.Close()
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err = connectURL(ctx, "postgresql+asyncpg://shop:secret@"+l.Addr().String()+"/adrianaart")
	if err == nil || !strings.Contains(err.Error(), "this is a test") {
		t.Fatalf("got %v, want this server's answer", err)
	}
	if p := <-seen; p["user"] != "shop" || p["database"] != "adrianaart" {
		t.Errorf("the server was told %v, want user and database of the URL", p)
	}
}
