package appsettings

import (
	"fmt"
	"maps"
	"net/mail"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/render"
	"github.com/prekzursil/momentstudio-infra/internal/secret"
)

// Context is what the rules need to know of the rest of the stack.
type Context struct {
	Production   bool // the shop itself: real money, real customers
	Public       bool // strangers reach it
	Domain       hostspec.Domain
	Widget       bool     // a Turnstile widget exists
	MaxUploadMB  int      // largest upload that the edge lets through
	ProxyHeaders []string // headers that the edge overwrites with the client's address
	Dir          string   // the project's root, for key files
}

// Problem is one violated rule.
type Problem struct {
	Key     string // config key without namespace
	Got     any    // never a secret; nil: nothing
	Want    string
	Example string // a value that mends it; empty when there is none to show
	Secret  bool   // Key is a secret of its own
	Remove  bool   // the key has to go
}

type checker struct {
	s     *Settings
	given *Secrets
	c     Context
	found []Problem
}

// clientsOfALimit is for how many clients at their edge's limit a limit that all share has room.
const clientsOfALimit = 60

// RaiseShared raises the limits that all clients share and that the stack does not set, by what the edge lets one
// client send. Passkeys and the second factor count as logins.
func (l *Limits) RaiseShared() {
	for limit, zones := range map[**int][]string{
		&l.Login: {"login", "passkey"}, &l.Refresh: {"refresh"}, &l.ResetRequest: {"verify"}, &l.ResetConfirm: {"reset"},
	} {
		if *limit == nil {
			n := clientsOfALimit * render.EdgeEvents(zones...)
			*limit = &n
		}
	}
}

// Check reports every violated rule and what deserves a warning. Public keys become PEM on the way.
func Check(s *Settings, given *Secrets, c Context) (problems []Problem, warnings []string) {
	k := &checker{s: s, given: given, c: c}
	for _, rule := range []func(){
		k.values, k.core, k.mail, k.captcha, k.sentry, k.stripe, k.paypal, k.netopia, k.admin, k.third, k.sizes, k.extra,
	} {
		rule()
	}
	return k.found, k.warnings()
}

func (k *checker) set(key string, got any, want, example string) {
	k.found = append(k.found, Problem{Key: key, Got: got, Want: want, Example: example})
}

func (k *checker) missing(key, want string) {
	k.found = append(k.found, Problem{Key: key, Got: nil, Want: want, Secret: true})
}

func (k *checker) badSecret(key, want string) {
	k.found = append(k.found, Problem{Key: key, Got: "[secret]", Want: want, Secret: true})
}

func (k *checker) needs(key string, v secret.Value, why string) {
	if !v.Set() {
		k.missing(key, why)
	}
}

// values checks what the tags of each field say, and that no text breaks the file that it lands in.
func (k *checker) values() {
	walk(reflect.ValueOf(k.s).Elem(), "app", func(f field) {
		v := f.value
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return
			}
			v = v.Elem()
		}
		switch v.Kind() {
		case reflect.Int, reflect.Float64:
			low, _ := strconv.ParseFloat(f.tag.Get("min"), 64)
			high, _ := strconv.ParseFloat(f.tag.Get("max"), 64)
			number, what := 0.0, "a number"
			if v.Kind() == reflect.Int {
				number, what = float64(v.Int()), "a whole number"
			} else {
				number = v.Float()
			}
			if number < low || number > high {
				k.set(f.key, v.Interface(), fmt.Sprintf("%s from %s to %s", what, f.tag.Get("min"), f.tag.Get("max")),
					f.tag.Get("min"))
			}
		case reflect.String:
			if allowed := strings.Fields(f.tag.Get("oneof")); len(allowed) > 0 {
				if v.String() != "" && !slices.Contains(allowed, v.String()) || v.String() == "" && f.tag.Get("default") != "" {
					k.set(f.key, v.String(), "one of "+strings.Join(allowed, ", "), allowed[0])
				}
				return
			}
			if f.tag.Get("file") == "" && controls.MatchString(v.String()) {
				k.set(f.key, v.String(), "a text on one line", "'…'")
			}
		case reflect.Slice:
			for i, item := range v.Interface().([]string) {
				if item == "" || controls.MatchString(item) || f.tag.Get("web") != "" && strings.Contains(item, ",") {
					k.set(fmt.Sprintf("%s[%d]", f.key, i), item, "a text on one line, not empty", "'…'")
				}
			}
		}
	})
	for _, f := range secretFields(k.given) {
		v := k.given.at(f.index)
		switch {
		case controls.MatchString(v.Reveal()):
			k.badSecret(f.key, "a value on one line, without the line break at its end")
		case strings.HasSuffix(v.Reveal(), "_placeholder"):
			k.badSecret(f.key, "the real value: the app treats one that ends in _placeholder as not set")
		}
	}
}

