package postgres

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/render"
)

func TestReadURLReadsTheFileThatHostApplyWrites(t *testing.T) {
	root := t.TempDir()
	if _, err := ReadURL(root); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "Fix: run `studio up`") {
		t.Errorf("without the file: %v", err)
	}
	if err := os.MkdirAll(root+hostspec.SecretsDir, 0o700); err != nil {
		t.Fatal(err)
	}
	const url = `postgresql+asyncpg://u:it's\n%41 @h/adrianaart`
	for _, text := range []string{url, url + "\n"} {
		if err := os.WriteFile(root+hostspec.DatabaseURLSecret, []byte(text), 0o400); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadURL(root); err != nil || got != url {
			t.Errorf("of %q: got %q (%v)", text, got, err)
		}
		if err := os.Remove(root + hostspec.DatabaseURLSecret); err != nil {
			t.Fatal(err)
		}
	}
}

func TestConnectURLNeverShowsThePassword(t *testing.T) {
	const canary = "canary-77"
	for _, c := range []struct{ name, url, want string }{
		{"a server that is not there", "postgresql+asyncpg://u:" + canary + "@127.0.0.1:1/db", "connect to the database at " +
			"127.0.0.1 as u"},
		{"a broken escape", "postgresql+asyncpg://u:" + canary + "%zz@127.0.0.1/db", "not a URL"},
		{"no host", "postgresql+asyncpg:///" + canary, "not a URL"},
		{"a port beyond the last", "postgresql+asyncpg://u:" + canary + "@127.0.0.1:65536/db", "no usable port"},
		{"a port that is no number", "postgresql+asyncpg://u:" + canary + "@127.0.0.1:x/db", "not a URL"},
		{"nothing at all", "", "not a URL"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			conn, err := ConnectURL(ctx, c.url)
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
	_, err = ConnectURL(ctx, "postgresql+asyncpg://shop:secret@"+l.Addr().String()+"/adrianaart")
	if err == nil || !strings.Contains(err.Error(), "this is a test") {
		t.Fatalf("got %v, want this server's answer", err)
	}
	if p := <-seen; p["user"] != "shop" || p["database"] != "adrianaart" {
		t.Errorf("the server was told %v, want user and database of the URL", p)
	}
}

func TestOnlyTheDatabaseOfTheSettingsChanges(t *testing.T) {
	settings := map[string]string{
		"A": "x", "DATABASE_URL": "postgresql://u:a'b@h/live", "DATABASE_URL_OLD": "other", "Z": "y",
	}
	text := render.DotEnv(settings)
	for name, url := range map[string]string{
		"a URL":                             "postgresql+asyncpg://momentstudio_a:0f@postgres:5432/adrianaart_aside",
		"a single quote":                    "it's",
		"a single quote at the end":         "it'",
		"quotes around it":                  "'x'",
		"a backslash":                       `a\b`,
		"a backslash at the end":            `a\`,
		"a backslash before a quote":        `a\'b`,
		"signs that shells and YAML expand": `$HOME "x" # y = {z} %41`,
	} {
		changed := maps.Clone(settings)
		changed["DATABASE_URL"] = url
		if got, want := DotEnvWithURL(text, url), render.DotEnv(changed); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
		}
	}
}

func TestOnlyTheNameInAURLChanges(t *testing.T) {
	for raw, want := range map[string]string{
		"postgresql+asyncpg://u:p!*'()@h:5432/live":         "postgresql+asyncpg://u:p!*'()@h:5432/other",
		"postgresql+asyncpg://u:p@h/live?ssl=require&x=a/b": "postgresql+asyncpg://u:p@h/other?ssl=require&x=a/b",
	} {
		if got := WithName(raw, "other"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if name, err := NameOf(raw); err != nil || name != "live" {
			t.Errorf("%s: %q, %v", raw, name, err)
		}
	}
	for _, raw := range []string{"", "postgresql://h", "postgresql://h/", "://"} {
		if name, err := NameOf(raw); err == nil {
			t.Errorf("%q names %q", raw, name)
		}
	}
}
