// Package importenv reads the three settings files of the hand-made deployment (backend/.env,
// frontend/.env, infra/prod/.env) and says what of them becomes config of a stack, what becomes one
// of its secrets, and what is dropped and why. Nothing is lost in silence: every name that a file
// holds has an entry in the result. It writes nothing and never shows a secret.
package importenv

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/template"

	"github.com/prekzursil/momentstudio-infra/internal/appsettings"
)

// Files are the paths of the three files; an empty one is not read.
type Files struct {
	Backend, Frontend, Infra string
}

// Outcome is what becomes of one name.
type Outcome string

// The outcomes.
const (
	Set     Outcome = "set"     // a plain value of the stack's file
	Secret  Outcome = "secret"  // an encrypted value of the stack's file
	Default Outcome = "default" // the stack's default already
	Dropped Outcome = "dropped"
)

// Entry is one name of one file.
type Entry struct {
	File    string // "backend", "frontend" or "infra"
	Name    string
	Outcome Outcome
	Key     string // config key without namespace, of what is set
	Why     string // of what is dropped; also what to mind about what is set
	value   any    // of what is set
	secret  string // of what becomes a secret
}

// Result is the outcome of an import.
type Result struct {
	Entries []Entry // sorted by file and name
}

// Plain returns the plain values by config key.
func (r Result) Plain() map[string]any {
	out := map[string]any{}
	for _, e := range r.Entries {
		if e.Outcome == Set {
			out[e.Key] = e.value
		}
		if e.Outcome == Secret && e.Key == "databaseUrl" {
			out["postgres.mode"] = "external"
		}
	}
	return out
}

// Secrets returns the secret values by config key: print none of them.
func (r Result) Secrets() map[string]string {
	out := map[string]string{}
	for _, e := range r.Entries {
		if e.Outcome == Secret {
			out[e.Key] = e.secret
		}
	}
	return out
}

// ErrLocalProfile means that a file is a profile for local development.
var ErrLocalProfile = errors.New("this is a profile for local development, not a server's settings")

// Read reads the files and decides on every name in them.
func Read(files Files) (Result, error) {
	im := &importer{
		values: map[string]map[string]string{}, taken: map[string]string{},
		settings: map[string][]appsettings.Setting{}, special: specialNames(),
	}
	for _, f := range []struct{ name, path string }{
		{"backend", files.Backend},
		{"frontend", files.Frontend},
		{"infra", files.Infra},
	} {
		if f.path == "" {
			continue
		}
		values, err := parse(f.path)
		if err != nil {
			return Result{}, err
		}
		im.values[f.name] = values
	}
	if err := im.refuseLocalProfile(files); err != nil {
		return Result{}, err
	}
	im.backendDir = filepath.Dir(files.Backend)
	for _, s := range appsettings.Catalogue() {
		im.settings[s.Name] = append(im.settings[s.Name], s)
	}
	// Names that say the value plainly come before legacy ones, which then find the place taken.
	for _, legacy := range []bool{false, true} {
		for _, file := range []string{"backend", "frontend", "infra"} {
			for _, name := range slices.Sorted(maps.Keys(im.values[file])) {
				if isLegacy(name) == legacy {
					im.entry(file, name, strings.TrimSpace(im.values[file][name]))
				}
			}
		}
	}
	slices.SortFunc(im.result.Entries, func(a, b Entry) int {
		return strings.Compare(a.File+" "+a.Name,
			b.File+" "+b.Name)
	})
	return im.result, nil
}

var (
	assignment = regexp.MustCompile(`^\s*(export\s+)?[A-Za-z_][A-Za-z0-9_.]*\s*[=:]`)
	// reference is a variable without a default; literal is one that requireReferences changed and nothing expanded.
	reference = regexp.MustCompile(`\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})`)
	literal   = regexp.MustCompile(`\$\{([A-Za-z_]\w*)\?([\x{E000}\x{E001}])\}`)
)

