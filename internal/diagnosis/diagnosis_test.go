package diagnosis_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/prekzursil/momentstudio-infra/internal/diagnosis"
	"github.com/prekzursil/momentstudio-infra/internal/fault"
)

const stack = "urn:pulumi:sandbox::momentstudio::"

// logged are the diagnostics of an update that failed, as the engine's event log has them (release 3.274).
var logged = []diagnosis.Diagnostic{
	{
		URN: stack + "momentstudio:host:Host$hcloud:index/volume:Volume::host-data", Severity: "error",
		Message: "  sdk-v2/provider2.go:572: sdk.helper_schema: name is already used (uniqueness_error, " +
			"sandbox-1795780695585291948): provider=hcloud@1.32.1\n",
	},
	{URN: stack + "pulumi:pulumi:Stack::momentstudio-sandbox", Severity: "warning", Message: "backend.replicas is 1\n"},
	{URN: stack + "pulumi:pulumi:Stack::momentstudio-sandbox", Severity: "error", Message: "update failed\n"},
	{
		URN: stack + "momentstudio:host:Host$hcloud:index/network:Network::host-network", Severity: "error",
		Message: "  sdk-v2/provider2.go:572: sdk.helper_schema: Post \"http://10.201.65.1:8080/v1/networks\": EOF: " +
			"provider=hcloud@1.32.1\n",
	},
	{
		URN: stack + "momentstudio:host:Host$hcloud:index/volume:Volume::host-data", Severity: "error",
		Message: "1 error occurred:\n\t* name is already used (uniqueness_error, sandbox-1795780695585291948)\n\n",
	},
	{
		URN: stack + "momentstudio:host:Host$hcloud:index/firewall:Firewall::host-firewall", Severity: "error",
		Message: "1 error occurred:\n\t* Post \"http://10.201.65.1:8080/v1/firewalls\": EOF\n\n",
	},
	{
		URN: stack + "momentstudio:app:App$docker:index/service:Service::app-backend", Severity: "error",
		Message: "the thing is broken\nin an unknown way\n",
	},
}

func TestFailuresAreReadFromTheEventLog(t *testing.T) {
	got := diagnosis.Failures(logged)
	want := []diagnosis.Failure{
		{"host-data", "hcloud:index/volume:Volume", "name is already used (uniqueness_error, sandbox-1795780695585291948)"},
		{"host-network", "hcloud:index/network:Network", `Post "http://10.201.65.1:8080/v1/networks": EOF`},
		{"host-firewall", "hcloud:index/firewall:Firewall", `Post "http://10.201.65.1:8080/v1/firewalls": EOF`},
		{"app-backend", "docker:index/service:Service", "the thing is broken\nin an unknown way"},
	}
	if len(got) != len(want) {
		t.Fatalf("%d failures: %+v", len(got), got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %+v, want %+v", got[i], want[i])
		}
	}
	for _, none := range [][]diagnosis.Diagnostic{nil, {logged[1]}, {logged[2]}} {
		if got := diagnosis.Failures(none); len(got) != 0 {
			t.Errorf("%v: %+v", none, got)
		}
	}
}

func TestAllFailuresAreToldThoseOfOneCauseTogether(t *testing.T) {
	got := diagnosis.Words(diagnosis.Failures(logged), "ask")
	for _, want := range []string{
		"  - host-data: something that this stack did not make has this name\n    it says: name is already used",
		"  - host-network, host-firewall: Hetzner's API did not answer\n    it says: Post " +
			"\"http://10.201.65.1:8080/v1/networks\": EOF\n    Fix: ",
		"  - app-backend: the thing is broken\n    in an unknown way\n    Fix: ask",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("it does not say\n%s\nbut\n%s", want, got)
		}
	}
	if strings.HasPrefix(got, "\n") || strings.HasSuffix(got, "\n") {
		t.Errorf("it begins or ends with an empty line: %q", got)
	}
}

// What the program says itself has its own way out, once; the engine's words around it are left out.
func TestTheProgramsOwnErrorKeepsItsWayOut(t *testing.T) {
	own := func(text string) diagnosis.Diagnostic {
		return diagnosis.Diagnostic{URN: stack + "pulumi:pulumi:Stack::s", Severity: "error", Message: text}
	}
	got := diagnosis.Words(diagnosis.Failures([]diagnosis.Diagnostic{own("an unhandled error occurred: program " +
		"failed:\n1 " +
		"error occurred:\n\t* waiting for RPCs: marshaling properties: awaiting input property \"image\": job " +
		"app-migrate exited with code 3: canary\n  the end of its log:\n    canary\n  " +
		fault.Fix("mend the cause"))}), "ask")
	if !strings.Contains(got, "job app-migrate exited with code 3") || !strings.Contains(got,
		"canary") || strings.Count(got, "Fix: ") != 1 || strings.Contains(got, "error occurred") ||
		strings.Contains(got, "RPCs") {
		t.Errorf("got\n%s", got)
	}
	both := append(slices.Clone(logged), own("an unhandled error occurred: waiting for RPCs"))
	if got := diagnosis.Words(diagnosis.Failures(both), "ask"); strings.Contains(got, "RPCs") {
		t.Errorf("what only repeats is told:\n%s", got)
	}
}