var controls = regexp.MustCompile(`[\x00-\x1f\x7f]`)

func (k *checker) core() {
	switch env := strings.ToLower(k.s.Environment); {
	case k.c.Public && k.s.Environment != "production":
		k.set("app.environment", k.s.Environment, "production: any other value skips the app's own start-up checks",
			"production")
	case env == "" || env == "local" || env == "development" || env == "dev":
		k.set("app.environment", k.s.Environment, "production: the app refuses this database in a development environment",
			"production")
	}
	if want := k.c.Domain.Origin(); k.s.FrontendOrigin != "" && k.s.FrontendOrigin != want {
		k.set("app.frontendOrigin", k.s.FrontendOrigin, want+", the shop's own address: mails, payments and passkeys are "+
			"built from it", want)
	}
	if !k.s.Cookies.Secure && (k.c.Public || slices.Contains([]string{"prod", "production"},
		strings.ToLower(k.s.Environment))) {
		k.set("app.cookies.secure", false, "true: the app refuses to start without it in production", "true")
	}
	if v := k.given.SecretKey; v.Set() && !v.IsPlaceholder() && len(strings.TrimSpace(v.Reveal())) < 32 {
		k.badSecret("secretKey", "32 characters or more: the app refuses to start otherwise")
	}
	for i, origin := range k.s.CORS.Origins {
		if u, err := url.Parse(origin); err != nil || u.Scheme != "https" && k.c.Public || u.Host == "" || u.Path != "" {
			k.set(fmt.Sprintf("app.cors.origins[%d]", i), origin, "an origin, https:// and a host, without a path",
				k.c.Domain.Origin())
		}
	}
	if locales := k.s.SupportedLocales; locales != nil || k.s.DefaultLocale != "" {
		if locales == nil {
			locales = []string{"en", "ro"}
		}
		if len(locales) == 0 {
			k.set("app.supportedLocales[0]", nil, "at least one locale", "en")
		} else if d := k.s.DefaultLocale; !slices.Contains(locales, d) && (d != "" || !slices.Contains(locales, "en")) {
			k.set("app.defaultLocale", d, "one of app.supportedLocales: "+strings.Join(locales, ", "), locales[0])
		}
	}
	rp := k.s.WebAuthn.RPID
	apex := k.c.Domain.Apex()
	if rp != "" && rp != apex && !strings.HasSuffix(apex, "."+rp) {
		k.set("app.webauthn.rpId", rp, "the domain "+apex+" or a parent of it: browsers refuse passkeys otherwise", apex)
	}
}

func (k *checker) mail() {
	s := k.s.SMTP
	for _, a := range []struct{ key, address string }{
		{"app.smtp.from", s.From},
		{"app.smtp.listUnsubscribeMailto", s.ListUnsubscribe},
		{"app.supportEmail", k.s.SupportEmail},
		{"app.admin.alertEmail", k.s.Admin.AlertEmail},
		{"app.admin.errorEmail", k.s.Admin.ErrorEmail},
	} {
		if _, err := mail.ParseAddress(a.address); a.address != "" && err != nil {
			k.set(a.key, a.address, "a mail address", "shop@"+k.c.Domain.Apex())
		}
	}
	if !s.Enabled {
		return
	}
	if strings.TrimSpace(s.Host) == "" {
		k.set("app.smtp.host", nil, "the mail server, because app.smtp.enabled is on", "smtp.example.com")
	}
	if strings.TrimSpace(s.From) == "" {
		k.set("app.smtp.from", nil, "the sender, because app.smtp.enabled is on", "shop@"+k.c.Domain.Apex())
	}
	if s.Port == 465 {
		k.set("app.smtp.port", 465, "587: the app speaks STARTTLS and has no implicit TLS", "587")
	}
	if !s.TLS && k.c.Public {
		k.set("app.smtp.tls", false, "true: mail and password would cross the internet in clear", "true")
	}
	if s.Username != "" {
		k.needs("smtpPassword", k.given.SMTPPassword, "a password, because app.smtp.username is set")
	} else if k.given.SMTPPassword.Set() {
		k.set("app.smtp.username", nil, "a user name, because smtpPassword is set: the app logs in with both or not at all",
			"<user>")
	}
}

