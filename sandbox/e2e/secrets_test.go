package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// given are values for every secret that a stack is given, each recognisable. A DSN is searched by
// its key, because the host in it is no secret.
var given = map[string]string{
	"sentryDsn": "https://canary0dsn5f0c1e@sentry.invalid/7", "smtpPassword": "canary-smtp-5f0c1e",
	"secretKey":           "canary-secret-key-5f0c1e-0123456789abcdef",
	"stripeSecretKeyLive": "sk_live_canary5f0c1e", "stripeSecretKeySandbox": "sk_test_canary5f0c1e",
	"stripeWebhookSecretLive": "whsec_canaryLive5f0c1e", "stripeWebhookSecretSandbox": "whsec_canarySandbox5f0c1e",
	"paypalClientSecretLive": "canary-paypal-live-5f0c1e", "paypalClientSecretSandbox": "canary-paypal-sandbox-5f0c1e",
	"netopiaApiKeyLive": "canary-netopia-live-5f0c1e", "netopiaApiKeySandbox": "canary-netopia-sandbox-5f0c1e",
	"netopiaPosSignatureLive": "canary-pos-live-5f0c1e", "netopiaPosSignatureSandbox": "canary-pos-sandbox-5f0c1e",
	"adminIpBypassToken": "canary-bypass-token-5f0c1e", "auditHashChainSecret": "canary-audit-chain-5f0c1e",
	"googleClientSecret": "canary-google-5f0c1e", "samedayApiPassword": "canary-sameday-5f0c1e",
	"fanApiPassword": "canary-fan-5f0c1e",
}

// plainBesides is what the given secrets ask for.
var plainBesides = map[string]map[string]any{
	"smtp":   {"enabled": true, "host": "smtp.invalid", "username": "shop", "from": "shop@momentstudio.test"},
	"paypal": {"enabled": true, "env": "sandbox", "clientIdSandbox": "client", "webhookIdSandbox": "hook"},
	"netopia": {"enabled": true, "env": "sandbox", "publicKeySandbox": "-----BEGIN PUBLIC " +
		"KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n"},
	"audit": {"hashChain": true}, "google": {"clientId": "client"}, "sameday": {"username": "shop"},
	"fan": {"username": "shop"},
}

// setSecret encrypts a value into the stack's file, through a pipe.
func (w *env) setSecret(key, value string) {
	w.t.Helper()
	cmd := exec.CommandContext(w.ctx, w.tools.CLI, "config", "set", "--stack", w.s.Stack, "--config-file",
		w.s.ConfigFile(),
		"--secret", "momentstudio:"+key, "--non-interactive")
	cmd.Dir, cmd.Env, cmd.Stdin = w.s.Project, w.s.Env(w.tools), strings.NewReader(value)
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("set %s: %v\n%s", key, err, out)
	}
}

// secretValues are what no message may show: what the stack made, and what opens the clouds.
func (w *env) secretValues() []string {
	w.t.Helper()
	return append(slices.Collect(maps.Values(w.generatedSecrets())), w.credentials()...)
}

// credentials are those that every run is given; the sandbox's passphrase is its name.
func (w *env) credentials() []string {
	w.t.Helper()
	return []string{w.variable("HCLOUD_TOKEN"), w.variable("CLOUDFLARE_API_TOKEN")}
}

// generatedSecrets reads the values that random and the clouds made, by resource.
func (w *env) generatedSecrets() map[string]string {
	w.t.Helper()
	var shown struct {
		Deployment struct {
			Resources []struct {
				URN     string         `json:"urn"`
				Outputs map[string]any `json:"outputs"`
			} `json:"resources"`
		} `json:"deployment"`
	}
	if err := json.Unmarshal([]byte(w.mustPulumi("stack", "export", "--show-secrets")), &shown); err != nil {
		w.t.Fatal(err)
	}
	found := map[string]string{}
	for _, r := range shown.Deployment.Resources {
		for _, field := range []string{"result", "secret"} {
			raw, _ := r.Outputs[field].(map[string]any)
			var value string
			if text, ok := raw["plaintext"].(string); ok && json.Unmarshal([]byte(text), &value) == nil && len(value) >= 16 {
				found[planStep{URN: r.URN}.name()] = value
			}
		}
	}
	return found
}

