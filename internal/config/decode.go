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
		p.fillStruct(path, value, v)
	case reflect.Map:
		p.fillMap(path, value, v)
	case reflect.Slice:
		p.fillSlice(path, value, v)
	default:
		if !setScalar(v, value) {
			p.wrongKind(path, withArticle(value), t)
		}
	}
}

func (p *problems) fillStruct(path string, value any, v reflect.Value) {
	t := v.Type()
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
}

func (p *problems) fillMap(path string, value any, v reflect.Value) {
	object, ok := value.(map[string]any)
	if !ok {
		p.wrongKind(path, withArticle(value), v.Type())
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for _, name := range slices.Sorted(maps.Keys(object)) {
		item := reflect.New(v.Type().Elem()).Elem()
		p.fill(path+"."+name, object[name], item)
		v.SetMapIndex(reflect.ValueOf(name), item)
	}
}

func (p *problems) fillSlice(path string, value any, v reflect.Value) {
	list, ok := value.([]any)
	if !ok {
		p.wrongKind(path, withArticle(value), v.Type())
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(list), len(list)))
	for i, item := range list {
		p.fill(fmt.Sprintf("%s[%d]", path, i), item, v.Index(i))
	}
}

// setScalar sets a text, switch or number, and reports whether the value is of that kind.
func setScalar(v reflect.Value, value any) bool {
	switch v.Kind() {
	case reflect.String:
		text, ok := value.(string)
		if ok {
			v.SetString(text)
		}
		return ok
	case reflect.Bool:
		b, ok := value.(bool)
		if ok {
			v.SetBool(b)
		}
		return ok
	case reflect.Int:
		n, ok := value.(float64)
		if ok = ok && n == math.Trunc(n) && math.Abs(n) <= 1<<53; ok {
			v.SetInt(int64(n))
		}
		return ok
	case reflect.Float64:
		n, ok := value.(float64)
		if ok {
			v.SetFloat(n)
		}
		return ok
	default:
		panic("config: no reader for " + v.Type().String()) // a mistake in the types, found by every test
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
