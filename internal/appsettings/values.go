package appsettings

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strconv"
	"strings"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/render"
)

// Facts are what the derived settings follow from.
type Facts struct {
	Domain       hostspec.Domain
	Release      string   // 40-character commit
	RedisURL     string   // of the stack's Redis
	SSR          bool     // the frontend renders on the server
	SSRBackend   string   // the API's address for that server
	AllowedHosts []string // hosts that it renders for
}

// KeyFile is a public key that the application reads from a file of its own.
type KeyFile struct {
	Part string // part of a resource's name: "netopia-live"
	Path string // where the application finds it
	PEM  string
}

// Defaults returns the settings of a stack whose config leaves all of them out.
func Defaults() Settings {
	var s Settings
	walk(reflect.ValueOf(&s).Elem(), "app", func(f field) {
		text, ok := f.tag.Lookup("default")
		if !ok {
			return
		}
		switch f.value.Kind() {
		case reflect.String:
			f.value.SetString(text)
		case reflect.Slice:
			f.value.Set(reflect.MakeSlice(f.value.Type(), 0, 0)) // the only default of a list is the empty one
		default:
			if err := json.Unmarshal([]byte(text), f.value.Addr().Interface()); err != nil {
				panic(fmt.Sprintf("default of %s: %v", f.key, err)) // a mistake in this file, found by every test
			}
		}
	})
	return s
}

// Backend returns the plain settings that reader, API or Worker, gets as its environment. What has
// no value is left out: the application aborts on empty numbers, switches and lists.
func Backend(s Settings, f Facts, reader Reader) map[string]string {
	env := map[string]string{
		"APP_VERSION": f.Release,
		"REDIS_URL":   f.RedisURL,
		// Compared as text by the image's entrypoint; only the job migrates (docs/explanation/application.md).
		"RUN_DB_MIGRATIONS": "0",
	}
	if reader == API {
		env["PUBLIC_BASE_URL"] = f.Domain.Origin()
		if s.FrontendOrigin == "" {
			s.FrontendOrigin = f.Domain.Origin()
		}
		if s.Google.ClientID != "" && s.Google.RedirectURI == "" {
			s.Google.RedirectURI = GoogleRedirect(f.Domain)
		}
		for _, k := range KeyFiles(s) {
			env[k.setting()] = k.Path
		}
	}
	walk(reflect.ValueOf(s), "app", func(x field) {
		name := x.tag.Get("env")
		if name == "" || readers(x.tag)&reader == 0 {
			return
		}
		if text, ok := encode(x.value, true); ok {
			env[name] = text
		}
	})
	maps.Copy(env, s.Extra)
	return env
}

// GoogleRedirect is where Google sends people back: a route of the frontend.
func GoogleRedirect(domain hostspec.Domain) string { return domain.Origin() + "/auth/google/callback" }

// Web returns the settings of the frontend: what its start script shows to every browser, and in
// ssr mode what its server needs.
func Web(s Settings, f Facts) map[string]string {
	env := map[string]string{
		"APP_ENV":         "production",
		"APP_VERSION":     f.Release,
		"API_BASE_URL":    "/api/v1",
		"PUBLIC_BASE_URL": f.Domain.Origin(),
	}
	walk(reflect.ValueOf(s), "app", func(x field) {
		name := x.tag.Get("web")
		if f.SSR && name == "" {
			name = x.tag.Get("ssr")
		}
		if name != "" {
			if text, ok := encode(x.value, false); ok {
				env[name] = text
			}
		}
	})
	if f.SSR {
		env["SSR_API_BASE_URL"] = f.SSRBackend
		// Without it the server silently sends unrendered pages.
		env["NG_ALLOWED_HOSTS"] = strings.Join(f.AllowedHosts, ",")
	}
	return env
}

// DotEnv renders the secret settings, given and generated, as the application's file; values that
// are not set are left out. Unknown names stop the application, so nothing else may be added
// (app-contract §2.1).
func DotEnv(given Secrets, g Generated) string {
	values := map[string]string{
		"DATABASE_URL": g.DatabaseURL, "SECRET_KEY": g.SecretKey, "MAINTENANCE_BYPASS_TOKEN": g.MaintenanceToken,
		"CONTENT_PREVIEW_TOKEN": g.PreviewToken, "TURNSTILE_SECRET_KEY": g.TurnstileSecret,
	}
	for _, f := range secretFields(&given) {
		if v := given.at(f.index); v.Set() {
			values[f.env] = v.Reveal()
		}
	}
	maps.DeleteFunc(values, func(_, v string) bool { return v == "" })
	return render.DotEnv(values)
}

// KeyFiles lists the public keys that the application gets as files; their values are PEM by then.
func KeyFiles(s Settings) []KeyFile {
	var files []KeyFile
	for _, k := range []KeyFile{
		{"netopia-live", "/run/momentstudio/netopia-live.pem", s.Netopia.PublicKeyLive},
		{"netopia-sandbox", "/run/momentstudio/netopia-sandbox.pem", s.Netopia.PublicKeySandbox},
	} {
		if k.PEM != "" {
			files = append(files, k)
		}
	}
	return files
}

func (k KeyFile) setting() string {
	return "NETOPIA_PUBLIC_KEY_PATH_" + strings.ToUpper(strings.TrimPrefix(k.Part, "netopia-"))
}

// encode writes a value as its reader expects it; false means: leave it out.
func encode(v reflect.Value, backend bool) (string, bool) {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return "", false
		}
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Bool:
		return render.Bool(v.Bool()), true
	case reflect.Int:
		return render.Int(int(v.Int())), true
	case reflect.Float64:
		text := strconv.FormatFloat(v.Float(), 'f', -1, 64)
		return text, true
	case reflect.Slice:
		list := v.Interface().([]string)
		if list == nil {
			return "", false
		}
		if !backend {
			return strings.Join(list, ","), len(list) > 0
		}
		text, err := json.Marshal(list)
		return string(text), err == nil
	default:
		return v.String(), v.String() != ""
	}
}