// canaries gives the stack every secret that it takes, and looks for them everywhere. The next update takes them away
// again.
func canaries(t *testing.T, w *env) {
	back := w.keepConfig()
	defer back()
	for group, values := range plainBesides {
		w.configureApp(group, values)
	}
	for _, key := range slices.Sorted(maps.Keys(given)) {
		w.setSecret(key, given[key])
	}
	shown := shownWithSecrets(t, w)
	values := w.everySecret()
	for where, text := range shown {
		if len(text) < 20 {
			t.Errorf("%s is empty: nothing was searched", where)
		}
		for name, value := range values {
			if strings.Contains(text, value) {
				t.Errorf("%s shows %s", where, name)
			}
		}
	}
	searchHost(t, w, values)
	got := w.host("stat -c '%a %u' /etc/momentstudio/secrets/* /etc/momentstudio/postgres/* | sort -u | tr '\\n' ' '")
	if got != "400 0 400 999" {
		t.Errorf("the secret files have modes and owners %q", got)
	}
	if r := newSite(t, w).get("https://momentstudio.test/api/v1/payments/capabilities"); r.status != http.StatusOK ||
		strings.Count(strings.ReplaceAll(r.body, " ", ""), `"configured":true`) != 4 { // the fourth is cash on delivery
		t.Errorf("the three ways of payment are not configured: %d %s", r.status, r.body)
	}
}

// shownWithSecrets is what people and machines read of a change that holds every secret.
func shownWithSecrets(t *testing.T, w *env) map[string]string {
	t.Helper()
	shown := map[string]string{
		"the preview's text": w.mustPulumi("preview", "--diff"),
		"the preview's JSON": w.mustPulumi("preview", "--json"),
	}
	events := filepath.Join(t.TempDir(), "events.json")
	preview := exec.CommandContext(w.ctx, w.tools.CLI, "preview", "--stack", w.s.Stack, "--config-file", w.s.ConfigFile(),
		"--non-interactive", "--event-log", events)
	preview.Dir, preview.Env = w.s.Project, append(w.s.Env(w.tools), "PULUMI_DEBUG_COMMANDS=true") // for --event-log
	if out, err := preview.CombinedOutput(); err != nil {
		t.Fatalf("pulumi preview: %v\n%s", err, tail(string(out), 20))
	}
	text, err := os.ReadFile(events)
	if err != nil {
		t.Fatal(err)
	}
	shown["the engine's events"] = string(text)
	_, shown["the update's log"] = w.up()
	shown["a backup's log"] = w.mustBackUp()
	shown["the diff after it"] = w.mustPulumi("preview", "--diff", "--expect-no-changes")
	shown["the state"] = w.mustPulumi("stack", "export")
	shown["the outputs"] = w.mustPulumi("stack", "output", "--json")
	site := newSite(t, w)
	shown["the browsers' configuration"] = site.get("https://momentstudio.test/assets/app-config.js").body
	shown["a page"] = site.get("https://momentstudio.test/").body
	shown["services, secrets and networks"] = w.host("docker service inspect $(docker service ls -q); docker secret ls " +
		"-q | xargs docker secret inspect; docker network inspect $(docker network ls -q); docker node inspect self")
	shown["containers, also finished ones"] = w.host("docker inspect $(docker ps -aq)")
	shown["logs of containers"] = w.host("for c in $(docker ps -aq); do docker logs $c 2>&1; done")
	shown["the journal"] = w.host("journalctl --no-pager --all -o cat")
	return shown
}

// everySecret holds the values of all secrets of the stack, by name.
func (w *env) everySecret() map[string]string {
	w.t.Helper()
	values := map[string]string{}
	maps.Copy(values, w.generatedSecrets())
	// The entrypoint of Postgres leaves it in the server's environment: it must be dead.
	if w.logsIn("postgres", values["secrets-superuser-first"]) {
		w.t.Error("the superuser still has the password of the first initialisation")
	}
	delete(values, "secrets-superuser-first")
	for key, value := range given {
		if key == "sentryDsn" {
			value = "canary0dsn5f0c1e"
		}
		values[key] = value
	}
	for _, d := range w.backupSpec().Destinations {
		if u, err := url.Parse(strings.TrimPrefix(d.Repository, "rest:")); err == nil && u.User != nil {
			values["backupRestPassword"], _ = u.User.Password()
		}
		if key := d.Env["AWS_SECRET_ACCESS_KEY"]; key != "" {
			values["backupS3SecretKey"] = key
		}
	}
	if len(values) < 13+18+2 {
		w.t.Fatalf("only %d secrets are known", len(values))
	}
	return values
}

