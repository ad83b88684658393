package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// Roles is the wanted state of the database's roles.
type Roles struct {
	Superuser       string // password
	LoginA, LoginB  string // passwords
	Active          string // "a" or "b": the login role that the application uses
	ConnectionLimit int    // of a login role
}

// login is one of the two login roles.
type login struct{ role, password string }

// logins returns the active and the idle login role.
func (r Roles) logins() (active, idle login, err error) {
	a, b := login{hostspec.LoginRoleA, r.LoginA}, login{hostspec.LoginRoleB, r.LoginB}
	switch r.Active {
	case "a":
		return a, b, nil
	case "b":
		return b, a, nil
	}
	return a, b, fmt.Errorf("active login is %q, want a or b", r.Active)
}

// ConnectSuperuser connects with the password in the file, with one that it held before (a rotation
// that was killed leaves the database with either), or with the one of the first initialisation. It
// sets the file's own password then, and removes the old ones from the host.
func ConnectSuperuser(ctx context.Context, host, file, first string, out io.Writer) (*pgx.Conn, error) {
	current, err := ReadPassword(file)
	if err != nil {
		return nil, err
	}
	old, err := filepath.Glob(hostspec.OldSecret(file, "*"))
	if err != nil {
		return nil, fmt.Errorf("look for old passwords: %w", err)
	}
	others := append(slices.Clone(old), first)
	conn, err := Connect(ctx, host, hostspec.SuperuserName, current, "postgres")
	for i := 0; refused(err) && i < len(others); i++ {
		before, errRead := ReadPassword(others[i])
		if errRead != nil {
			return nil, errRead
		}
		if conn, err = Connect(ctx, host, hostspec.SuperuserName, before, "postgres"); err != nil {
			continue
		}
		if err = setPassword(ctx, conn, hostspec.SuperuserName, current); err != nil {
			_ = conn.Close(ctx)
			return nil, err
		}
		fmt.Fprintln(out, "the superuser has a new password")
	}
	if err != nil {
		return nil, err
	}
	for _, path := range old {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			_ = conn.Close(ctx)
			return nil, fmt.Errorf("remove an old password: %w", err)
		}
	}
	return conn, nil
}

// ReadPassword reads a password from its file, without the line end.
func ReadPassword(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read a password: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// ReadLogins reads the passwords of the login roles from their files.
func (r *Roles) ReadLogins(fileA, fileB string) (err error) {
	if r.LoginA, err = ReadPassword(fileA); err != nil {
		return err
	}
	r.LoginB, err = ReadPassword(fileB)
	return err
}

// refused reports whether Postgres answered that the password is wrong.
func refused(err error) bool {
	var answer *pgconn.PgError
	return errors.As(err, &answer) && answer.Code == "28P01"
}

// Connect opens a connection as the superuser, waiting for a server that is just starting until
// ctx ends. Its errors never hold the password.
func Connect(ctx context.Context, host string, user, password, database string) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(fmt.Sprintf("host=%s port=%d sslmode=disable connect_timeout=5", host,
		hostspec.PostgresPort))
	if err != nil {
		return nil, errors.New("build the connection to Postgres")
	}
	config.User, config.Password, config.Database = user, password, database
	var last error
	for {
		conn, err := pgx.ConnectConfig(ctx, config)
		if err == nil {
			return conn, nil
		}
		if refused(err) {
			return nil, fmt.Errorf("connect to Postgres at %s as %s: %w", host, user, err)
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("connect to Postgres at %s as %s: %w", host, user, last)
		case <-time.After(time.Second):
		}
	}
}

