package hostspec

import (
	"time"
)

// The parts of a backup.
const (
	UploadsPart = "uploads"
	PrivatePart = "private_uploads"
	DumpPart    = "db.dump"
)

// MediaParts are the directories that a backup covers.
var MediaParts = []string{UploadsPart, PrivatePart}

// Manifest says what a backup holds; it is part of it.
type Manifest struct {
	Format   int                 `json:"format"` // 1
	ID       string              `json:"id"`     // in the form of BackupIDLayout, e.g. "20261125T030000Z"
	Stack    string              `json:"stack"`
	Release  string              `json:"release"`
	Images   map[string]string   `json:"images"`
	Started  time.Time           `json:"started"`
	Staged   time.Time           `json:"staged"`   // when database and files were complete; what came later is not in it
	Revision string              `json:"revision"` // of the schema
	Database DatabaseDump        `json:"database"`
	Files    map[string]FileTree `json:"files"` // by directory: uploads, private_uploads
}

// DatabaseDump is the dump.
type DatabaseDump struct {
	Name   string           `json:"name"` // file in the backup, pg_dump's custom format
	Bytes  int64            `json:"bytes"`
	SHA256 string           `json:"sha256"`
	Rows   map[string]int64 `json:"rows"` // by table, of the very snapshot that the dump shows
}

// FileTree is a directory with its content.
type FileTree struct {
	Files  int    `json:"files"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // of the list of files in lexical order, a line each: sha256, two blanks, path
}

// FileCount is the number of files in all directories.
func (m Manifest) FileCount() (n int) {
	for _, t := range m.Files {
		n += t.Files
	}
	return n
}

// FileBytes is the size of all files in bytes.
func (m Manifest) FileBytes() (n int64) {
	for _, t := range m.Files {
		n += t.Bytes
	}
	return n
}
