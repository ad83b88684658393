package render

import (
	"maps"
	"slices"
)

// sortedKeys fixes the order of map entries: Go's own differs from run to run, which would show
// as changes that nobody made.
func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
