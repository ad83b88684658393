// Package appsettings is the catalogue of the application's settings: which exist, which value each
// gets, which process reads it, and whether it is plain, secret or public to browsers. The type of
// a setting decides where it lands: secrets in /app/.env alone, plain ones in the environment of
// their readers, public ones in the frontend's. Its sources are the application's own settings
// (app-contract §1.5, §2, §9, §10) and its docs/PRODUCTION.md.
package appsettings

import (
	"reflect"
	"slices"
	"strings"
)

// Reader is a set of processes.
type Reader uint8

// The processes that read settings.
const (
	API Reader = 1 << iota
	Worker
	Migration
	Frontend
)

// String names the processes.
func (r Reader) String() string {
	var names []string
	for i, name := range []string{"API", "worker", "migration", "frontend"} {
		if r&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// Class is who may see a setting.
type Class uint8

// The classes.
const (
	Plain  Class = iota // operators and the processes
	Secret              // the processes alone
	Public              // every browser
)

// String names the class.
func (c Class) String() string { return [...]string{"plain", "secret", "public"}[c] }

// Setting is one entry of the catalogue.
type Setting struct {
	Name    string // as the application spells it
	Key     string // config key without namespace: "app.smtp.host", "smtpPassword"; empty when derived
	Legacy  []string
	Kind    string // "text", "switch", "number", "share", "list", "key file"
	Limits  string // "1 to 1440", "lax, strict, none"; empty: none
	Default string // written when the config leaves it out; empty: nothing is
	App     string // the application's own default, when this program has none
	Readers Reader
	Class   Class
	From    string // what a derived setting follows from
	field   string // "SMTP.Host": the Go field, for documentation
}

// Catalogue lists every setting that a stack passes on, sorted by name; a name that two frontends
// of one value share (backend and browser) has an entry for each key.
func Catalogue() []Setting {
	all := slices.Clone(derived)
	walk(reflect.ValueOf(Defaults()), "app", func(f field) {
		s := Setting{Key: f.key, Kind: kindOf(f.value.Type()), App: f.tag.Get("app"), field: f.name}
		if d, ok := f.tag.Lookup("default"); ok {
			s.Default = d
		}
		if s.Limits = strings.Join(strings.Fields(f.tag.Get("oneof")), ", "); f.tag.Get("max") != "" {
			s.Limits = f.tag.Get("min") + " to " + f.tag.Get("max")
		}
		if name := f.tag.Get("env"); name != "" {
			s := s
			s.Name, s.Readers = name, readers(f.tag)
			all = append(all, s)
		}
		if name := f.tag.Get("web"); name != "" {
			s := s
			s.Name, s.Readers, s.Class = name, Frontend, Public
			all = append(all, s)
		}
		if name := f.tag.Get("ssr"); name != "" {
			s := s
			s.Name, s.Readers = name, Frontend
			all = append(all, s)
		}
		if name := f.tag.Get("file"); name != "" {
			s.Name, s.Readers, s.Kind = name, API, "key file"
			all = append(all, s)
		}
	})
	for _, f := range secretFields(&Secrets{}) {
		all = append(all, Setting{
			Name: f.env, Key: f.key, Legacy: f.legacy, Kind: "text", Readers: f.readers, Class: Secret,
			field: "Secrets." + f.field,
		})
	}
	slices.SortStableFunc(all, func(a, b Setting) int {
		return strings.Compare(a.Name+" "+a.Key, b.Name+" "+b.Key)
	})
	return all
}

func readers(tag reflect.StructTag) Reader {
	in := tag.Get("in")
	if in == "" {
		in = "a"
	}
	var r Reader
	for _, c := range in {
		r |= map[rune]Reader{'a': API, 'w': Worker, 'm': Migration}[c]
	}
	return r
}

func kindOf(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Bool:
		return "switch"
	case reflect.Int:
		return "number"
	case reflect.Float64:
		return "share"
	case reflect.Slice:
		return "list"
	default:
		return "text"
	}
}

// field is one leaf of Settings.
type field struct {
	key   string // "app.smtp.host"
	name  string // "SMTP.Host"
	tag   reflect.StructTag
	value reflect.Value
}

// walk visits every leaf of a group, in the order of its declaration; Extra is none.
func walk(v reflect.Value, key string, visit func(field)) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		path := key + "." + f.Tag.Get("json")
		switch f.Type.Kind() {
		case reflect.Struct:
			walk(v.Field(i), path, visit)
		case reflect.Map:
		default:
			visit(field{key: path, name: v.Type().Name() + "." + f.Name, tag: f.Tag, value: v.Field(i)})
		}
	}
}

type secretField struct {
	field, key, env string
	legacy          []string
	readers         Reader
	index           int
}

func secretFields(s *Secrets) []secretField {
	t := reflect.TypeOf(*s)
	out := make([]secretField, 0, t.NumField())
	for i := range t.NumField() {
		f := t.Field(i)
		out = append(out, secretField{
			f.Name, f.Tag.Get("key"), f.Tag.Get("env"), strings.Fields(f.Tag.Get("legacy")),
			readers(f.Tag), i,
		})
	}
	return out
}
