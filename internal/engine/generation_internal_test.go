package engine

import (
	"encoding/json"
	"strings"
	"testing"
)

const server = "urn:pulumi:prod::momentstudio::momentstudio:host:Host$hcloud:index/server:Server::host-server"

func boot(n string) string {
	return "urn:pulumi:prod::momentstudio::momentstudio:host:Host$random:index/randomUuid:RandomUuid::host-boot-" + n
}

const interrupted = `{"version":3,"deployment":{
 "resources":[
  {"urn":"BOOT1","type":"random:index/randomUuid:RandomUuid"},
  {"urn":"BOOT2","type":"random:index/randomUuid:RandomUuid"},
  {"urn":"SERVER","type":"hcloud:index/server:Server","dependencies":["BOOT1"],"inputs":{"big":12345678901234567890}},
  {"urn":"urn:service","type":"docker:index/service:Service","dependencies":["SERVER"]},
  {"urn":"urn:provider","type":"pulumi:providers:docker"},
  {"urn":"urn:component","type":"momentstudio:app:App","dependencies":["urn:service","SERVER"],
   "propertyDependencies":{"x":["urn:service"]}}],
 "pending_operations":[
  {"type":"creating","resource":{"urn":"urn:other","type":"docker:index/service:Service"}},
  {"type":"creating","resource":{"urn":"urn:volume","type":"hcloud:index/volume:Volume"}}]}}`

func fixture() []byte {
	return []byte(strings.NewReplacer("BOOT1", boot("1"), "BOOT2", boot("2"), "SERVER", server).Replace(interrupted))
}

func TestTheServerTellsItsGenerationAlsoAfterAnInterruptedRebuild(t *testing.T) {
	for _, c := range []struct {
		name, state string
		want        int
		err         string
	}{
		{"both copies, the server of the first", string(fixture()), 1, ""},
		{"both copies, the server of the second", strings.Replace(string(fixture()), `"dependencies":["`+boot("1"),
			`"dependencies":["`+boot("2"), 1), 2, ""},
		{"no server yet", `{"deployment":{"resources":[]}}`, 0, ""},
		{"an empty stack", `{"deployment":null}`, 0, ""},
		{"a server made by something else", strings.Replace(string(fixture()), `"dependencies":["`+boot("1"),
			`"dependencies":["urn:x`, 1), 0, "does not tell"},
		{"no state at all", `nonsense`, 0, "not JSON"},
	} {
		got, err := BuiltGeneration([]byte(c.state))
		if (err == nil) != (c.err == "") || (err != nil && !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.err)
		}
		if got != c.want {
			t.Errorf("%s: generation %d, want %d", c.name, got, c.want)
		}
	}
}

func TestDroppingTheOldServersRecordsKeepsEverythingElse(t *testing.T) {
	out, dropped, err := WithoutDocker(fixture())
	if err != nil || dropped != 1 {
		t.Fatalf("dropped %d, error %v, want 1 and none", dropped, err)
	}
	if !json.Valid(out) {
		t.Fatal("the result is not JSON")
	}
	text := string(out)
	for _, gone := range []string{"urn:service", "urn:other"} {
		if strings.Contains(text, gone) {
			t.Errorf("%s is still mentioned", gone)
		}
	}
	for _, kept := range []string{
		server, boot("1"), "urn:provider", "urn:component", "urn:volume",
		"12345678901234567890",
	} {
		if !strings.Contains(text, kept) {
			t.Errorf("%s was lost", kept)
		}
	}
}