func (k *checker) captcha() {
	if k.s.Captcha.Enabled && !k.c.Widget {
		k.set("app.captcha.enabled", true, "false, because turnstile.enabled is off: without a widget nobody could log in",
			"false")
	}
	if !k.s.Captcha.Enabled && k.c.Production {
		k.set("app.captcha.enabled", false, "true in production: login and registration are open to robots otherwise", "true")
	}
}

var dsnProject = regexp.MustCompile(`/[0-9]+$`)

func validDSN(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "" && u.User.Username() != "" &&
		dsnProject.MatchString(u.Path) && u.RawQuery == "" && u.Fragment == "" && strings.TrimSpace(text) == text
}

func (k *checker) sentry() {
	const form = "a DSN, https://<key>@<host>/<project number>"
	k.needs("sentryDsn", k.given.SentryDSN, "a Sentry DSN: the app refuses to start in production without one")
	if v := k.given.SentryDSN; v.Set() && !v.IsPlaceholder() && !validDSN(v.Reveal()) {
		k.badSecret("sentryDsn", form+": the app ends at its start on any other")
	}
	f := k.s.Sentry.Browser
	if f.DSN != "" && !validDSN(f.DSN) {
		k.set("app.sentry.frontend.dsn", f.DSN, form, "https://<key>@<host>/<project>")
	}
	if k.c.Production && !f.Enabled {
		k.set("app.sentry.frontend.enabled", false, "true: Sentry is required in production on both halves", "true")
	}
	if k.c.Production && f.DSN == "" {
		k.set("app.sentry.frontend.dsn", nil, "a DSN: Sentry is required in production on both halves (the backend's own "+
			"for a shared project)", "https://<key>@<host>/<project>")
	}
}

// live refuses real money outside production.
func (k *checker) live(key, env string) {
	if env == "live" && !k.c.Production {
		k.set(key, env, "sandbox: only a stack of kind production takes real money", "sandbox")
	}
}

func (k *checker) stripe() {
	s := k.s.Stripe
	k.live("app.stripe.env", s.Env)
	for _, e := range []struct {
		env, suffix, mode, publishable string
		key, webhook                   secret.Value
	}{
		{"live", "Live", "live", s.PublishLive, k.given.StripeKeyLive, k.given.StripeWebhookLive},
		{"sandbox", "Sandbox", "test", s.PublishSandbox, k.given.StripeKeySandbox, k.given.StripeWebhookSandbox},
	} {
		current := s.Env == e.env
		if current && s.Enabled {
			k.needs("stripeSecretKey"+e.suffix, e.key, "Stripe's secret key, because app.stripe.enabled is on and "+
				"app.stripe.env is "+e.env)
		}
		if current && (s.Enabled || e.key.Set()) {
			k.needs("stripeWebhookSecret"+e.suffix, e.webhook, "the webhook's secret: without it the app answers every Stripe "+
				"event with an error, and paid orders stay unpaid")
		}
		if e.key.Set() && !e.key.IsPlaceholder() && !hasPrefix(e.key.Reveal(), "sk_"+e.mode+"_", "rk_"+e.mode+"_") {
			k.badSecret("stripeSecretKey"+e.suffix, "a key that begins with sk_"+e.mode+"_ or rk_"+e.mode+"_")
		}
		if e.webhook.Set() && !e.webhook.IsPlaceholder() && !hasPrefix(e.webhook.Reveal(), "whsec_") {
			k.badSecret("stripeWebhookSecret"+e.suffix, "a secret that begins with whsec_")
		}
		if e.publishable != "" && !hasPrefix(e.publishable, "pk_"+e.mode+"_") {
			k.set("app.stripe.publishableKey"+e.suffix, "another kind of key", "a key that begins with pk_"+e.mode+"_",
				"pk_"+e.mode+"_…")
		}
	}
}

