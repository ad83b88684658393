package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
)

// decode reads one key into dest. Unlike encoding/json it reports every unknown name and every value
// of the wrong kind, not the first, and goes on with the rest.
func (p *problems) decode(key, raw string, dest any) {
	v := reflect.ValueOf(dest).Elem()
	if v.Kind() == reflect.String {
		v.SetString(raw) // the engine hands plain strings over bare
		return
	}
	var value any
	if err := json.Unmarshal([]byte(raw), &value); err != nil {
		p.add(key, "something unreadable", kindOf(v.Type())+" as docs/reference/config.md shows")
		p.unreadable = append(p.unreadable, key)
		return
	}
	p.fill(key, value, v)
}

func (p *problems) wrongKind(path, got string, want reflect.Type) {
	p.add(path, got, kindOf(want))
	p.unreadable = append(p.unreadable, path)
}

// fill sets v from a value as encoding/json decodes it. An absent field keeps its default, and so
// does a null.
func (p *problems) fill(path string, value any, v reflect.Value) {
	if value == nil {
		return
	}
	t := v.Type()
	switch t.Kind() {
	case reflect.Pointer:
		into := reflect.New(t.Elem())
		before := len(p.unreadable)
		p.fill(path, value, into.Elem())
		if len(p.unreadable) == before {
			v.Set(into)
		}
	case reflect.Struct:
		object, ok := value.(map[string]any)
		if !ok {
			p.wrongKind(path, withArticle(value), t)
			return
		}
		fields := map[string]int{}
		for i := range t.NumField() {
			if tag := t.Field(i).Tag.Get("json"); tag != "" {
				fields[tag] = i
			}
		}
		for _, name := range slices.Sorted(maps.Keys(object)) {
			i, known := fields[name]
			if !known {
				p.add(path+"."+name, "an unknown key", "one of the documented keys; the nearest is "+nearestOf(name, fieldsOf(t)))
				continue
			}
			p.fill(path+"."+name, object[name], v.Field(i))
		}
	case reflect.Map:
		object, ok := value.(map[string]any)
		if !ok {
			p.wrongKind(path, withArticle(value), t)
			return
		}
		v.Set(reflect.MakeMap(t))
		for _, name := range slices.Sorted(maps.Keys(object)) {
			item := reflect.New(t.Elem()).Elem()
			p.fill(path+"."+name, object[name], item)
			v.SetMapIndex(reflect.ValueOf(name), item)
		}
	case reflect.Slice:
		list, ok := value.([]any)
		if !ok {
			p.wrongKind(path, withArticle(value), t)
			return
		}
		v.Set(reflect.MakeSlice(t, len(list), len(list)))
		for i, item := range list {
			p.fill(fmt.Sprintf("%s[%d]", path, i), item, v.Index(i))
		}
	case reflect.String:
		text, ok := value.(string)
		if !ok {
			p.wrongKind(path, withArticle(value), t)
			return
		}
		v.SetString(text)
	case reflect.Bool:
		b, ok := value.(bool)
		if !ok {
			p.wrongKind(path, withArticle(value), t)
			return
		}
		v.SetBool(b)
	case reflect.Int:
		n, ok := value.(float64)
		if !ok || n != math.Trunc(n) || math.Abs(n) > 1<<53 {
			p.wrongKind(path, withArticle(value), t)
			return
		}
		v.SetInt(int64(n))
	case reflect.Float64:
		n, ok := value.(float64)
		if !ok {
			p.wrongKind(path, withArticle(value), t)
			return
		}
		v.SetFloat(n)
	default:
		panic("config: no reader for " + t.String()) // a mistake in the types, found by every test
	}
}

// kindOf names what a Go type reads, in words of the file.
func kindOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return kindOf(t.Elem())
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice:
		return "a list"
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	default:
		return "a text"
	}
}

// withArticle names the kind of a decoded value.
func withArticle(value any) string {
	switch v := value.(type) {
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	case bool:
		return "true or false"
	case float64:
		if v != math.Trunc(v) {
			return "a number with a fraction"
		}
		return "a number"
	default:
		return "a text"
	}
}
