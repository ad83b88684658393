// Package secret holds values that must not be shown: printing one never prints its content.
package secret

import (
	"encoding/json"
	"errors"
	"strings"
)

// placeholderPrefix marks values that `studio placeholders` writes so that a preview works
// without secrets; an update refuses them.
const placeholderPrefix = "placeholder-"

// Placeholder returns a stand-in for the secret of the given key.
func Placeholder(key string) string { return placeholderPrefix + key }

// Value is a secret. Its zero value means: not set.
type Value struct{ content string }

// New wraps content.
func New(content string) Value { return Value{content} }

// Set reports whether there is a value.
func (v Value) Set() bool { return v.content != "" }

// Reveal returns the content; wrap it in a secret output at once.
func (v Value) Reveal() string { return v.content }

// IsPlaceholder reports whether the value was written by `studio placeholders`.
func (v Value) IsPlaceholder() bool { return strings.HasPrefix(v.content, placeholderPrefix) }

func (v Value) String() string {
	if v.content == "" {
		return "[not set]"
	}
	return "[secret]"
}

// GoString keeps %#v from printing the content.
func (v Value) GoString() string { return v.String() }

// MarshalJSON refuses: a document with a secret in it is a leak.
func (v Value) MarshalJSON() ([]byte, error) {
	return nil, errors.New("a secret is never written as JSON")
}

var _ json.Marshaler = Value{}