// searchHost looks for the values in what /proc shows of processes, and in every file of the host outside the places
// that are meant for secrets. The patterns lie in memory while it searches.
func searchHost(t *testing.T, w *env, values map[string]string) {
	w.hostInput("cat > /run/patterns", strings.Join(slices.Sorted(maps.Values(values)), "\n")+"\n")
	defer w.host("rm -f /run/patterns")
	if got := w.host("grep -cFf /run/patterns /etc/momentstudio/secrets/app.env"); got < "9" && len(got) == 1 {
		t.Fatalf("the search finds %s lines of the application's own file: it proves nothing", got)
	}
	for where, command := range map[string]string{
		"environments and command lines": "cd /proc && grep -laFf /run/patterns [0-9]*/environ [0-9]*/cmdline 2>/dev/null",
		"cloud-init's data":              "grep -rlaFf /run/patterns /var/lib/cloud /run/cloud-init 2>/dev/null",
		"files of the host": "grep -rlaFf /run/patterns /etc /root /home /tmp /var/tmp /var/log /usr/local /opt /srv " +
			"2>/dev/null" +
			" | grep -v -e ^/etc/momentstudio/secrets/ -e ^/etc/momentstudio/postgres/",
		"the data volume": "grep -rlaFf /run/patterns /mnt/momentstudio --exclude-dir=pg_wal --exclude-dir=base " +
			"2>/dev/null",
		"layers and metadata": "grep -rlaFf /run/patterns /var/lib/docker/containers /var/lib/docker/image " +
			"/var/lib/docker/volumes /var/lib/docker/network --exclude-dir=mounts 2>/dev/null; grep -rlaFf /run/patterns " +
			"/var/lib/docker/overlay2 --exclude-dir=merged 2>/dev/null",
	} {
		if got := w.host("LC_ALL=C; export LC_ALL; " + command + " | head -20; true"); got != "" {
			t.Errorf("%s hold secrets in clear:\n%s", where, got)
		}
	}
}

// configureApp sets fields of one group of the application's settings.
func (w *env) configureApp(group string, values map[string]any) {
	w.t.Helper()
	app := w.configured("app")
	fields, _ := app[group].(map[string]any)
	if fields == nil {
		fields = map[string]any{}
	}
	maps.Copy(fields, values)
	w.configure("app", group, fields)
}

// hostInput runs a command on the host with an input.
func (w *env) hostInput(command, input string) {
	w.t.Helper()
	cmd := exec.CommandContext(w.ctx, "docker", "exec", "-i", w.hostID(), "sh", "-c", command)
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("on the host, %s: %v\n%s", command, err, out)
	}
}

// python runs a script in the newest backend task.
func (w *env) python(script string) string {
	w.t.Helper()
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(w.ctx, "docker", "exec", "-i", w.hostID(), "sh", "-c",
		"docker exec -i $(docker ps -q --filter name=momentstudio-backend. | head -1) python -")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(script), &out, &errOut
	if err := cmd.Run(); err != nil {
		w.t.Fatalf("in the backend: %v\n%s", err, tail(errOut.String(), 10))
	}
	return strings.TrimSpace(out.String())
}

// logsIn reports whether the database lets a role in with a password, over the app network.
func (w *env) logsIn(role, password string) bool {
	w.t.Helper()
	got := w.python(fmt.Sprintf(`
import asyncio, asyncpg
async def main():
    try:
        c = await asyncpg.connect(host="postgres", user=%q, password=%q, database="adrianaart", timeout=10)
        await c.close()
        print("in")
    except (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError):
        print("refused")
asyncio.run(main())
`, role, password))
	if got != "in" && got != "refused" {
		w.t.Fatalf("a login of %s ends with %q", role, got)
	}
	return got == "in"
}

