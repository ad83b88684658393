package engine

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const jobURN = "urn:pulumi:prod::momentstudio::docker:index/container:Container::"

func TestFailedJobsOfAnExportedState(t *testing.T) {
	state, err := os.ReadFile("testdata/export.json")
	if err != nil {
		t.Fatal(err)
	}
	got, err := FailedJobs(state)
	if err != nil {
		t.Fatal(err)
	}
	// Never started, failed, never ended, recorded without outputs. Not: succeeded, a service, or one that only
	// waits to be deleted, whose successor counts.
	want := []string{jobURN + "app-prepare", jobURN + "app-migrate", jobURN + "caddy-load", jobURN + "postgres-roles"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestFailedJobsOfOtherTexts(t *testing.T) {
	for _, c := range []struct {
		name, state string
		fails       bool
	}{
		{"a stack that has nothing", `{"version":3,"deployment":{}}`, false},
		{"a stack before its first update", `{"version":3,"deployment":{"resources":null}}`, false},
		{"half a state", `{"version":3,"deployment":{"resources":[`, true},
		{"another format", `{"deployment":{"resources":{}}}`, true},
		{"nothing", ``, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := FailedJobs([]byte(c.state))
			if (err != nil) != c.fails || len(got) != 0 {
				t.Errorf("got %q, %v; want no job, error %v", got, err, c.fails)
			}
		})
	}
}

func TestAHostIsFoundBeforeTheStackHasOutputs(t *testing.T) {
	const host = `{"urn":"u","type":"momentstudio:host:Host","outputs":{
	  "address":"192.0.2.1",
	  "knownHosts":["192.0.2.1 ssh-ed25519 A"],
	  "sshPrivateKeys":{
	    "4dabf18193072939515e22adb298388d":"1b47061264138c4ac30d75fd1eb44270",
	    "plaintext":"[\"new\",\"old\"]"}}}`
	const server = `{"urn":"v","type":"hcloud:index/server:Server","outputs":{}}`
	export := func(records string) []byte { return []byte(`{"deployment":{"resources":[` + records + `]}}`) }
	got, ok := hostOf(export(host + "," + server))
	if !ok || got.Address != "192.0.2.1" || !slices.Equal(got.SSHKeys,
		[]string{"new", "old"}) || len(got.KnownHosts) != 1 {
		t.Errorf("got %+v, %v", got, ok)
	}
	for name, records := range map[string]string{"no server yet": host, "no host": server, "nothing": ""} {
		if got, ok := hostOf(export(records)); ok {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

func TestDamagedStateIsNotQuoted(t *testing.T) {
	_, err := FailedJobs([]byte(`{"deployment":{"secret":"canary"`))
	if err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("got %v, want an error that quotes nothing of the state", err)
	}
}

func TestFindRoot(t *testing.T) {
	root := t.TempDir()
	deep := filepath.Join(root, "a", "b")
	if err := os.MkdirAll(deep, 0o755); err != nil { //nolint:gosec // a test's directory
		t.Fatal(err)
	}
	if _, err := FindRoot(deep); err == nil || !strings.Contains(err.Error(), "Pulumi.yaml") {
		t.Errorf("got %v outside a clone, want an error that says what is missing", err)
	}
	if err := os.WriteFile(filepath.Join(root, "Pulumi.yaml"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{root, deep} {
		if got, err := FindRoot(dir); err != nil || got != root {
			t.Errorf("from %s: got %s, %v; want %s", dir, got, err, root)
		}
	}
}