// parse reads one file the way Compose does, but fails where Compose would read an unset variable as empty. Its
// errors quote no value.
func parse(path string) (map[string]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the settings: %w", err)
	}
	text = bytes.ReplaceAll(bytes.TrimPrefix(text, []byte("\ufeff")), []byte("\r\n"), []byte("\n"))
	lines := strings.Split(string(text), "\n")
	asked, missing := map[string]bool{}, map[string]bool{}
	lookup := func(name string) (string, bool) {
		asked[name] = true
		return "unset", missing[name] // not empty, which ${X:?} refuses too
	}
	for {
		values, err := dotenv.UnmarshalWithLookup(requireReferences(string(text))+"\n", lookup)
		var unset *template.MissingRequiredError
		switch {
		case errors.As(err, &unset):
			missing[unset.Variable] = true // read on, to report all of them at once
			continue
		case err != nil:
			return nil, syntaxError(path, lines, err)
		case len(missing) > 0:
			return nil, fmt.Errorf("%s uses variables that it does not set before: %s. Fix: write their values in their place; "+
				"put a value with a literal $ in single quotes", path, strings.Join(slices.Sorted(maps.Keys(missing)), ", "))
		}
		for i, line := range lines {
			name := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "export "))
			if _, set := values[name]; asked[name] && !set { // Compose would take it from its own environment
				return nil, notAssignment(path, i)
			}
		}
		for name, value := range values {
			values[name] = restoreReferences(value)
		}
		return values, nil
	}
}

// requireReferences writes $X and ${X} as ${X?}, which fails when X is unset. A mark keeps apart which form it was.
func requireReferences(text string) string {
	return reference.ReplaceAllStringFunc(text, func(found string) string {
		if name, braced := strings.CutPrefix(found, "${"); braced {
			return "${" + strings.TrimSuffix(name, "}") + "?\ue001}"
		}
		return "${" + found[1:] + "?\ue000}"
	})
}

// restoreReferences undoes requireReferences where the text was literal: in single quotes, or behind another $.
func restoreReferences(value string) string {
	return literal.ReplaceAllStringFunc(value, func(found string) string {
		m := literal.FindStringSubmatch(found)
		if m[2] == "\ue001" {
			return "${" + m[1] + "}"
		}
		return "$" + m[1]
	})
}

func syntaxError(path string, lines []string, err error) error {
	for i, line := range lines {
		if trimmed := strings.TrimSpace(line); trimmed != "" && trimmed[0] != '#' && !assignment.MatchString(line) {
			return notAssignment(path, i)
		}
	}
	var invalid *template.InvalidTemplateError
	if errors.As(err, &invalid) {
		return fmt.Errorf("%s: a ${ that does not begin a variable. Fix: put a value with a literal $ in single quotes", path)
	}
	return fmt.Errorf("%s: not a file of NAME=value lines (a quote that is not closed?)", path)
}

func notAssignment(path string, line int) error {
	return fmt.Errorf("%s:%d: not a line of the form NAME=value", path, line+1)
}

type importer struct {
	values     map[string]map[string]string // file -> name -> value
	settings   map[string][]appsettings.Setting
	taken      map[string]string // config key -> where its value came from
	special    map[string]handler
	backendDir string
	result     Result
}

func (im *importer) value(file, name string) string {
	return strings.TrimSpace(im.values[file][name])
}