// sshWith reports what ssh says with one key and one list of host keys, nothing else.
func (w *env) sshWith(key, knownHosts string) (string, error) {
	w.t.Helper()
	dir := w.t.TempDir()
	for name, text := range map[string]string{"key": key, "known_hosts": knownHosts} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	out, err := exec.CommandContext(w.ctx, "ssh", "-F", "/dev/null", "-i", filepath.Join(dir, "key"), "-o",
		"IdentitiesOnly=yes",
		"-o", "StrictHostKeyChecking=yes", "-o", "GlobalKnownHostsFile=/dev/null", "-o", "UserKnownHostsFile="+
			filepath.Join(dir, "known_hosts"), "-o", "HostKeyAlgorithms=ssh-ed25519",
		"-o", "PasswordAuthentication=no", "-o", "ConnectTimeout=10", "root@"+w.address(), "true").CombinedOutput()
	return string(out), err
}

// rotation is what a rotation of every secret needs of the values before it.
type rotation struct {
	next           map[string]any // the generations that it raises to
	login, hostKey int            // generations of before
	backupSuffix   string         // of the name of the backup password's resource: none in the first generation
	user           string         // who has a session
	token          string         // the session
	before         map[string]string
	deployKey      string
	knownHosts     string
	postgres       string // the server's container
	backupPassword string
}

// rotations raise every generated secret's generation while visitors are there. Each old value must
// be worth nothing afterwards, in the sense of docs/guides/rotate-secrets.md.
func rotations(t *testing.T, w *env) {
	w.openToCrowd()
	w.giveStaff()
	r := beforeRotation(t, w)

	crowd := startLoad(t, w, "rotations")
	for _, name := range []string{"tokens", "databaseLogin", "superuser", "deployKey", "hostKey", "backupPassword"} {
		w.configure("secrets", name, r.next[name])
	}
	r.rotateAppKey(t, w)
	crowd.stop(t, w, 500)
	if got := w.session(r.token); got != http.StatusUnauthorized {
		t.Errorf("a session of the old SECRET_KEY is answered %d, want 401", got)
	}
	if got := w.session(w.bearer(r.user)); got != http.StatusOK {
		t.Errorf("a session of the new SECRET_KEY is answered %d, want 200", got)
	}
	after := w.generatedSecrets()
	r.checkState(t, after)
	r.checkLogins(t, w, after)
	r.checkKeys(t, w)
	const preview = "secrets-preview-token"
	got := w.python("from app.core.config import settings; print(settings.content_preview_token)")
	if got != after[preview] || got == r.before[preview] {
		t.Error("the application does not have the new preview token")
	}
	r.checkBackups(t, w, after[fmt.Sprintf("secrets-backup-password-%d", r.next["backupPassword"])])
	w.oldBypassToken = r.before["secrets-maintenance-token"]
	w.configure("secrets", "hostKeyDropped", r.hostKey) // with the next update
	generation, _ := w.configured("host")["generation"].(int)
	w.configure("host", "bootstrapKeyDropped", max(generation, 1))
}

// bearer is a session of a user, made by the application itself.
func (w *env) bearer(user string) string {
	w.t.Helper()
	return w.python(fmt.Sprintf(`from app.core.security import create_access_token as c; print(c("%s"))`, user))
}

// session is the status with which the API answers a session.
func (w *env) session(token string) int {
	w.t.Helper()
	site := newSite(w.t, w)
	site.token = token
	return site.get("https://momentstudio.test/api/v1/auth/me").status
}

// clientFile is one of the files with which this clone logs in to the host.
func (w *env) clientFile(name string) string {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join(w.s.Project, ".momentstudio", w.s.Stack, "ssh", name))
	if err != nil {
		w.t.Fatal(err)
	}
	return string(text)
}

