package config

import "strings"

// placeholderPrefix marks values that `studio placeholders` writes so that a preview works
// without secrets; an update refuses them.
const placeholderPrefix = "placeholder-"

// Placeholder returns a stand-in for the secret of the given key.
func Placeholder(key string) string { return placeholderPrefix + key }

// Secret is a config value that must not be shown. Its zero value means: not set.
type Secret struct{ value string }

// NewSecret wraps value.
func NewSecret(value string) Secret { return Secret{value} }

// Set reports whether the key has a value.
func (s Secret) Set() bool { return s.value != "" }

// Reveal returns the value; wrap it in a secret output at once.
func (s Secret) Reveal() string { return s.value }

// IsPlaceholder reports whether the value was written by `studio placeholders`.
func (s Secret) IsPlaceholder() bool { return strings.HasPrefix(s.value, placeholderPrefix) }

func (s Secret) String() string {
	if s.value == "" {
		return "[not set]"
	}
	return "[secret]"
}

// GoString keeps %#v from printing the value.
func (s Secret) GoString() string { return s.String() }