// refuseLocalProfile recognises the profiles that the application's own switcher makes.
func (im *importer) refuseLocalProfile(files Files) error {
	var signs []string
	sign := func(file, path, name string, is bool) {
		if is {
			signs = append(signs, fmt.Sprintf("%s: %s=%s", path, name, im.value(file, name)))
		}
	}
	env := strings.ToLower(im.value("backend", "ENVIRONMENT"))
	sign("backend", files.Backend, "ENVIRONMENT", slices.Contains([]string{"local", "development", "dev"}, env))
	sign("backend", files.Backend, "PAYMENTS_PROVIDER", im.value("backend", "PAYMENTS_PROVIDER") == "mock")
	origin := im.value("backend", "FRONTEND_ORIGIN")
	sign("backend", files.Backend, "FRONTEND_ORIGIN", strings.Contains(origin, "localhost") ||
		strings.Contains(origin, "127.0.0.1"))
	sign("frontend", files.Frontend, "APP_ENV", im.value("frontend", "APP_ENV") == "development")
	if len(signs) == 0 {
		return nil
	}
	return fmt.Errorf("%w; its signs:\n  - %s\nTake the files from the server", ErrLocalProfile,
		strings.Join(signs, "\n  - "))
}

func (im *importer) add(e Entry) { im.result.Entries = append(im.result.Entries, e) }

func (im *importer) drop(file, name, why string) {
	im.add(Entry{File: file, Name: name, Outcome: Dropped, Why: why})
}

// entry decides on one name.
func (im *importer) entry(file, name, value string) {
	switch {
	case value == "":
		im.drop(file, name, "it is empty, which means: not set")
		return
	case strings.HasSuffix(value, "_placeholder"):
		im.drop(file, name, "it is a placeholder, which the shop treats as not set")
		return
	}
	if handle, ok := im.special[file+" "+name]; ok {
		handle(im, file, name, value)
		return
	}
	if legacy, ok := legacyNames[name]; ok && file == "backend" {
		im.legacy(name, value, legacy)
		return
	}
	if s, ok := im.find(file, name); ok {
		im.setting(file, name, value, s)
		return
	}
	if why := appsettings.NotSet(name); why != "" {
		im.drop(file, name, why)
		return
	}
	switch {
	case file != "backend":
		im.drop(file, name, "nothing that this program deploys reads it")
	case appsettings.LooksSecret(name):
		im.drop(file, name, "it is unknown, and by its name a secret: if the shop needs it, the catalogue needs an entry")
	default:
		im.set(file, name, "app.extra."+name, value, "it is unknown to the catalogue and passed on as it is")
	}
}

// find returns the setting that a name of a file means: the frontend's file shares names with the
// backend's that mean another value there.
func (im *importer) find(file, name string) (appsettings.Setting, bool) {
	for _, s := range im.settings[name] {
		if (s.Readers&appsettings.Frontend != 0) == (file == "frontend") || s.Key == "" {
			return s, true
		}
	}
	return appsettings.Setting{}, false
}

func (im *importer) setting(file, name, text string, s appsettings.Setting) {
	if s.Key == "" {
		im.drop(file, name, "the program sets it: "+strings.ReplaceAll(s.From, "`", ""))
		return
	}
	if s.Class == appsettings.Secret {
		im.secret(file, name, s.Key, text, "")
		return
	}
	value, err := convert(s.Kind, text, file == "frontend")
	if err != nil {
		im.drop(file, name, fmt.Sprintf("its value is not %s, so the shop would not have started with it; set %s by hand",
			err, s.Key))
		return
	}
	if s.Default != "" && fmt.Sprint(value) == fmt.Sprint(mustConvert(s)) {
		im.add(Entry{File: file, Name: name, Outcome: Default, Key: s.Key})
		return
	}
	im.set(file, name, s.Key, value, "")
}

func (im *importer) set(file, name, key string, value any, note string) {
	if from, ok := im.taken[key]; ok {
		im.drop(file, name, fmt.Sprintf("%s has its value from %s", key, from))
		return
	}
	im.taken[key] = file + "'s " + name
	im.add(Entry{File: file, Name: name, Outcome: Set, Key: key, Why: note, value: value})
}

func (im *importer) secret(file, name, key, value, note string) {
	if from, ok := im.taken[key]; ok {
		im.drop(file, name, fmt.Sprintf("%s has its value from %s", key, from))
		return
	}
	im.taken[key] = file + "'s " + name
	im.add(Entry{File: file, Name: name, Outcome: Secret, Key: key, Why: note, secret: value})
}