func hasPrefix(text string, prefixes ...string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(text, p) && len(text) > len(p) })
}

func (k *checker) paypal() {
	s := k.s.PayPal
	k.live("app.paypal.env", s.Env)
	suffix, id, hook, key := "Sandbox", s.ClientIDSandbox, s.WebhookIDSandbox, k.given.PayPalSecretSandbox
	if s.Env == "live" {
		suffix, id, hook, key = "Live", s.ClientIDLive, s.WebhookIDLive, k.given.PayPalSecretLive
	}
	if !s.Enabled {
		return
	}
	if id == "" {
		k.set("app.paypal.clientId"+suffix, nil, "the client ID, because app.paypal.enabled is on and app.paypal.env is "+
			s.Env, "<client id>")
	}
	k.needs("paypalClientSecret"+suffix, key, "the client's secret, because app.paypal.enabled is on and app.paypal.env "+
		"is "+s.Env)
	if hook == "" {
		k.set("app.paypal.webhookId"+suffix, nil, "the webhook's ID: without it the app cannot verify PayPal's events, and "+
			"paid orders stay unpaid", "<webhook id>")
	}
}

func (k *checker) netopia() {
	s := &k.s.Netopia
	k.live("app.netopia.env", s.Env)
	for _, public := range []struct {
		key   string
		value *string
	}{{"app.netopia.publicKeyLive", &s.PublicKeyLive}, {"app.netopia.publicKeySandbox", &s.PublicKeySandbox}} {
		if *public.value == "" {
			continue
		}
		text, err := PublicKey(*public.value, k.c.Dir)
		if err != nil {
			k.set(public.key, "a value that cannot be used: "+err.Error(), "Netopia's public key: PEM, the base64 of a DER "+
				"file, or file:<path in the project>", "file:netopia.cer")
			continue
		}
		*public.value = text
	}
	if !s.Enabled {
		return
	}
	suffix, public, apiKey, signature := "Sandbox", s.PublicKeySandbox, k.given.NetopiaKeySandbox,
		k.given.NetopiaSignatureSandbox
	if s.Env == "live" {
		suffix, public, apiKey, signature = "Live", s.PublicKeyLive, k.given.NetopiaKeyLive, k.given.NetopiaSignatureLive
	}
	why := ", because app.netopia.enabled is on and app.netopia.env is " + s.Env + ": the app refuses to start without it"
	k.needs("netopiaApiKey"+suffix, apiKey, "the API key"+why)
	k.needs("netopiaPosSignature"+suffix, signature, "the POS signature"+why)
	if public == "" {
		k.set("app.netopia.publicKey"+suffix, nil, "Netopia's public key"+why, "file:netopia.cer")
	}
}

func (k *checker) admin() {
	a := k.s.Admin
	if k.c.Production && !a.MFARequired {
		k.set("app.admin.mfaRequired", false, "true in production: a stolen password would open the back office", "true")
	}
	for _, l := range []struct {
		key  string
		list []string
	}{{"app.admin.ipAllowlist", a.IPAllowlist}, {"app.admin.ipDenylist", a.IPDenylist}} {
		for i, item := range l.list {
			_, errAddr := netip.ParseAddr(item)
			_, errPrefix := netip.ParsePrefix(item)
			if errAddr != nil && errPrefix != nil {
				k.set(fmt.Sprintf("%s[%d]", l.key, i), item, "an address or a network in CIDR form", "203.0.113.7")
			}
		}
	}
	if a.IPHeader != "" && !slices.ContainsFunc(k.c.ProxyHeaders, func(h string) bool {
		return strings.EqualFold(h,
			a.IPHeader)
	}) {
		k.set("app.admin.ipHeader", a.IPHeader, "one that the edge overwrites ("+strings.Join(k.c.ProxyHeaders, ", ")+
			"): any other can be forged", k.c.ProxyHeaders[0])
	}
	if v := k.given.AdminIPBypassToken; v.Set() && !v.IsPlaceholder() && len(v.Reveal()) < 16 {
		k.badSecret("adminIpBypassToken", "16 characters or more: it opens the back office from anywhere")
	}
	if k.s.Audit.HashChain {
		k.needs("auditHashChainSecret", k.given.AuditHashChainSecret, "a secret of its own, because app.audit.hashChain is "+
			"on: with SECRET_KEY instead, a rotation would break the chain")
	}
}