// ApplyRoles makes the database and its roles, and lets the active login role in: the owner of every
// object cannot log in, the login roles act as it (docs/adr/0009). An idle role that exists is left
// alone, because tasks of the release before may still log in as it; RetireIdle ends that.
func ApplyRoles(ctx context.Context, conn *pgx.Conn, r Roles, out io.Writer) error {
	active, idle, err := r.logins()
	if err != nil {
		return err
	}
	owner := pgx.Identifier{hostspec.OwnerRole}.Sanitize()
	for _, role := range []string{hostspec.OwnerRole, active.role, idle.role} {
		if err := ensureRole(ctx, conn, role, out); err != nil {
			return err
		}
	}
	if _, err := conn.Exec(ctx, "ALTER ROLE "+owner+" NOLOGIN"); err != nil {
		return fmt.Errorf("alter role %s: %w", hostspec.OwnerRole, err)
	}
	if err := setPassword(ctx, conn, active.role, active.password); err != nil {
		return err
	}
	name := pgx.Identifier{active.role}.Sanitize()
	for _, statement := range []string{
		fmt.Sprintf("GRANT %s TO %s", owner, name),
		fmt.Sprintf("ALTER ROLE %s SET role TO %s", name, owner),
		fmt.Sprintf("ALTER ROLE %s LOGIN CONNECTION LIMIT %d", name, r.ConnectionLimit),
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("set up role %s: %w", active.role, err)
		}
	}
	var exists bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)",
		hostspec.DatabaseName).Scan(&exists); err != nil {
		return fmt.Errorf("look for database %s: %w", hostspec.DatabaseName, err)
	}
	if !exists {
		if _, err := conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{hostspec.DatabaseName}.Sanitize()+" OWNER "+
			owner); err != nil {
			return fmt.Errorf("create database %s: %w", hostspec.DatabaseName, err)
		}
		fmt.Fprintln(out, "database", hostspec.DatabaseName)
	}
	fmt.Fprintf(out, "roles are in place, login role %s is active\n", r.Active)
	return nil
}

// RetireIdle closes the idle login role: it cannot log in, has a password that nobody used, and its
// connections end. It runs when every task uses the active role.
func RetireIdle(ctx context.Context, conn *pgx.Conn, r Roles, out io.Writer) error {
	_, idle, err := r.logins()
	if err != nil {
		return err
	}
	if err := ensureRole(ctx, conn, idle.role, out); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "ALTER ROLE "+pgx.Identifier{idle.role}.Sanitize()+" NOLOGIN"); err != nil {
		return fmt.Errorf("close role %s: %w", idle.role, err)
	}
	if err := setPassword(ctx, conn, idle.role, idle.password); err != nil {
		return err
	}
	var ended int
	if err := conn.QueryRow(ctx, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = $1",
		idle.role).Scan(&ended); err != nil {
		return fmt.Errorf("end the connections of role %s: %w", idle.role, err)
	}
	fmt.Fprintf(out, "login role %s is closed, %d connections ended\n", idle.role, ended)
	return nil
}

func ensureRole(ctx context.Context, conn *pgx.Conn, name string, out io.Writer) error {
	var exists bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)",
		name).Scan(&exists); err != nil {
		return fmt.Errorf("look for role %s: %w", name, err)
	}
	if exists {
		return nil
	}
	if _, err := conn.Exec(ctx, "CREATE ROLE "+pgx.Identifier{name}.Sanitize()+" NOLOGIN"); err != nil {
		return fmt.Errorf("create role %s: %w", name, err)
	}
	fmt.Fprintln(out, "role", name)
	return nil
}

// setPassword quotes on the server, which then never sees an unquoted value, and keeps the
// statement out of the server's log.
func setPassword(ctx context.Context, conn *pgx.Conn, role, password string) error {
	if password == "" {
		return fmt.Errorf("the password of role %s is empty", role)
	}
	var statement string
	err := conn.QueryRow(ctx, "SELECT format('ALTER ROLE %I PASSWORD %L', $1::text, $2::text)", role,
		password).Scan(&statement)
	if err == nil {
		_, err = conn.Exec(ctx, "SET log_statement = 'none'; SET log_min_error_statement = 'panic'; "+statement)
	}
	if err != nil {
		return fmt.Errorf("set the password of role %s", role) // the driver's error may quote the statement
	}
	return nil
}