// convert reads a value as the application does (app-contract §1.5, §2.1). The error ends "is not …".
func convert(kind, text string, frontend bool) (any, error) {
	switch kind {
	case "switch":
		switch strings.ToLower(text) {
		case "1", "true", "yes", "on", "y":
			return true, nil
		case "0", "false", "no", "off", "n":
			return false, nil
		}
		if frontend {
			return false, nil
		}
		return nil, errors.New("a switch")
	case "number":
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, errors.New("a whole number")
		}
		return n, nil
	case "share":
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, errors.New("a number")
		}
		return n, nil
	case "list":
		list := []string{}
		if frontend {
			for _, item := range strings.Split(text, ",") {
				if item = strings.TrimSpace(item); item != "" {
					list = append(list, item)
				}
			}
			return list, nil
		}
		if json.Unmarshal([]byte(text), &list) != nil {
			return nil, errors.New("a JSON list of texts")
		}
		return list, nil
	}
	return text, nil
}

func mustConvert(s appsettings.Setting) any {
	if s.Kind == "list" {
		return []string{}
	}
	value, err := convert(s.Kind, s.Default, false)
	if err != nil {
		panic(fmt.Sprintf("default of %s: %v", s.Key, err)) // a mistake in the catalogue, found by every test
	}
	return value
}

// legacyName is a name without an environment, or an older name of the sandbox.
type legacyName struct {
	switches string // the name that selects the environment; empty: always the sandbox
	key      string // config key without its Live or Sandbox
	secret   bool
}

var legacyNames = map[string]legacyName{
	"STRIPE_SECRET_KEY": {"STRIPE_ENV", "stripeSecretKey", true}, "STRIPE_SECRET_KEY_TEST": {"", "stripeSecretKey", true},
	"STRIPE_WEBHOOK_SECRET": {"STRIPE_ENV", "stripeWebhookSecret", true}, "STRIPE_WEBHOOK_SECRET_TEST": {
		"",
		"stripeWebhookSecret", true,
	},
	"STRIPE_PUBLISHABLE_KEY": {"STRIPE_ENV", "app.stripe.publishableKey", false}, "STRIPE_PUBLISHABLE_KEY_TEST": {
		"",
		"app.stripe.publishableKey", false,
	},
	"PAYPAL_CLIENT_ID": {"PAYPAL_ENV", "app.paypal.clientId", false}, "PAYPAL_CLIENT_SECRET": {
		"PAYPAL_ENV",
		"paypalClientSecret", true,
	},
	"PAYPAL_WEBHOOK_ID": {"PAYPAL_ENV", "app.paypal.webhookId", false},
	"NETOPIA_API_KEY":   {"NETOPIA_ENV", "netopiaApiKey", true}, "NETOPIA_POS_SIGNATURE": {
		"NETOPIA_ENV",
		"netopiaPosSignature", true,
	},
}

// isLegacy reports whether a name gives way to another that says the environment too.
func isLegacy(name string) bool {
	_, is := legacyNames[name]
	return is || name == "NETOPIA_PUBLIC_KEY_PEM" || name == "NETOPIA_PUBLIC_KEY_PATH"
}

// live reports whether the backend's file selects the live environment by the given name.
func (im *importer) live(name string) bool {
	switch strings.ToLower(im.value("backend", name)) {
	case "live", "prod", "production":
		return true
	}
	return false
}

func (im *importer) legacy(name, value string, l legacyName) {
	key := l.key + "Sandbox"
	if l.switches != "" && im.live(l.switches) {
		key = l.key + "Live"
	}
	note := "a legacy name; its value moved to " + key
	if l.secret {
		im.secret("backend", name, key, value, note)
	} else {
		im.set("backend", name, key, value, note)
	}
}

type handler func(im *importer, file, name, value string)

