package graphtest

import (
	"encoding/json"
	"testing"
)

// Value renders a YAML value as the engine hands config to the program: texts bare, everything
// else as JSON.
func Value(tb testing.TB, value any) string {
	tb.Helper()
	if s, ok := value.(string); ok {
		return s
	}
	text, err := json.Marshal(value)
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}
