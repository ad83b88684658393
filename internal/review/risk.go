package review

import (
	"cmp"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// Risk is what a change may cost, ordered.
type Risk int

// The risks. What this program does not know has the worst.
const (
	None         Risk = iota // nobody notices
	Restart                  // tasks are replaced one after the other, and no request is lost
	Interruption             // the shop, or a part of it, is away for some seconds
	Security                 // a guard is taken away, or somebody else may get in
	DataAtRisk               // data, addresses or keys may be lost, or are no longer protected
	Irreversible             // what is gone does not come back
)

var riskNames = [...]string{
	"none", "restart without downtime", "brief interruption", "security", "data at risk", "irreversible",
}

func (r Risk) String() string { return riskNames[r] }

// MarshalText writes the risk by its name.
func (r Risk) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads a name.
func (r *Risk) UnmarshalText(text []byte) error {
	i := slices.Index(riskNames[:], string(text))
	if i < 0 {
		return fmt.Errorf("%q is no risk; there are %s", text, strings.Join(riskNames[:], ", "))
	}
	*r = Risk(i)
	return nil
}

// verdict is the outcome of a rule.
type verdict struct {
	risk    Risk
	seconds int
	why     string
	back    string
	gated   bool // it needs an approval
}

// rule judges changes of one type of resource.
type rule func(Change) verdict

// rules are those of every type that the program declares (stacks/testdata lists them). A type without one is
// unknown, and judged as the worst.
var rules = map[string]rule{
	"hcloud:index/server:Server":               server,
	"hcloud:index/volume:Volume":               volume,
	"hcloud:index/primaryIp:PrimaryIp":         address,
	"hcloud:index/network:Network":             network,
	"hcloud:index/networkSubnet:NetworkSubnet": network,
	"hcloud:index/serverNetwork:ServerNetwork": network,
	"hcloud:index/firewall:Firewall":           firewall,
	"hcloud:index/rdns:Rdns":                   harmless("the reverse name of the address"),
	"hcloud:index/sshKey:SshKey": harmless("the key of a server's first boot; host-apply installs " +
		"the one in use"),
	"hcloud:index/volumeAttachment:VolumeAttachment":   attachment,
	"cloudflare:index/record:Record":                   record,
	"cloudflare:index/turnstileWidget:TurnstileWidget": widget,
	"docker:index/service:Service":                     service,
	"docker:index/container:Container":                 job,
	"docker:index/secret:Secret": harmless("a new content is a new secret beside the old one, " +
		"which goes when nothing uses it"),
	"docker:index/network:Network":               appNetwork,
	"random:index/randomPassword:RandomPassword": generated,
	"random:index/randomUuid:RandomUuid":         marker,
	"pulumi:pulumi:Stack":                        harmless("the stack itself"),
	"pulumi:providers:hcloud":                    provider,
	"pulumi:providers:cloudflare":                provider,
	"pulumi:providers:random":                    provider,
	"pulumi:providers:docker":                    provider,
}

// judge gives a change its risk.
func judge(c Change) Change {
	v := verdict{risk: Irreversible, why: "this program does not know resources of type " + cmp.Or(c.Type, "unknown") +
		", and takes the worst", gated: true}
	switch r, known := rules[c.Type]; {
	case c.Op == Unknown:
		v.why = "the engine plans a step that this program does not know, and takes the worst"
	case strings.HasPrefix(c.Type, "momentstudio:"):
		v = verdict{why: "a component holds nothing itself; its parts are judged each"}
	case c.Op == Read:
		v = verdict{why: "it is only read"}
	case known:
		v = r(c)
		// Unlocking is the first half of a loss.
		if lifted := lifts(c); c.Op == Update && len(lifted) > 0 && v.risk < DataAtRisk {
			v = verdict{
				risk: DataAtRisk, why: "protection is lifted: the next update may delete it",
				back: "set protect to true again", gated: true,
			}
		}
	}
	if why := compromises(c); len(why) > 0 {
		v.risk, v.gated, c.guard = max(v.risk, Security), true, true
		v.why = strings.Join(why, "; ") + "; " + v.why
		v.back = cmp.Or(v.back, revertConfig)
	}
	if c.Op == Import && v.risk < DataAtRisk {
		v.risk, v.why = max(v.risk, Restart), "an existing resource is adopted: "+v.why
	}
	c.Risk, c.Seconds, c.Why, c.Back, c.Gated = v.risk, v.seconds, v.why, v.back, v.gated
	if c.Back == "" && c.Op == Delete && c.Risk > Restart {
		c.Back = "revert the change and update: it is made anew, empty and with other keys"
	}
	return c
}

// lifts lists what protected the resource and does no longer.
func lifts(c Change) []string {
	if c.old == nil || c.new == nil {
		return nil
	}
	var out []string
	if c.old.Protect && !c.new.Protect {
		out = append(out, "protect")
	}
	for _, p := range []string{"deleteProtection", "rebuildProtection"} {
		if c.old.Inputs[p] == true && c.new.Inputs[p] != true {
			out = append(out, p)
		}
	}
	return out
}

// withServer takes what lives on a server along with it: who approves that the server is made anew, approves these
// too.
func withServer(changes []Change) {
	if !slices.ContainsFunc(changes, func(c Change) bool {
		return c.Type == "hcloud:index/server:Server" &&
			c.Op == Replace
	}) {
		return
	}
	for i, c := range changes {
		if c.guard || c.Name == "host-apply-job" && c.Gated {
			continue // it tells of something else than the server
		}
		onServer := strings.HasPrefix(c.Type, "docker:") || strings.HasPrefix(c.Type,
			"hcloud:index/volumeAttachment:") || strings.HasPrefix(c.Type, "hcloud:index/serverNetwork:")
		if onServer && c.Op == Replace {
			changes[i].Risk, changes[i].Gated, changes[i].Seconds = min(c.Risk, Interruption), false, 0
			changes[i].Why, changes[i].Back = "it is made anew with its server", ""
		}
	}
}

func harmless(what string) rule {
	return func(Change) verdict { return verdict{why: what} }
}

const revertConfig = "revert the change of the stack's file and update"

func server(c Change) verdict {
	switch {
	case c.made():
		return verdict{why: "a new server"}
	case c.Op == Replace:
		return verdict{
			risk: DataAtRisk, seconds: 600, gated: true, back: "there is no way back to the old server; its data is on the " +
				"volume",
			why: "the server is deleted and made anew: the shop is away until everything runs on the new one; what is not on " +
				"the data volume is lost (docs/guides/rebuild-host.md)",
		}
	case c.Op == Delete:
		return verdict{risk: Irreversible, gated: true, why: "the server is deleted, and the shop with it"}
	}
	if changes(c, "serverType") {
		return verdict{
			risk: Interruption, seconds: 120, why: "the server is switched off, resized and switched on",
			back: revertConfig + "; a larger disk does not shrink",
		}
	}
	if changes(c, "image", "userData", "sshKeys", "location", "datacenter") {
		return verdict{risk: DataAtRisk, gated: true, why: "a property of the first boot changes on a server that is " +
			"running: the program freezes these, so something is wrong"}
	}
	if onlyChanges(c, "labels", "name", "protect", "deleteProtection", "rebuildProtection", "keepDisk") {
		return verdict{why: "changed in place while the server runs"}
	}
	return verdict{risk: Interruption, seconds: 120, gated: true, why: "how the server is reached or boots changes " +
		"while it runs", back: revertConfig}
}

func volume(c Change) verdict {
	switch {
	case c.made():
		return verdict{why: "a new, empty volume"}
	case c.Op == Replace:
		return verdict{risk: Irreversible, gated: true, why: "the volume with the database and all files is deleted, and " +
			"an empty one is made: only a restore brings them back (docs/guides/restore.md)"}
	case c.Op == Delete:
		return verdict{risk: Irreversible, gated: true, why: "the volume with the database and all files is deleted"}
	}
	if changes(c, "size") {
		was, is := number(c.old, "size"), number(c.new, "size")
		if is < was {
			return verdict{risk: Irreversible, gated: true, why: "a volume cannot shrink: the cloud refuses it, or the file " +
				"system is cut off", back: revertConfig}
		}
		return verdict{why: "the volume grows in place; it does not shrink again"}
	}
	if changes(c, "format", "location") {
		return verdict{risk: Irreversible, gated: true, why: "a volume's format and location are fixed when it is made: a " +
			"change means a new, empty one", back: revertConfig}
	}
	return verdict{why: "changed in place while it is mounted"}
}

func address(c Change) verdict {
	if c.gone() {
		return verdict{risk: Irreversible, gated: true, why: "the public address is given back to the cloud, and nobody " +
			"gets the same one again: names, allow-lists and mail reputation point to it"}
	}
	return verdict{why: "the address stays"}
}

func network(c Change) verdict {
	if c.gone() {
		return verdict{risk: Interruption, seconds: 300, gated: true, why: "the private network is cut: the Swarm " +
			"advertises itself on it, and does not come back by itself on another address"}
	}
	return verdict{why: "the network stays"}
}

func firewall(c Change) verdict {
	switch {
	case c.made():
		return verdict{why: "who may reach the host"}
	case c.gone():
		return verdict{risk: Interruption, seconds: 10, gated: true, why: "the host is open, or closed to everybody, until " +
			"the new rules are in place"}
	}
	if closed := missing(openToAll(c.old), openToAll(c.new)); len(closed) > 0 {
		return verdict{
			risk: Interruption, gated: true, why: "visitors no longer reach port " + strings.Join(closed, " and "),
			back: revertConfig,
		}
	}
	return verdict{why: "who may reach the host changes in place; look at the rules", back: revertConfig}
}

func attachment(c Change) verdict {
	if c.made() {
		return verdict{why: "the volume is attached to the server"}
	}
	return verdict{risk: DataAtRisk, seconds: 300, gated: true, why: "the data volume is taken off the running server, " +
		"while the database writes to it"}
}

func record(c Change) verdict {
	switch {
	case c.made():
		return verdict{why: "a new name"}
	case c.Op == Update:
		if changes(c, "content", "proxied", "type") {
			return verdict{risk: Interruption, seconds: ttl(c), why: "the name points elsewhere; resolvers keep the old " +
				"answer for its time to live", back: revertConfig}
		}
		return verdict{why: "the answer stays the same", back: revertConfig}
	}
	return verdict{risk: Interruption, seconds: ttl(c), gated: true, why: "the name stops answering, for good or until " +
		"the new record is known: whoever follows an old link does not find the shop", back: revertConfig}
}

func ttl(c Change) int {
	for _, s := range []*state{c.old, c.new} {
		if n := number(s, "ttl"); n > 1 { // 1 is Cloudflare's word for automatic
			return int(n)
		}
	}
	return 300
}

func widget(c Change) verdict {
	switch {
	case c.made():
		return verdict{why: "a new widget, with keys of its own"}
	case c.gone():
		return verdict{risk: DataAtRisk, seconds: 60, gated: true, why: "the widget's keys are gone: pages that are open " +
			"send tokens of the old one, and nobody can log in from them"}
	}
	if changes(c, "mode", "domains") {
		return verdict{risk: Interruption, seconds: 5, gated: true, back: revertConfig, why: "visitors are checked in " +
			"another way from now on: another mode may stop robots less or people more, and a host name that is taken out " +
			"cannot log in"}
	}
	return verdict{why: "the keys stay"}
}

func service(c Change) verdict {
	part := strings.TrimSuffix(strings.TrimPrefix(c.Name, "app-"), "-service")
	away := map[string]int{"postgres": 20, "redis": 5, "caddy": 5, "worker": 0, "schedulers": 0}[part]
	startFirst := order(c.new) == "start-first" && order(c.old) != "stop-first"
	switch {
	case c.made() && part == "postgres" && !c.makes["host-data"]:
		return verdict{risk: DataAtRisk, gated: true, why: "the shop's database becomes the one on the volume, which may " +
			"be empty or old", back: revertConfig}
	case c.made():
		return verdict{why: "a service that did not run before"}
	case c.Op == Delete:
		if part == "postgres" {
			return verdict{risk: DataAtRisk, seconds: 60, gated: true, why: "the database server is taken away: its data " +
				"stays on the volume and no longer serves; whatever DATABASE_URL names from now on must have the shop's data " +
				"already", back: revertConfig}
		}
		return verdict{risk: Interruption, seconds: 60, gated: true, why: "the service is taken away", back: revertConfig}
	case c.Op == Replace:
		if part == "postgres" {
			return verdict{risk: DataAtRisk, seconds: 60, gated: true, why: "the database server is deleted and made anew on " +
				"the same data", back: revertConfig}
		}
		return verdict{
			risk: Interruption, seconds: 60, gated: true, why: "the service is deleted before it is made anew",
			back: revertConfig,
		}
	}
	if env := "taskSpec.containerSpec.env.MAINTENANCE_MODE"; changes(c, env) && c.new != nil && at(c.new.Inputs,
		env) == "1" {
		return verdict{
			risk: Interruption, why: "the shop turns visitors away from then on, until maintenance is off again",
			back: revertConfig,
		}
	}
	back := revertConfig
	if part == "backend" || part == "frontend" || part == "worker" || part == "schedulers" {
		back = "studio rollback (for a release), or " + revertConfig
	}
	switch {
	case part == "worker":
		return verdict{risk: Restart, why: "the worker stops before the new one starts: jobs wait that long, no request is " +
			"lost", back: back}
	case part == "schedulers":
		return verdict{risk: Restart, why: "the schedulers stop before the new ones start: what is due waits that long, no " +
			"request is lost", back: back}
	case startFirst:
		return verdict{risk: Restart, why: "new tasks start and are healthy before old ones stop", back: back}
	case part == "postgres":
		return verdict{
			risk: Interruption, seconds: away, gated: !alike(c, "mounts") || !alike(c, "image") || changes(c,
				"taskSpec.containerSpec.env.PGDATA"), back: back,
			why: "the database restarts: requests wait or fail meanwhile. An image of another major version does not open the " +
				"data",
		}
	default:
		return verdict{
			risk: Interruption, seconds: max(away, 5), why: "the old task stops before the new one starts",
			back: back,
		}
	}
}

func order(s *state) string {
	if s == nil {
		return ""
	}
	update, _ := s.Inputs["updateConfig"].(map[string]any)
	text, _ := update["order"].(string)
	return text
}

func job(c Change) verdict {
	if gone := missing(facts(c.old, hostspec.BackupFact), facts(c.new,
		hostspec.BackupFact)); c.Op != Create && len(gone) > 0 {
		return verdict{
			risk: DataAtRisk, gated: true, back: revertConfig,
			why: "no further backup goes to " + strings.Join(gone, " and ") +
				": what is there grows old, and is no longer checked",
		}
	}
	switch {
	case c.Name == "app-migrate" && c.Op == Replace && same(c, "command"):
		return verdict{why: "the job comes after another one that runs again, and finds the schema as it is"}
	case c.Name == "app-migrate" && c.Op != Delete:
		return verdict{risk: Restart, why: "the release's migrations run, after a dump of the database; a schema goes " +
			"forward only", back: "studio rollback, when the older release is declared to work with the newer schema " +
			"(docs/guides/roll-back.md)"}
	case c.Op == Delete:
		return verdict{why: "the record of a job that ran"}
	}
	return verdict{why: "a job that runs once, and changes what it says it does"}
}

func appNetwork(c Change) verdict {
	if c.gone() {
		return verdict{risk: Interruption, seconds: 300, gated: true, why: "every service is taken off the network: all of " +
			"them stop"}
	}
	return verdict{why: "the network of the services"}
}

// facts reads a list of names from a job's environment.
func facts(s *state, name string) []string {
	if s == nil {
		return nil
	}
	envs, _ := s.Inputs["envs"].([]any)
	for _, e := range envs {
		text, _ := e.(string)
		if value, found := strings.CutPrefix(text, name+"="); found {
			// Only what config can name is ever repeated in a report.
			return slices.DeleteFunc(strings.Split(value, ","), func(s string) bool {
				return !slices.Contains(hostspec.DestinationNames, s)
			})
		}
	}
	return nil
}

func missing(from, in []string) []string {
	return slices.DeleteFunc(slices.Clone(from), func(s string) bool { return slices.Contains(in, s) })
}

var generation = regexp.MustCompile(`^(.*)-([0-9]+)$`)

// generationOf splits the name of a generated secret; the first generation of some has no number.
func generationOf(name string) (base string, n int) {
	m := generation.FindStringSubmatch(name)
	if m == nil {
		return name, 1
	}
	n, _ = strconv.Atoi(m[2])
	return m[1], n
}

func generated(c Change) verdict {
	switch {
	case c.made():
		if base, n := generationOf(c.Name); n > 1 && strings.HasSuffix(base, "app-key") {
			return verdict{risk: DataAtRisk, gated: true, why: "a new SECRET_KEY: everybody is logged out, and nobody's TOTP " +
				"works any more (docs/guides/rotate-secrets.md)", back: revertConfig}
		}
		return verdict{why: "a new generated secret, or the next generation of one"}
	case c.Op == Delete:
		// Of these two generations are kept; of the others all, because what was encrypted with them may be needed.
		base, n := generationOf(c.Name)
		pair := strings.HasSuffix(base, "-login") || strings.HasSuffix(base, "-deploy-key") || strings.HasSuffix(base,
			"-host-key")
		if pair && c.stays[fmt.Sprintf("%s-%d", base, n+1)] {
			return verdict{why: "an old generation is dropped, and a newer one is there"}
		}
		fallthrough
	case c.Op == Replace:
		if strings.Contains(c.Name, "backup-password") {
			return verdict{risk: Irreversible, gated: true, why: "the password of the backups is lost: nobody reads them any " +
				"more, unless it was kept elsewhere"}
		}
		if strings.Contains(c.Name, "bootstrap-host-key") {
			return verdict{why: "the host key of a server's first boot; the one in use was never in user data"}
		}
		if c.Op == Replace && onlyChanges(c, "keepers") {
			return verdict{risk: Restart, why: "the secret is rotated, and rolled out with the update " +
				"(docs/guides/rotate-secrets.md)", back: "rotate again: the old value is gone"}
		}
		return verdict{risk: DataAtRisk, gated: true, why: "a secret that is in use is drawn anew without its rotation " +
			"(docs/guides/rotate-secrets.md): what was encrypted or signed with the old one is lost"}
	}
	return verdict{why: "the value stays"}
}

func marker(c Change) verdict {
	if c.Name == "guard" && (c.Op == Delete || c.Op == Replace) {
		return verdict{risk: DataAtRisk, gated: true, why: "the guard is met first by a destruction: everything else is to " +
			"follow"}
	}
	return verdict{why: "a marker; it holds nothing"}
}

func provider(c Change) verdict {
	if c.gone() {
		return verdict{risk: DataAtRisk, gated: true, why: "the connection to the cloud or to the host's Docker is " +
			"replaced, and everything behind it with it"}
	}
	return verdict{why: "how the program connects"}
}

// onlyChanges reports whether nothing but the properties, or what is below them, causes the step.
func onlyChanges(c Change, properties ...string) bool {
	return !slices.ContainsFunc(c.Properties, func(path string) bool {
		return !slices.ContainsFunc(properties, func(p string) bool {
			return path == p || strings.HasPrefix(path, p+".") || strings.HasPrefix(path, p+"[")
		})
	})
}

// alike compares a property of a service's container before and after.
func alike(c Change, property string) bool {
	if c.old == nil || c.new == nil {
		return false
	}
	path := "taskSpec.containerSpec." + property
	return reflect.DeepEqual(at(c.old.Inputs, path), at(c.new.Inputs, path))
}

// openToAll lists which of the shop's ports everybody may reach.
func openToAll(s *state) (ports []string) {
	if s == nil {
		return nil
	}
	rules, _ := s.Inputs["rules"].([]any)
	for _, r := range rules {
		rule, _ := r.(map[string]any)
		port, _ := rule["port"].(string)
		if rule["direction"] == "in" && slices.Contains(worldPorts, port) && worldwide(rule["sourceIps"]) &&
			!slices.Contains(ports, port) {
			ports = append(ports, port)
		}
	}
	return ports
}

func (c Change) made() bool { return c.Op == Create || c.Op == Import }
func (c Change) gone() bool { return c.Op == Replace || c.Op == Delete }

// changes reports whether one of the properties, or something below it, causes the step.
func changes(c Change, properties ...string) bool {
	return slices.ContainsFunc(c.Properties, func(path string) bool {
		return slices.ContainsFunc(properties, func(p string) bool {
			return path == p || strings.HasPrefix(path, p+".") || strings.HasPrefix(path, p+"[")
		})
	})
}

// same reports whether a property is there before and after, with one value.
func same(c Change, property string) bool {
	return c.old != nil && c.new != nil && c.old.Inputs[property] != nil && reflect.DeepEqual(c.old.Inputs[property],
		c.new.Inputs[property])
}

func number(s *state, property string) float64 {
	if s == nil {
		return 0
	}
	n, _ := s.Inputs[property].(float64)
	return n
}
