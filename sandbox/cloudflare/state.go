package cloudflare

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// state is what survives a restart.
type state struct {
	Records  []*record  `json:"records"`
	Widgets  []*widget  `json:"widgets"`
	Rulesets []*ruleset `json:"rulesets"`
}

type record struct {
	ID         string         `json:"id"`
	ZoneID     string         `json:"zone_id"`
	ZoneName   string         `json:"zone_name"`
	Name       string         `json:"name"`
	Type       string         `json:"type"`
	Content    string         `json:"content"`
	Proxiable  bool           `json:"proxiable"`
	Proxied    bool           `json:"proxied"`
	TTL        int            `json:"ttl"`
	Priority   *int           `json:"priority,omitempty"`
	Data       map[string]any `json:"data,omitempty"`
	Settings   map[string]any `json:"settings"`
	Meta       map[string]any `json:"meta"`
	Comment    *string        `json:"comment"`
	Tags       []string       `json:"tags"`
	CreatedOn  time.Time      `json:"created_on"`
	ModifiedOn time.Time      `json:"modified_on"`
}

type widget struct {
	SiteKey      string    `json:"sitekey"`
	Secret       string    `json:"secret"`
	Name         string    `json:"name"`
	Domains      []string  `json:"domains"`
	Mode         string    `json:"mode"`
	Region       string    `json:"region"`
	BotFightMode bool      `json:"bot_fight_mode"`
	Offlabel     bool      `json:"offlabel"`
	CreatedOn    time.Time `json:"created_on"`
	ModifiedOn   time.Time `json:"modified_on"`
}

type ruleset struct {
	Owner       string           `json:"owner"` // "zones/<id>" or "accounts/<id>"
	ID          string           `json:"id"`
	Name        string           `json:"name"`
	Description string           `json:"description"`
	Kind        string           `json:"kind"`
	Phase       string           `json:"phase"`
	Version     int              `json:"version"`
	LastUpdated time.Time        `json:"last_updated"`
	Rules       []map[string]any `json:"rules"`
}

func loadState(path string) (state, error) {
	var st state
	if path == "" {
		return st, nil
	}
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return st, nil
	}
	if err != nil {
		return st, fmt.Errorf("read state of the emulated Cloudflare account: %w", err)
	}
	if err := json.Unmarshal(content, &st); err != nil {
		return st, fmt.Errorf("%s: not a state file: %w; remove it to start empty", path, err)
	}
	return st, nil
}

// saveState replaces the file as a whole, so that a killed process leaves the old state or
// the new one. The file holds secret keys of widgets and is readable by its owner only.
func saveState(path string, st state) error {
	if path == "" {
		return nil
	}
	content, err := json.MarshalIndent(st, "", " ")
	if err != nil {
		return fmt.Errorf("encode state: %w", err)
	}
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	defer os.Remove(file.Name()) // does nothing once the file has its final name
	_, err = file.Write(content)
	if err == nil {
		err = file.Sync()
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	return nil
}

// derivedID makes an ID that is the same in each run.
func derivedID(kind, name string) string {
	sum := sha256.Sum256([]byte(kind + "/" + name))
	return hex.EncodeToString(sum[:16])
}

func randomHex(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

func newID() string { return randomHex(16) }