// specialNames are the names whose value decides more than itself, by file and name.
func specialNames() map[string]handler {
	drop := func(why string) handler {
		return func(im *importer, file, name, _ string) { im.drop(file, name, why) }
	}
	as := func(key string) handler {
		return func(im *importer, file, name, value string) { im.set(file, name, key, value, "") }
	}
	return map[string]handler{
		"infra PUBLIC_DOMAIN":                     as("domain"),
		"infra CADDY_EMAIL":                       as("tls.email"),
		"infra APP_SLUG":                          drop("names follow from the stack"),
		"infra SYSTEMD_SERVICE_PREFIX":            drop("units have fixed names"),
		"infra COMPOSE_PROJECT_NAME":              drop("there is no Compose project any more"),
		"infra POSTGRES_USER":                     drop("the application gets login roles of its own"),
		"infra POSTGRES_PASSWORD":                 drop("passwords are generated; the old one stays in the old database"),
		"infra FORWARDED_ALLOW_IPS":               drop("the shop trusts the app network and nothing else"),
		"infra BACKUP_RETENTION_DAYS":             drop("backups are no part of this program yet: keep the old ones"),
		"infra BACKUP_RETENTION_COUNT":            drop("backups are no part of this program yet: keep the old ones"),
		"infra RUN_POST_SYNC_VERIFY":              drop("every update is checked"),
		"infra RUN_GSC_INDEXING_CHECKLIST":        drop("the checklist is no part of an update"),
		"infra RUN_DB_MIGRATIONS_ON_DEPLOY":       drop("every release migrates, in a job of its own"),
		"infra REDIS_URL":                         drop("the stack has its own Redis"),
		"backend REDIS_URL":                       drop("the stack has its own Redis; queued media jobs do not move"),
		"backend MAINTENANCE_BYPASS_TOKEN":        drop("generated anew: the old one stops working"),
		"backend CONTENT_PREVIEW_TOKEN":           drop("generated anew: the old one stops working"),
		"backend TURNSTILE_SECRET_KEY":            drop("the stack makes a widget of its own"),
		"frontend CAPTCHA_SITE_KEY":               drop("the stack makes a widget of its own"),
		"backend ADMIN_IP_HEADER":                 drop("the edge passes the client's address in a header of its own"),
		"infra POSTGRES_DB":                       postgresDB,
		"backend DATABASE_URL":                    databaseURL,
		"backend FRONTEND_ORIGIN":                 origin,
		"backend PUBLIC_BASE_URL":                 drop("follows from domain"),
		"backend SECRET_KEY":                      secretKey,
		"backend ENVIRONMENT":                     environment,
		"backend PAYMENTS_PROVIDER":               payments,
		"backend STRIPE_ENV":                      selects("app.stripe.env"),
		"backend PAYPAL_ENV":                      selects("app.paypal.env"),
		"backend NETOPIA_ENV":                     selects("app.netopia.env"),
		"frontend NETOPIA_ENABLED":                frontendNetopia,
		"backend NETOPIA_PUBLIC_KEY_PEM":          publicKey,
		"backend NETOPIA_PUBLIC_KEY_PEM_LIVE":     publicKey,
		"backend NETOPIA_PUBLIC_KEY_PEM_SANDBOX":  publicKey,
		"backend NETOPIA_PUBLIC_KEY_PATH":         publicKey,
		"backend NETOPIA_PUBLIC_KEY_PATH_LIVE":    publicKey,
		"backend NETOPIA_PUBLIC_KEY_PATH_SANDBOX": publicKey,
		"infra MEDIA_DAM_TRASH_RETENTION_DAYS":    likeBackend,
		"infra MEDIA_DAM_RETRY_MAX_ATTEMPTS":      likeBackend,
		"infra MEDIA_DAM_RETRY_SWEEP_SECONDS":     likeBackend,
	}
}

// likeBackend handles a name that the production file repeats from the backend's.
func likeBackend(im *importer, file, name, value string) {
	if s, ok := im.find("backend", name); ok {
		im.setting(file, name, value, s)
	}
}

