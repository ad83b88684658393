package backup

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/mail"
	"net/smtp"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// notifyTime is how long one way of telling may take.
const notifyTime = 30 * time.Second

// Failure is what is told.
type Failure struct {
	Stack, Unit string
	Detail      string
	Time        time.Time
	Backup      bool // the newest backup failed, not only what comes after a good one
}

// Notify tells everybody who is to know that a unit of the host failed. One way that fails does not keep
// the others.
func Notify(ctx context.Context, n hostspec.Notify, f Failure) error {
	subject := fmt.Sprintf("momentstudio %s: %s failed", f.Stack, f.Unit)
	text := subject + "\n\n" + strings.TrimSpace(f.Detail) + "\n\njournalctl -u " + f.Unit + " on the host shows more.\n"
	var bad []error
	if n.Webhook != "" {
		if err := postJSON(ctx, n.Webhook, map[string]string{
			"text": text, "stack": f.Stack, "unit": f.Unit,
			"time": f.Time.UTC().Format(time.RFC3339),
		}); err != nil {
			bad = append(bad, fmt.Errorf("the webhook: %w", err))
		}
	}
	if n.Mail.To != "" {
		if err := sendMail(ctx, n.Mail, subject, text, f.Time); err != nil {
			bad = append(bad, fmt.Errorf("the mail to %s: %w", n.Mail.To, err))
		}
	}
	if n.CheckIn != "" && f.Unit == hostspec.BackupUnit && f.Backup {
		bad = append(bad, CheckIn(ctx, n, false))
	}
	return errors.Join(bad...)
}

// CheckIn tells Sentry's cron monitor how a backup ended.
func CheckIn(ctx context.Context, n hostspec.Notify, good bool) error {
	if n.CheckIn == "" {
		return nil
	}
	u, err := url.Parse(n.CheckIn)
	if err != nil {
		return errors.New("the check-in's address is not a URL") // never quote it: it holds a key
	}
	query := u.Query()
	query.Set("status", map[bool]string{true: "ok", false: "error"}[good])
	u.RawQuery = query.Encode()
	if err := request(ctx, http.MethodGet, u.String(), nil); err != nil {
		return fmt.Errorf("the check-in: %w", err)
	}
	return nil
}

func postJSON(ctx context.Context, to string, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return request(ctx, http.MethodPost, to, text)
}

// request never quotes the address in its error: who knows it may post there.
func request(ctx context.Context, method, to string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, notifyTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, to, bytes.NewReader(body))
	if err != nil {
		return errors.New("its address is not a URL")
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err
		}
		return fmt.Errorf("%s does not answer: %w", r.URL.Host, err)
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<20))
	if answer.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("%s answers %s", r.URL.Host, answer.Status)
	}
	return nil
}

// sendMail goes the way of the shop's own mail: STARTTLS when that is on, never TLS from the start.
func sendMail(ctx context.Context, m hostspec.Mail, subject, text string, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, notifyTime)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(m.Host, strconv.Itoa(m.Port)))
	if err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	c, err := smtp.NewClient(conn, m.Host)
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	defer c.Close() //nolint:errcheck // Quit has ended a good conversation
	if m.TLS {
		if err := c.StartTLS(&tls.Config{ServerName: m.Host, MinVersion: tls.VersionTLS12}); err != nil {
			return fmt.Errorf("STARTTLS: %w", err)
		}
	}
	if m.Username != "" {
		if err := c.Auth(smtp.PlainAuth("", m.Username, m.Password, m.Host)); err != nil {
			return fmt.Errorf("log in as %s: %w", m.Username, err)
		}
	}
	from, err := mail.ParseAddress(m.From) // it may have a name, which belongs into the letter only
	if err != nil {
		return fmt.Errorf("its sender: %w", err)
	}
	if err := errors.Join(c.Mail(from.Address), c.Rcpt(m.To)); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	// Without a Message-ID (RFC 5322, 3.6.4) many servers take a letter for spam.
	_, domain, _ := strings.Cut(from.Address, "@")
	fmt.Fprintf(w, "From: %s\r\nTo: %s\r\nDate: %s\r\nMessage-ID: <%s@%s>\r\nSubject: %s\r\n"+
		"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n%s",
		m.From, m.To, now.Format(time.RFC1123Z), rand.Text(), domain, mime.QEncoding.Encode("utf-8", subject),
		strings.ReplaceAll(text, "\n", "\r\n"))
	return errors.Join(w.Close(), c.Quit())
}