// beforeRotation notes every old value, and checks that each works.
func beforeRotation(t *testing.T, w *env) rotation {
	t.Helper()
	r := rotation{
		next: w.nextGenerations("tokens", "appKey", "databaseLogin", "superuser", "deployKey", "hostKey",
			"backupPassword"),
		login: w.generation("databaseLogin"), hostKey: w.generation("hostKey"),
		user: w.sql("SELECT id FROM users WHERE email = 'content@example.com'"), before: w.generatedSecrets(),
		deployKey: w.clientFile("id_ed25519"), knownHosts: w.clientFile("known_hosts"),
		postgres: w.host("docker ps -q --filter name=momentstudio-postgres."),
	}
	if n := w.generation("backupPassword"); n > 1 {
		r.backupSuffix = "-" + strconv.Itoa(n)
	}
	r.token = w.bearer(r.user)
	if got := w.session(r.token); got != http.StatusOK {
		t.Fatalf("a session does not work before the rotation: %d", got)
	}
	if out, err := w.sshWith(r.deployKey, r.knownHosts); err != nil {
		t.Fatalf("the deploy key does not work before the rotation: %v: %s", err, out)
	}
	if !w.logsIn(w.login(r.login), r.before[r.oldLogin()]) || !w.logsIn("postgres", r.before["secrets-superuser"]) {
		t.Fatal("the database's passwords do not work before the rotation")
	}
	w.mustBackUp()
	r.backupPassword = w.backupSpec().Password
	if got := w.opensBackups(r.backupPassword); len(got) != 3 {
		t.Fatalf("the backups' password opens %q before the rotation", got)
	}
	return r
}

// oldLogin names the resource of the database login's old password.
func (r rotation) oldLogin() string { return fmt.Sprintf("secrets-login-%d", r.login) }

// rotateAppKey updates with a new SECRET_KEY, which needs an acknowledgement.
func (r rotation) rotateAppKey(t *testing.T, w *env) {
	w.configure("secrets", "appKey", r.next["appKey"])
	if out, err := w.pulumi("preview"); err == nil || !strings.Contains(out, "every TOTP enrolment is lost") {
		t.Errorf("a new SECRET_KEY is not refused without an acknowledgement: %v\n%s", err, tail(out, 10))
	}
	w.configure("secrets", "appKeyAcknowledged", r.next["appKey"])
	w.mustUpdate()
}

// checkState checks which of the values in the state are new, kept and gone.
func (r rotation) checkState(t *testing.T, after map[string]string) {
	deployKey := r.next["deployKey"].(int)
	for name, fresh := range map[string]bool{ // whether the rotation made another value
		"secrets-superuser": true, "secrets-bootstrap-host-key": false,
		"secrets-backup-password": false, "secrets-app-key": false, // kept for good: what they encrypted may be needed
		// kept until the next generation
		r.oldLogin(): false, fmt.Sprintf("secrets-host-key-%d", r.hostKey): false,
		fmt.Sprintf("secrets-deploy-key-%d", deployKey-1): false,
	} {
		if r.before[name] == "" || after[name] == "" || (after[name] != r.before[name]) != fresh {
			t.Errorf("%s has another value: %v, want %v", name, after[name] != r.before[name], fresh)
		}
	}
	newPassword := after[fmt.Sprintf("secrets-backup-password-%d", r.next["backupPassword"])]
	if newPassword == "" || newPassword == after["secrets-backup-password"+r.backupSuffix] {
		t.Error("the backup password has no next generation")
	}
	for _, gone := range []string{
		fmt.Sprintf("secrets-login-%d", r.login-1), fmt.Sprintf("secrets-host-key-%d", r.hostKey-1),
		fmt.Sprintf("secrets-deploy-key-%d", deployKey-2),
	} {
		if after[gone] != "" {
			t.Errorf("%s is still in the state", gone)
		}
	}
}

// checkLogins checks that the database takes the new passwords only, and was not restarted for them.
func (r rotation) checkLogins(t *testing.T, w *env, after map[string]string) {
	for role, password := range map[string]string{
		w.login(r.login): r.before[r.oldLogin()],
		"postgres":       r.before["secrets-superuser"],
	} {
		if w.logsIn(role, password) {
			t.Errorf("%s still logs in with its old password", role)
		}
	}
	for role, password := range map[string]string{
		w.login(r.login + 1): after[fmt.Sprintf("secrets-login-%d", r.login+1)],
		"postgres":           after["secrets-superuser"],
	} {
		if !w.logsIn(role, password) {
			t.Errorf("%s does not log in with its new password", role)
		}
	}
	if got := w.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = '" + w.login(r.login) + "'"); got != "0" {
		t.Errorf("%s connections of the old login are left", got)
	}
	if got := w.host("docker ps -q --filter name=momentstudio-postgres."); got != r.postgres {
		t.Error("Postgres was restarted for a new password")
	}
	if got := w.host("ls /etc/momentstudio/postgres"); got != "superuser\nsuperuser-first" {
		t.Errorf("old passwords are left on the host: %q", got)
	}
}