func postgresDB(im *importer, file, name, value string) {
	if value == "adrianaart" {
		im.drop(file, name, "the stack's database has this name")
		return
	}
	im.drop(file, name, "the stack's database is named adrianaart: restore the old one's dump into it")
}

func databaseURL(im *importer, file, name, value string) {
	u, err := url.Parse(value)
	if err != nil || u.Hostname() == "" || slices.Contains([]string{"db", "postgres", "localhost", "127.0.0.1"},
		u.Hostname()) {
		im.drop(file, name, "the stack has its own database, with generated passwords: move the data with a dump")
		return
	}
	im.secret(file, name, "databaseUrl", value, "the database is on another host, so postgres.mode becomes external")
}

func origin(im *importer, file, name, value string) {
	host := strings.TrimPrefix(strings.TrimSuffix(value, "/"), "https://")
	switch im.value("infra", "PUBLIC_DOMAIN") {
	case "":
		im.set(file, name, "domain", host, "")
	case host:
		im.drop(file, name, "follows from domain")
	default:
		im.set(file, name, "app.frontendOrigin", value, "it is not the domain of infra's PUBLIC_DOMAIN: one of the two is "+
			"wrong")
	}
}

func secretKey(im *importer, file, name, value string) {
	im.secret(file, name, "secretKey", value, "kept: it signs sessions and encrypts TOTP secrets")
}

func environment(im *importer, file, name, value string) {
	if v := strings.ToLower(value); v == "production" || v == "prod" {
		im.add(Entry{File: file, Name: name, Outcome: Default, Key: "app.environment"})
		return
	}
	im.drop(file, name, "only production switches the shop's own checks on")
}

func payments(im *importer, file, name, value string) {
	if value == "real" || value == "stripe" {
		im.add(Entry{File: file, Name: name, Outcome: Default, Key: "app.paymentsProvider"})
		return
	}
	im.drop(file, name, "the shop takes real payments, in the sandbox or live by each provider's own setting")
}

// selects normalises an environment's name.
func selects(key string) handler {
	return func(im *importer, file, name, value string) {
		if im.live(name) {
			im.set(file, name, key, "live", "")
			return
		}
		im.add(Entry{File: file, Name: name, Outcome: Default, Key: key})
	}
}

// frontendNetopia: one key stands for both halves, and the backend's half has the say.
func frontendNetopia(im *importer, file, name, value string) {
	front, _ := convert("switch", value, true)
	back, err := convert("switch", im.value("backend", "NETOPIA_ENABLED"), false)
	if err != nil {
		back = false
	}
	if front == back {
		im.drop(file, name, "app.netopia.enabled stands for both halves")
		return
	}
	im.drop(file, name, fmt.Sprintf("the backend's NETOPIA_ENABLED says %v, and app.netopia.enabled stands for both "+
		"halves", back))
}

// publicKey takes an inline key, or the file that a path names when it lies beside the backend's file.
func publicKey(im *importer, file, name, value string) {
	suffix := "Sandbox"
	if strings.HasSuffix(name, "_LIVE") || !strings.HasSuffix(name, "_SANDBOX") && im.live("NETOPIA_ENV") {
		suffix = "Live"
	}
	key := "app.netopia.publicKey" + suffix
	text := strings.ReplaceAll(value, `\n`, "\n")
	if strings.Contains(name, "_PATH") {
		content, err := os.ReadFile(filepath.Join(im.backendDir, filepath.Clean("/"+value)))
		if err != nil {
			im.drop(file, name, "the file is on the server: copy it into the project and set "+key+" to file:<path>")
			return
		}
		text = string(content)
	}
	pem, err := appsettings.PublicKey(text, im.backendDir)
	if err != nil {
		// A file may be DER, which is no text.
		pem, err = appsettings.PublicKeyDER([]byte(text))
	}
	if err != nil {
		im.drop(file, name, "it cannot be used: "+err.Error())
		return
	}
	im.set(file, name, key, pem, "")
}