func TestCausesAreKnownByWhatTheCloudsAndTheHostAnswer(t *testing.T) {
	for _, c := range []struct{ kind, says, do string }{
		{"hcloud:index:Server", "unable to authenticate (unauthorized, x)", "HCLOUD_TOKEN"},
		{"hcloud:index:Server", "the token is only allowed to perform GET requests (token_readonly, x)", "Read & Write"},
		{"hcloud:index:Server", "limit of 3600 requests per hour reached (rate_limit_exceeded, x)", "wait some minutes"},
		{"hcloud:index:Server", "server limit exceeded (resource_limit_exceeded, x)", "Limits"},
		{"hcloud:index:Server", "server name is already used (uniqueness_error, x)", "rename or delete"},
		{"hcloud:index:SshKey", "API request failed: An unexpected error was encountered during an API request.\nSSH key " +
			"with the same fingerprint already exists\nError code: uniqueness_error\nStatus code: 409", "rename or delete"},
		{"hcloud:index:ServerNetwork", "API request failed: An unexpected error was encountered during an API " +
			"request.\nlimit\nError code: rate_limit_exceeded\nStatus code: 429", "wait some minutes"},
		{"hcloud:index:Server", "error during placement (resource_unavailable, x)", "host.serverType"},
		{"hcloud:index:Server", "server is locked (locked, x)", "run `studio up` again"},
		{"hcloud:index:Volume", "volume deletion is protected (protected, x)", "tear-down.md"},
		{"hcloud:index:Server", "internal (server_error, x)", "status.hetzner.com"},
		{"hcloud:index:Server", "hcloud: server responded with status code 502", "status.hetzner.com"},
		{
			"hcloud:index:Server",
			`Get "https://api.hetzner.cloud/v1/servers": dial tcp: lookup api.hetzner.cloud: no such host`,
			"found out by the next run",
		},
		{
			"hcloud:index:Firewall", "expected non-nil error with nil state during Create of urn:pulumi:prod::x",
			"wait a moment",
		},
		{"cloudflare:index:Record", "Authentication error (10000)", "Zone / DNS / Edit"},
		{"cloudflare:index:Record", "An A record already exists. (81058)", "takes the record over"},
		{"cloudflare:index:Record", "Please wait and consider throttling your request speed (971)", "five minutes"},
		{"cloudflare:index:Record", "Internal server error (10013)", "cloudflarestatus.com"},
		{
			"cloudflare:index:TurnstileWidget", "received internal server error response (HTTP 500), please try again later",
			"cloudflarestatus.com",
		},
		{"cloudflare:index:TurnstileWidget", "exceeded available rate limit retries", "five minutes"},
		{"cloudflare:index:Record", "HTTP request failed: Post: EOF", "found out by the next run"},
		{"docker:index:Container", "write /var/lib/docker/x: no space left on device", "df -h"},
		{"docker:index:Service", "command [ssh ...] has exited: Host key verification failed.", "do not continue"},
		{"docker:index:Service", "command [ssh ...] has exited: root@x: Permission denied (publickey)", "authorized keys"},
		{"docker:index:Secret", "rpc error: code = AlreadyExists desc = secret app-env already exists", "takes it over"},
		{"docker:index:Service", "error during connect: command [ssh ...] ssh: connect to host x port 22: Connection timed " +
			"out", "studio ssh-allow"},
	} {
		means, do, ok := diagnosis.Explain(diagnosis.Failure{Type: c.kind, Message: c.says})
		if !ok || means == "" || !strings.Contains(do, c.do) {
			t.Errorf("%s, %s: %q, %q", c.kind, c.says, means, do)
		}
	}
	if _, _, ok := diagnosis.Explain(diagnosis.Failure{Type: "random:index:RandomUuid", Message: "EOF"}); ok {
		t.Error("what has no cloud is explained by one")
	}
}

// The refusal is what the CLI prints (pkg/backend/diy/lock.go).
func TestTheHolderOfAStatesLockIsRead(t *testing.T) {
	const refusal = "error: the stack is currently locked by 1 lock(s). Either wait for the other process(es) to end or " +
		"delete the lock file with `pulumi cancel`.\n" +
		"  s3://bucket/.pulumi/locks/organization/momentstudio/prod/6e7e.json: created by root@here (pid 4711) at " +
		"2026-11-27T10:00:00Z"
	holders, locked := diagnosis.StateLock(refusal)
	want := diagnosis.Holder{User: "root", Host: "here", PID: 4711, Since: "2026-11-27T10:00:00Z"}
	if !locked || len(holders) != 1 || holders[0] != want {
		t.Errorf("got %+v, %v", holders, locked)
	}
	for output, want := range map[string]bool{
		"error: the stack is currently locked by 1 lock(s).":                       true,
		"error: [409] Conflict: Another update is currently in progress. To learn": true,
		"error: something else": false, "": false,
	} {
		if holders, locked := diagnosis.StateLock(output); locked != want || len(holders) != 0 {
			t.Errorf("%q: got %v, %v", output, holders, locked)
		}
	}
}