// third checks the pairs that third parties need.
func (k *checker) third() {
	for _, pair := range []struct {
		key, value, secretKey string
		secret                secret.Value
	}{
		{"app.google.clientId", k.s.Google.ClientID, "googleClientSecret", k.given.GoogleClientSecret},
		{"app.sameday.username", k.s.Sameday.Username, "samedayApiPassword", k.given.SamedayPassword},
		{"app.fan.username", k.s.FAN.Username, "fanApiPassword", k.given.FANPassword},
	} {
		switch {
		case pair.value != "" && !pair.secret.Set():
			k.missing(pair.secretKey, "a value, because "+pair.key+" is set")
		case pair.value == "" && pair.secret.Set():
			k.set(pair.key, nil, "a value, because "+pair.secretKey+" is set",
				"<"+pair.key[strings.LastIndex(pair.key, ".")+1:]+">")
		}
	}
	if r := k.s.Google.RedirectURI; r != "" && r != GoogleRedirect(k.c.Domain) {
		k.set("app.google.redirectUri", r, GoogleRedirect(k.c.Domain)+", a route of the frontend", GoogleRedirect(k.c.Domain))
	}
	if c := k.s.Clarity; c.Enabled && c.ProjectID == "" {
		k.set("app.clarity.projectId", nil, "a project, because app.clarity.enabled is on", "<project id>")
	}
	for _, a := range []struct{ key, address string }{
		{"app.sameday.baseUrl", k.s.Sameday.BaseURL}, {"app.fan.baseUrl", k.s.FAN.BaseURL}, {"app.fx.ratesUrl", k.s.FX.URL},
	} {
		if u, err := url.Parse(a.address); a.address != "" && (err != nil || u.Scheme != "https" || u.Host == "") {
			k.set(a.key, a.address, "an https URL", "https://…")
		}
	}
}

func (k *checker) sizes() {
	limit := 512 << 20
	if n := k.s.Media.UploadMaxBytes; n != nil {
		limit = *n
	}
	// Caddy counts megabytes by the thousand; a form has some kilobytes around the file.
	if need := (limit + 1_000_000) / 1_000_000; k.c.MaxUploadMB >= 1 && k.c.MaxUploadMB < need {
		k.set("edge.maxUploadMB", k.c.MaxUploadMB, fmt.Sprintf("%d or more, because app.media.adminUploadMaxBytes is %d: "+
			"the edge would refuse what the app accepts", need, limit), strconv.Itoa(need))
	}
}

// Extra settings must not be able to do what a rule forbids.
func (k *checker) extra() {
	known := map[string]string{}
	for _, s := range Catalogue() {
		known[s.Name] = s.Key
	}
	for _, name := range slices.Sorted(maps.Keys(k.s.Extra)) {
		key := "app.extra." + name
		// Values are never shown: whoever writes a secret here has put it in clear.
		remove := func(want string) {
			k.found = append(k.found, Problem{Key: key, Got: "a value", Want: want, Remove: true})
		}
		place, inCatalogue := known[name]
		reason, refused := notOurs[name]
		switch {
		case !settingName.MatchString(name):
			k.found = append(k.found, Problem{Key: key, Got: "a name", Want: "a setting's name in capitals, as the " +
				"application spells it"})
		case inCatalogue && place != "":
			remove("nothing: the setting has a key of its own, " + place)
		case inCatalogue:
			remove("nothing: this program sets it")
		case refused:
			remove("nothing: " + reason)
		case secretName.MatchString(name):
			remove("nothing: by its name it is a secret, and this group is plain; the catalogue needs an entry for it")
		case k.s.Extra[name] == "":
			k.found = append(k.found, Problem{Key: key, Got: `""`, Want: "a value, or no such key: the app aborts on empty " +
				"numbers, switches and lists", Remove: true})
		case controls.MatchString(k.s.Extra[name]):
			k.found = append(k.found, Problem{Key: key, Got: "a value", Want: "a text on one line"})
		}
	}
}

