// Package diagnosis explains why an update failed: which resource, what the cloud or the host answered, and how to fix
// it. It is the one package of the desk that matches texts of other programs (Hetzner, Cloudflare, Docker, the Pulumi
// CLI), where these have no code or structure; each text has a test with the program's own answer.
package diagnosis

import (
	"regexp"
	"slices"
	"strings"

	"github.com/prekzursil/momentstudio-infra/internal/fault"
)

// Failure is one resource that could not be changed.
type Failure struct {
	Resource string // its name; empty for the program's own
	Type     string
	Message  string // as it was printed, without the library's places in its source
}

// Diagnostic is one message of the engine's event log.
type Diagnostic struct {
	URN      string `json:"urn"` // empty, or the stack's own, for what the program itself says
	Severity string `json:"severity"`
	Message  string `json:"message"`
}

var (
	library = regexp.MustCompile(`sdk-v2/provider2?\.go:\d+: |sdk\.helper_schema: |error from makeRequest: |` +
		`waiting for RPCs: |marshaling properties: |awaiting input property "\w+": |: provider=\w+@[\w.+-]+`)
	frame = regexp.MustCompile(`^((update|preview|refresh|destroy) failed|(an unhandled error occurred: )?` +
		`program failed:|\d+ errors? occurred:|)$`)
)

// stackType is the type of the resource that stands for the program.
const stackType = "pulumi:pulumi:Stack"

// Failures collects the errors of a run by resource, in the order in which they were first seen, without the places in
// the providers' sources and without what is said twice. What the program itself says comes last: it often repeats.
func Failures(log []Diagnostic) (all []Failure) {
	at := map[string]int{}
	for _, d := range log {
		if d.Severity != "error" {
			continue
		}
		i, seen := at[d.URN]
		if !seen {
			i, at[d.URN] = len(all), len(all)
			all = append(all, ofURN(d.URN))
		}
		for line := range strings.Lines(d.Message) {
			line = strings.TrimSpace(library.ReplaceAllString(strings.TrimRight(line, "\n"), ""))
			line = strings.TrimPrefix(strings.TrimPrefix(line, "error: "), "* ")
			if !frame.MatchString(line) && !strings.Contains(all[i].Message, line) {
				all[i].Message += line + "\n"
			}
		}
	}
	all = slices.DeleteFunc(all, func(f Failure) bool { return strings.TrimSpace(f.Message) == "" })
	for i := range all {
		all[i].Message = strings.TrimSpace(all[i].Message)
	}
	slices.SortStableFunc(all, func(a, b Failure) int { return rank(a) - rank(b) })
	return all
}

// ofURN names the resource of a URN: "urn:pulumi:STACK::PROJECT::PARENT$TYPE::NAME".
func ofURN(urn string) Failure {
	parts := strings.Split(urn, "::")
	if len(parts) < 4 {
		return Failure{}
	}
	kind := parts[2][strings.LastIndex(parts[2], "$")+1:]
	if kind == stackType {
		return Failure{Type: kind}
	}
	return Failure{Type: kind, Resource: parts[len(parts)-1]}
}

func rank(f Failure) int {
	if f.Resource == "" {
		return 1
	}
	return 0
}

// Explain says what a failure means and what to do about it; ok is false for one that it does not know.
func Explain(f Failure) (means, do string, ok bool) {
	for _, r := range rules {
		if strings.HasPrefix(f.Type, r.of) && r.says.MatchString(f.Message) {
			return r.means, r.do, true
		}
	}
	return "", "", false
}

// Words tells all failures: those with one cause and one way out are told together. Otherwise is what to do about one
// that is not explained and does not say so itself. What is of the program is left out when a resource tells of the
// same.
func Words(all []Failure, otherwise string) string {
	type told struct{ names, means, says, do string }
	var list []*told
	for _, f := range all {
		first, _, _ := strings.Cut(f.Message, "\n")
		t := &told{names: f.Resource}
		if means, do, ok := Explain(f); ok {
			t.means, t.says, t.do = means, first, do
		} else if said, do, ok := fault.Split(f.Message); ok {
			t.means, t.do = said, do
		} else if f.Resource == "" && len(list) > 0 {
			continue
		} else {
			t.means, t.do = f.Message, otherwise
		}
		i := slices.IndexFunc(list, func(have *told) bool { return have.means == t.means && have.do == t.do })
		if i >= 0 {
			list[i].names += ", " + t.names
			continue
		}
		list = append(list, t)
	}
	var b strings.Builder
	for _, t := range list {
		b.WriteString("  - ")
		if t.names != "" {
			b.WriteString(t.names + ": ")
		}
		b.WriteString(strings.ReplaceAll(t.means, "\n", "\n    ") + "\n")
		if t.says != "" {
			b.WriteString("    it says: " + t.says + "\n")
		}
		b.WriteString("    " + fault.Fix(t.do) + "\n")
	}
	return strings.TrimRight(b.String(), "\n")
}

const again = "nothing is lost: run `studio up` again, it continues where this run ended"

type rule struct {
	of        string // beginning of the resource's type
	says      *regexp.Regexp
	means, do string
}

// code begins the code of an error of Hetzner's, as the provider's older resources end a message with it, and its
// newer ones write it on a line of its own.
const code = `(?:\(|Error code: )`

