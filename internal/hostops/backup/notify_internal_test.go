package backup

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/hostops/fsutil"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// mailServer takes one mail as a server without TLS does, and returns it.
func mailServer(t *testing.T) (port int, received <-chan string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	mails := make(chan string, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_ = fsutil.WriteAll(conn, "220 here\r\n")
		var text strings.Builder
		data := false
		for lines := bufio.NewScanner(conn); lines.Scan(); {
			line := lines.Text()
			switch {
			case data && line == ".":
				data = false
				mails <- text.String()
				_ = fsutil.WriteAll(conn, "250 taken\r\n")
			case data:
				text.WriteString(line + "\r\n")
			case line == "DATA":
				data = true
				_ = fsutil.WriteAll(conn, "354 go on\r\n")
			case line == "QUIT":
				_ = fsutil.WriteAll(conn, "221 bye\r\n")
				return
			default:
				_ = fsutil.WriteAll(conn, "250 fine\r\n")
			}
		}
	}()
	return listener.Addr().(*net.TCPAddr).Port, mails
}

func TestEverybodyIsToldOfAFailure(t *testing.T) {
	heard := make(chan string, 4)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		heard <- r.Method + " " + r.URL.RequestURI() + " " + string(body)
	}))
	defer server.Close()
	port, mails := mailServer(t)
	n := hostspec.Notify{
		Webhook: server.URL + "/hook", CheckIn: server.URL + "/cron/shop/key/?environment=prod",
		Mail: hostspec.Mail{To: "ops@example.com", From: "The Shop <shop@example.com>", Host: "127.0.0.1", Port: port},
	}
	if err := Notify(t.Context(), n, Failure{
		Stack: "prod", Unit: hostspec.BackupUnit, Detail: "the run failed: disk full",
		Time: noon, Backup: true,
	}); err != nil {
		t.Fatal(err)
	}
	text, found := strings.CutPrefix(<-heard, "POST /hook ")
	var hook map[string]string
	if err := json.Unmarshal([]byte(text), &hook); !found || err != nil || hook["stack"] != "prod" ||
		hook["unit"] != hostspec.BackupUnit || !strings.Contains(hook["text"], "disk full") {
		t.Errorf("the webhook got %q (%v)", text, err)
	}
	if got := <-heard; got != "GET /cron/shop/key/?environment=prod&status=error " {
		t.Errorf("the monitor got %q", got)
	}
	m, err := mail.ReadMessage(strings.NewReader(<-mails))
	if err != nil {
		t.Fatal(err)
	}
	if id := m.Header.Get("Message-ID"); !regexp.MustCompile(`^<[A-Z2-7]{26}@[a-z.]+>$`).MatchString(id) {
		t.Errorf("the mail's Message-ID is %q", id)
	}
	if got := m.Header.Get("Subject"); got != "momentstudio prod: momentstudio-backup.service failed" ||
		m.Header.Get("To") != "ops@example.com" {
		t.Errorf("the mail is %v", m.Header)
	}

	// Another unit's failure is none of the backup's monitor.
	for _, f := range []Failure{{Unit: "momentstudio-backup-age.service", Backup: true}, {Unit: hostspec.BackupUnit}} {
		if err := Notify(t.Context(), hostspec.Notify{CheckIn: n.CheckIn}, f); err != nil || len(heard) != 0 {
			t.Errorf("the monitor was told of %+v: %v", f, err)
		}
	}
	if err := CheckIn(t.Context(), n, true); err != nil || <-heard != "GET /cron/shop/key/?environment=prod&status=ok " {
		t.Errorf("a good backup: %v", err)
	}
}

func TestWhoCannotBeToldIsNamedWithoutTheAddress(t *testing.T) {
	refusing := httptest.NewServer(http.NotFoundHandler())
	defer refusing.Close()
	told := make(chan string, 1)
	taking := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { told <- r.URL.Path }))
	defer taking.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for _, hook := range []string{refusing.URL + "/canary", gone.URL + "/canary", "https://canary\x7f"} {
		err := Notify(t.Context(), hostspec.Notify{Webhook: hook, CheckIn: taking.URL + "/in"},
			Failure{Unit: hostspec.BackupUnit, Backup: true})
		if err == nil || strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), "the webhook: ") {
			t.Errorf("%q: %v", hook, err)
		}
		if <-told != "/in" {
			t.Error("the other way was not taken")
		}
	}
	if err := Notify(t.Context(), hostspec.Notify{}, Failure{Unit: hostspec.BackupUnit}); err != nil {
		t.Errorf("with nobody to tell: %v", err)
	}
}

func TestTheAgeOfABackup(t *testing.T) {
	spec := hostspec.Backup{MaxAgeHours: 30}
	verified := func(at time.Time) *hostspec.BackupRun { return &hostspec.BackupRun{Started: at} }
	for _, c := range []struct {
		name    string
		state   hostspec.BackupState
		volume  time.Time
		overdue bool
		tells   string
	}{
		{"a new volume", hostspec.BackupState{}, noon.Add(-time.Hour), false, "no verified backup yet"},
		{"never one", hostspec.BackupState{}, noon.Add(-31 * time.Hour), true, "no verified backup yet"},
		{
			"last night's",
			hostspec.BackupState{Verified: verified(noon.Add(-11 * time.Hour))},
			noon.Add(-1000 * time.Hour),
			false, "11h0m0s old",
		},
		{"the night's before", hostspec.BackupState{
			Verified: verified(noon.Add(-35 * time.Hour)),
			Last:     hostspec.BackupRun{Error: "disk full"},
		}, noon, true, "disk full"},
		{"one of tomorrow", hostspec.BackupState{Verified: verified(noon.Add(24 * time.Hour))}, noon, true, "-24h0m0s"},
	} {
		text, err := Age(spec, c.state, c.volume, noon)
		if (err != nil) != c.overdue || !strings.Contains(text, c.tells) {
			t.Errorf("%s: %q, %v", c.name, text, err)
		}
	}
}