var (
	settingName = regexp.MustCompile(`^[A-Z][A-Z0-9_]*$`)
	secretName  = regexp.MustCompile(`(SECRET|PASSWORD|TOKEN|PRIVATE|CREDENTIAL|DSN|API_KEY|DATABASE)`)
)

// Schedulers counts the background schedulers that these settings leave on. Each needs a process of its own to run in
// (docs/explanation/application.md, 3.6).
func Schedulers(s Settings) int {
	on := func(b *bool) bool { return b == nil || *b }
	n := 0
	for _, enabled := range []bool{
		s.FX.Refresh, on(s.Reports.Scheduler), on(s.Accounts.Deletion), on(s.Orders.Expiry),
		on(s.Media.UsageReconcile), on(s.Sameday.Mirror),
	} {
		if enabled {
			n++
		}
	}
	return n
}

func (k *checker) warnings() []string {
	var out []string
	if k.c.Public && !k.s.SMTP.Enabled {
		out = append(out, "app.smtp.enabled is off: mail is dropped silently, and new customers cannot verify their address")
	}
	if level := k.s.Sentry.LogLevel; (level == "info" || level == "debug") && k.c.Public {
		out = append(out, "app.sentry.logLevel is "+level+": every request becomes a Sentry event, 56000 a day without "+
			"visitors; watch the quota, or set error")
	}
	return out
}

// ApplyLegacy fills the values of the selected environments from legacy keys, and names the new key
// for each. A legacy value beside a new one is ignored, as the application does.
func ApplyLegacy(s *Settings, given *Secrets, legacy map[string]secret.Value) (warnings []string) {
	env := map[string]string{"stripe": s.Stripe.Env, "paypal": s.PayPal.Env, "netopia": s.Netopia.Env}
	v := reflect.ValueOf(given).Elem()
	if n := &s.Netopia; n.PublicKey != "" {
		current, key := &n.PublicKeySandbox, "app.netopia.publicKeySandbox"
		if n.Env == "live" {
			current, key = &n.PublicKeyLive, "app.netopia.publicKeyLive"
		}
		if *current == "" {
			*current = n.PublicKey
			warnings = append(warnings, "app.netopia.publicKey is a legacy name; set "+key+" instead")
		} else {
			warnings = append(warnings, "app.netopia.publicKey is a legacy name and ignored, because "+key+" is set; remove it")
		}
		n.PublicKey = ""
	}
	for _, name := range slices.Sorted(maps.Keys(legacy)) {
		for _, f := range secretFields(given) {
			if !slices.Contains(f.legacy, name) {
				continue
			}
			suffix := "Sandbox"
			for service, selected := range env {
				if strings.HasPrefix(f.key, service) && selected == "live" {
					suffix = "Live"
				}
			}
			if !strings.HasSuffix(f.key, suffix) && !strings.HasSuffix(name, "Test") {
				continue
			}
			if given.at(f.index).Set() {
				warnings = append(warnings, fmt.Sprintf("%s is a legacy name and ignored, because %s is set; remove it", name,
					f.key))
				continue
			}
			v.Field(f.index).Set(reflect.ValueOf(legacy[name]))
			warnings = append(warnings, fmt.Sprintf("%s is a legacy name; set %s instead", name, f.key))
		}
	}
	return warnings
}

// SecretKeys lists the config keys of Secrets with the field that each fills.
func SecretKeys(s *Secrets) map[string]*secret.Value {
	out := map[string]*secret.Value{}
	v := reflect.ValueOf(s).Elem()
	for _, f := range secretFields(s) {
		out[f.key] = v.Field(f.index).Addr().Interface().(*secret.Value)
	}
	return out
}

// LegacyKeys lists the legacy secret keys.
func LegacyKeys() []string {
	var out []string
	for _, f := range secretFields(&Secrets{}) {
		for _, l := range f.legacy {
			if !slices.Contains(out, l) {
				out = append(out, l)
			}
		}
	}
	slices.Sort(out)
	return out
}

func (s *Secrets) at(i int) secret.Value {
	return reflect.ValueOf(s).Elem().Field(i).Interface().(secret.Value)
}

// LooksSecret reports whether a setting that the catalogue does not know is a secret by its name.
func LooksSecret(name string) bool { return secretName.MatchString(name) }

// NotSet returns why no stack sets the name; empty when nothing speaks against it.
func NotSet(name string) string { return notOurs[name] }