// rules are looked at in their order. The codes are those of docs.hetzner.cloud (Errors) and developers.cloudflare.com
// (API errors), the texts those of Docker and of the providers.
var rules = []rule{
	{
		"hcloud:", regexp.MustCompile(code + `unauthorized`), "Hetzner does not accept the token",
		"set HCLOUD_TOKEN to an API token of this stack's project (console: Security, API tokens, Read & Write), then run " +
			"`studio up` again",
	},
	{
		"hcloud:", regexp.MustCompile(code + `(forbidden|token_readonly)`), "the token may not write",
		"set HCLOUD_TOKEN to an API token of this stack's project with permission Read & Write, then run `studio up` again",
	},
	{"hcloud:", regexp.MustCompile(code + `rate_limit_exceeded`), "Hetzner's limit of requests is used up, also after " +
		"several tries", "wait some minutes (3600 requests an hour are free, and one more each second); " + again},
	{
		"hcloud:", regexp.MustCompile(code + `resource_limit_exceeded`), "the project's quota is used up",
		"raise it in the console (Limits), or delete what nobody needs; " + again,
	},
	{
		"hcloud:", regexp.MustCompile(code + `(uniqueness_error|conflict.*name|.*already (used|exists))`),
		"something that this stack did not make has this name", "look at it in the console and rename or delete it when it " +
			"is not needed; when it is this stack's, `studio recover` shows why it is not taken over",
	},
	{
		"hcloud:", regexp.MustCompile(code + `(resource_unavailable|placement_error|unavailable_location)`),
		"Hetzner has none of this type there right now", "choose another host.serverType, or try later; " + again,
	},
	{"hcloud:", regexp.MustCompile(code + `(locked|conflict)`), "another action is still at work on it", again},
	{"hcloud:", regexp.MustCompile(code + `(protected)`), "it is protected in the cloud", "protection is lifted in an " +
		"update of its own: docs/guides/tear-down.md"},
	{
		"hcloud:",
		regexp.MustCompile(code +
			`(server_error|service_error|maintenance|unavailable|timeout|bad_gateway)|server responded with status code 5`),
		"Hetzner's API has an error of its own", "status.hetzner.com says whether it is known; " + again,
	},
	{
		"hcloud:", regexp.MustCompile(`action_failed|action .*fail|\(sandbox_fault|Action failed`),
		"Hetzner accepted it, and then could not do it", "the console shows the action; " + again,
	},
	{"hcloud:", regexp.MustCompile(`expected non-nil error with nil state during Create`), "Hetzner does not find yet " +
		"what it made", "wait a moment; " + again},
	{
		"hcloud:", regexp.MustCompile(`EOF|connection (refused|reset)|no such host|i/o timeout|TLS handshake`),
		"Hetzner's API did not answer", "whether it was done is found out by the next run; " + again,
	},

	{
		"cloudflare:",
		regexp.MustCompile(`\((10000|9109|9106|6003|10001)\)|Authentication error|Invalid access token|status (401|403)`),
		"Cloudflare does not accept the token for this", "CLOUDFLARE_API_TOKEN needs Zone / DNS / Edit for this zone, and " +
			"Account / Turnstile / Edit for this account; set it and run `studio up` again",
	},
	{
		"cloudflare:", regexp.MustCompile(`\((81053|81057|81058)\)|record.*already exists|identical record`),
		"a record of this name is there already", "run `studio up` again: it takes the record over when it leads to this " +
			"stack's address, and says where it leads when not",
	},
	{"cloudflare:", regexp.MustCompile(`\(971\)|rate limit|(status|HTTP) 429|throttl`), "Cloudflare's limit of requests " +
		"is used up, also after several tries", "wait five minutes (1200 requests in five minutes are free); " + again},
	{
		"cloudflare:", regexp.MustCompile(`(status|HTTP) 5\d\d|\(1001[03]\)|[Ii]nternal (server )?error`),
		"Cloudflare's API has an error of its own", "cloudflarestatus.com says whether it is known; " + again,
	},
	{
		"cloudflare:",
		regexp.MustCompile(`EOF|connection (refused|reset)|no such host|i/o timeout|TLS handshake|HTTP request failed`),
		"Cloudflare's API did not answer", "whether it was done is found out by the next run; " + again,
	},

	{"docker:", regexp.MustCompile(`no space left on device`), "the host's disk is full", "make room on it (df -h; " +
		"docker system df), raise host.volumeSizeGB when it is the data volume; " + again},
	{
		"docker:", regexp.MustCompile(`Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED`),
		"another machine answers at the host's address", "do not continue before you know which: a server that was rebuilt " +
			"by hand needs a raised host.generation (docs/guides/rebuild-host.md)",
	},
	{
		"docker:", regexp.MustCompile(`Permission denied \(publickey`), "the host does not accept the stack's key",
		"somebody changed its authorized keys: put them back over the console (docs/guides/rebuild-host.md has the other " +
			"way)",
	},
	{
		"docker:",
		regexp.MustCompile(`(name|NetworkName|rpc error: code = AlreadyExists).*` +
			`(already exists|conflicts with an existing)|AlreadyExists`),
		"the host has one of this name that the state does not know",
		"run `studio up`, which takes it over; `studio recover` shows it",
	},
	{
		"docker:",
		regexp.MustCompile(`connection timed out|Connection refused|No route to host|broken pipe|connection reset|` +
			`ssh: |command \[ssh|Cannot connect to the Docker daemon|commandconn|error during connect`),
		"the host does not answer any more",
		"look at it in the console: is it up, is port 22 open to this machine (host.sshFrom, studio ssh-allow)? Then: " +
			again,
	},
	{
		"docker:",
		regexp.MustCompile(`manifest unknown|not found: manifest|pull access denied|no such image|` +
			`Unable to (read|find or pull) `),
		"the image cannot be pulled",
		"check its reference in the stack's file, and registry.* when it is private; " + again,
	},
}