// checkKeys checks that the host takes the new deploy key only, and shows its new host key.
func (r rotation) checkKeys(t *testing.T, w *env) {
	newKey, bothHosts := w.clientFile("id_ed25519"), w.clientFile("known_hosts")
	if out, err := w.sshWith(newKey, bothHosts); err != nil {
		t.Errorf("the new deploy key does not work: %v: %s", err, out)
	}
	if out, err := w.sshWith(r.deployKey, bothHosts); err == nil || !strings.Contains(out, "Permission denied") {
		t.Errorf("the old deploy key still opens the host: %v: %s", err, out)
	}
	if out, err := w.sshWith(newKey, r.knownHosts); err == nil || !strings.Contains(out, "verification failed") {
		t.Errorf("the host still shows its old key: %v: %s", err, out)
	}
}

// checkBackups checks that the next backup replaces its password wherever it may.
func (r rotation) checkBackups(t *testing.T, w *env, newPassword string) {
	out := w.mustBackUp()
	stays := regexp.MustCompile("s3: the new password works, and the old one still does: its key ([0-9a-f]{8}) could " +
		"not").FindStringSubmatch(out)
	if strings.Count(out, "replacing the password") != 3 || !strings.Contains(out, "rest: the new password works, and "+
		"the old one still does") || stays == nil {
		t.Fatalf("the backup after the rotation says:\n%s", tail(out, 30))
	}
	if got := w.opensBackups(r.backupPassword); !slices.Equal(got, []string{"rest", "s3"}) { // they only take additions
		t.Errorf("the backups' old password opens %q", got)
	}
	if out, err := w.ownerRestic(newPassword, "key remove "+stays[1]); err != nil {
		t.Errorf("the bucket's owner removes the old key: %v\n%s", err, out)
	}
	if got := w.opensBackups(r.backupPassword); !slices.Equal(got, []string{"rest"}) {
		t.Errorf("the backups' old password opens %q", got)
	}
	if got := w.opensBackups(newPassword); len(got) != 3 {
		t.Errorf("the backups' new password opens %q", got)
	}
}

// generation is the generation of a secret in the stack's file.
func (w *env) generation(secret string) int {
	n, _ := w.configured("secrets")[secret].(int)
	return max(n, 1)
}

// nextGenerations is the stack's group of secrets with some of them raised.
func (w *env) nextGenerations(names ...string) map[string]any {
	raised := maps.Clone(w.configured("secrets"))
	if raised == nil {
		raised = map[string]any{}
	}
	for _, name := range names {
		raised[name] = w.generation(name) + 1
	}
	return raised
}

// login is the database role of a generation of its login: they take turns.
func (w *env) login(generation int) string {
	if generation%2 == 0 {
		return "momentstudio_b"
	}
	return "momentstudio_a"
}

// afterRotations looks at what the next updates make of them: it asks a shop in maintenance with the
// bypass tokens of before and after, and reads which host keys are still pinned. It does nothing when
// the rotations were not run.
func (w *env) afterRotations() {
	w.t.Helper()
	if w.oldBypassToken == "" {
		return
	}
	defer func() { w.oldBypassToken = "" }()
	known, err := os.ReadFile(filepath.Join(w.s.Project, ".momentstudio", w.s.Stack, "ssh", "known_hosts"))
	if got := strings.Fields(string(known)); err != nil || len(got) != 3 {
		w.t.Errorf("%d words are pinned, want one key: %q (%v)", len(got), got, err)
	}
	for token, want := range map[string]int{
		w.oldBypassToken: http.StatusServiceUnavailable, w.generatedSecrets()["secrets-maintenance-token"]: http.StatusOK,
	} {
		r := newSite(w.t, w).do(http.MethodGet, "https://momentstudio.test/api/v1/theme", "", nil,
			map[string]string{"X-Maintenance-Bypass": token})
		if r.status != want {
			w.t.Errorf("a bypass token is answered %d, want %d", r.status, want)
		}
	}
}
