package postgres

import (
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
			text := render.DotEnv(map[string]string{
				"A": "before", "DATABASE_URL": value, "DATABASE_URL_OLD": "other",
				"Z": "after",
			})
			if got := URLFromDotEnv(text); got != value {
				t.Errorf("got %q, want %q", got, value)
			}
		})
	}
}

func TestDatabaseURLOfAMissingName(t *testing.T) {
	if got := URLFromDotEnv("XDATABASE_URL='a'\nDATABASE_URLX='b'\n"); got != "" {
		t.Errorf("got %q for a name that is not there", got)
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
	text := "A='x'\nDATABASE_URL='postgresql://u:a\\'b@h/live'\nSECRET_KEY='DATABASE_URL=no'\n"
	url := URLFromDotEnv(text)
	if url != "postgresql://u:a'b@h/live" {
		t.Fatalf("the fixture holds %s", url)
	}
	changed := DotEnvWithURL(text, url+"_aside")
	if URLFromDotEnv(changed) != url+"_aside" {
		t.Errorf("got %s", changed)
	}
	if DotEnvWithURL(changed, url) != text {
		t.Errorf("other settings have changed:\n%s", changed)
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
