package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// Revision reads where the schema is; empty for a database without one.
func Revision(ctx context.Context, conn *pgx.Conn) (string, error) {
	var known bool
	if err := conn.QueryRow(ctx, "SELECT to_regclass('alembic_version') IS NOT NULL").Scan(&known); err != nil || !known {
		return "", errors.Join(err)
	}
	var at *string
	if err := conn.QueryRow(ctx, "SELECT string_agg(version_num, ',') FROM alembic_version").Scan(&at); err != nil {
		return "", fmt.Errorf("read the schema's revision: %w", err)
	}
	if at == nil {
		return "", nil
	}
	return *at, nil
}

// ReadURL reads the application's own database URL. root is empty on the host.
func ReadURL(root string) (string, error) {
	text, err := os.ReadFile(root + hostspec.DatabaseURLSecret)
	if err != nil {
		return "", fmt.Errorf("read the database's URL: %w. Fix: run `studio up`, whose host-apply job writes the file", err)
	}
	return strings.TrimSuffix(string(text), "\n"), nil
}

// ConnectURL connects by the application's own URL.
func ConnectURL(ctx context.Context, raw string) (*pgx.Conn, error) {
	u, err := url.Parse(strings.Replace(raw, "postgresql+asyncpg://", "postgresql://", 1))
	if err != nil || u.Host == "" {
		return nil, errors.New("the database's address is not a URL") // never quote it
	}
	port, err := strconv.ParseUint(cmp.Or(u.Port(), strconv.Itoa(hostspec.PostgresPort)), 10, 16)
	if err != nil {
		return nil, errors.New("the database's URL has no usable port")
	}
	// The port belongs into the text: the attempt without TLS copies it from there.
	config, err := pgx.ParseConfig(fmt.Sprintf("host=%s port=%d sslmode=prefer connect_timeout=5", u.Hostname(), port))
	if err != nil {
		return nil, errors.New("the database's URL names no usable host")
	}
	config.User = u.User.Username()
	config.Password, _ = u.User.Password()
	config.Database = strings.TrimPrefix(u.Path, "/")
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect to the database at %s as %s: %w", u.Hostname(), config.User, err)
	}
	return conn, nil
}

// DotEnvWithURL returns the application's settings, a text that render.DotEnv wrote, with another database URL. A
// restore migrates the standby database with them.
func DotEnvWithURL(text, url string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "DATABASE_URL=") {
			line = "DATABASE_URL='" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(url) + "'\n"
		}
		out.WriteString(line)
	}
	return out.String()
}

// NameOf reads it from a URL, and withDatabaseName puts another one there: as text, because a URL that
// is parsed and printed again writes some characters of a password in another way.
func NameOf(raw string) (string, error) {
	if u, err := url.Parse(raw); err == nil && len(u.Path) > 1 {
		return strings.TrimPrefix(u.Path, "/"), nil
	}
	return "", errors.New("the database's URL names no database") // never quote it
}

// WithName replaces the database name of a URL.
func WithName(raw, name string) string {
	scheme, rest, _ := strings.Cut(raw, "://")
	authority, path, _ := strings.Cut(rest, "/")
	_, query, found := strings.Cut(path, "?")
	if found {
		query = "?" + query
	}
	return scheme + "://" + authority + "/" + name + query
}
