package ops

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// Roles is the wanted state of the database's roles.
type Roles struct {
	Superuser       string // password
	LoginA, LoginB  string // passwords
	Active          string // "a" or "b"
	ConnectionLimit int    // of the active login role
}

// Connect opens a connection as the superuser, waiting for a server that is just starting until
// ctx ends. Its errors never hold the password.
func Connect(ctx context.Context, host string, user, password, database string) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(fmt.Sprintf("host=%s port=%d sslmode=disable connect_timeout=5", host, hostspec.PostgresPort))
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

// ApplyRoles makes the roles and the database, and sets both passwords: the owner of every object
// cannot log in, the active login role acts as it, the idle one cannot log in (design §3.10).
func ApplyRoles(ctx context.Context, conn *pgx.Conn, r Roles, out io.Writer) error {
	if r.Active != "a" && r.Active != "b" {
		return fmt.Errorf("active login is %q, want a or b", r.Active)
	}
	owner := pgx.Identifier{hostspec.OwnerRole}.Sanitize()
	if err := ensureRole(ctx, conn, hostspec.OwnerRole, out); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "ALTER ROLE "+owner+" NOLOGIN"); err != nil {
		return fmt.Errorf("alter role %s: %w", hostspec.OwnerRole, err)
	}
	for _, login := range []struct {
		name, password string
		active         bool
	}{
		{hostspec.LoginRoleA, r.LoginA, r.Active == "a"}, {hostspec.LoginRoleB, r.LoginB, r.Active == "b"},
	} {
		if err := ensureRole(ctx, conn, login.name, out); err != nil {
			return err
		}
		name := pgx.Identifier{login.name}.Sanitize()
		can := "NOLOGIN"
		if login.active {
			can = "LOGIN"
		}
		for _, statement := range []string{
			fmt.Sprintf("ALTER ROLE %s %s CONNECTION LIMIT %d", name, can, r.ConnectionLimit),
			fmt.Sprintf("GRANT %s TO %s", owner, name),
			fmt.Sprintf("ALTER ROLE %s SET role TO %s", name, owner),
		} {
			if _, err := conn.Exec(ctx, statement); err != nil {
				return fmt.Errorf("set up role %s: %w", login.name, err)
			}
		}
		if err := setPassword(ctx, conn, login.name, login.password); err != nil {
			return err
		}
	}
	var exists bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", hostspec.DatabaseName).Scan(&exists); err != nil {
		return fmt.Errorf("look for database %s: %w", hostspec.DatabaseName, err)
	}
	if !exists {
		if _, err := conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{hostspec.DatabaseName}.Sanitize()+" OWNER "+owner); err != nil {
			return fmt.Errorf("create database %s: %w", hostspec.DatabaseName, err)
		}
		fmt.Fprintln(out, "database", hostspec.DatabaseName)
	}
	fmt.Fprintf(out, "roles are in place, login role %s is active\n", r.Active)
	return nil
}

func ensureRole(ctx context.Context, conn *pgx.Conn, name string, out io.Writer) error {
	var exists bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", name).Scan(&exists); err != nil {
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
	err := conn.QueryRow(ctx, "SELECT format('ALTER ROLE %I PASSWORD %L', $1::text, $2::text)", role, password).Scan(&statement)
	if err == nil {
		_, err = conn.Exec(ctx, "SET log_statement = 'none'; SET log_min_error_statement = 'panic'; "+statement)
	}
	if err != nil {
		return fmt.Errorf("set the password of role %s", role) // the driver's error may quote the statement
	}
	return nil
}
