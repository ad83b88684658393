package ops

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
)

// Manifest says what a backup holds; it is part of it.
type Manifest struct {
	Format   int               `json:"format"` // 1
	ID       string            `json:"id"`     // UTC time of its beginning, e.g. "20261125T030000Z"
	Stack    string            `json:"stack"`
	Release  string            `json:"release"`
	Images   map[string]string `json:"images"`
	Started  time.Time         `json:"started"`
	Staged   time.Time         `json:"staged"`   // when database and files were complete; what came later is not in it
	Revision string            `json:"revision"` // of the schema
	Database DatabasePart      `json:"database"`
	Files    map[string]Tree   `json:"files"` // by directory: uploads, private_uploads
}

// DatabasePart is the dump.
type DatabasePart struct {
	Name   string           `json:"name"` // file in the backup, pg_dump's custom format
	Bytes  int64            `json:"bytes"`
	SHA256 string           `json:"sha256"`
	Rows   map[string]int64 `json:"rows"` // by table, of the very snapshot that the dump shows
}

// Tree is a directory with its content.
type Tree struct {
	Files  int    `json:"files"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // of the list of files in lexical order, a line each: sha256, two blanks, path
}

// linkTree makes a copy of a directory out of hard links, without what vanishes meanwhile. Called twice, the second call adds
// what is new. What the application writes into a file later, it writes into the link as well: staged.measure sees to that.
func linkTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, name)
		switch {
		case d.IsDir():
			info, err := d.Info()
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			return copyDirectory(target, info)
		case d.Type().IsRegular():
			if err := os.Link(path, target); err != nil && !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrNotExist) { //nolint:gosec // whatever is swapped in, a link never leaves the data volume
				return err
			}
			return nil
		default:
			return nil // neither sockets nor links are the application's
		}
	})
}

// measureTree reads every file of a directory.
func measureTree(root string) (Tree, error) {
	return tally(root, func(path string, _ fs.DirEntry) (string, int64, error) { return hashFile(path) })
}

// tally sums up a directory's files, as read tells of each.
func tally(root string, read func(path string, d fs.DirEntry) (sum string, size int64, err error)) (Tree, error) {
	var t Tree
	list := sha256.New()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		sum, size, err := read(path, d)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		t.Files++
		t.Bytes += size
		fmt.Fprintf(list, "%s  %s\n", sum, name)
		return nil
	})
	t.SHA256 = hex.EncodeToString(list.Sum(nil))
	return t, err
}

func hashFile(path string) (sum string, size int64, err error) {
	file, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer file.Close()
	h := sha256.New()
	size, err = io.Copy(h, file)
	return hex.EncodeToString(h.Sum(nil)), size, err
}

// countRows counts the rows of every table in the connection's transaction.
func countRows(ctx context.Context, tx pgx.Tx) (map[string]int64, error) {
	rows, err := tx.Query(ctx, "SELECT quote_ident(schemaname)||'.'||quote_ident(tablename) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog','information_schema') AND schemaname NOT LIKE 'pg_temp%' ORDER BY 1")
	if err != nil {
		return nil, err
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	counts := map[string]int64{}
	for _, table := range tables {
		var n int64
		if err := tx.QueryRow(ctx, "SELECT count(*) FROM "+table).Scan(&n); err != nil { // quoted by the server
			return nil, fmt.Errorf("count the rows of %s: %w", table, err)
		}
		counts[table] = n
	}
	return counts, nil
}

func (m Manifest) files() (n int) {
	for _, t := range m.Files {
		n += t.Files
	}
	return n
}

func (m Manifest) bytes() (n int64) {
	for _, t := range m.Files {
		n += t.Bytes
	}
	return n
}
