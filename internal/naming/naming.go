// Package naming gives every resource its physical name and labels. Names of what costs money
// or holds data are fixed per stack, so that a rerun after a lost answer meets a conflict
// instead of making a twin.
package naming

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// MaxLength is the shortest limit among the services that carry our names: a Swarm service
// name and a DNS label both end at 63 characters.
const MaxLength = 63

// Project is the Pulumi project and the first part of every physical name.
const Project = "momentstudio"

// Physical returns "momentstudio-<stack>-<part>", cut with a hash when it exceeds MaxLength.
func Physical(stack, part string) string {
	return cut(strings.ToLower(Project + "-" + stack + "-" + part))
}

// Swarm returns the name of something inside one stack's Swarm, where the stack's own host
// already separates it from other stacks: "momentstudio-<part>".
func Swarm(part string) string { return cut(Project + "-" + part) }

func cut(name string) string {
	if len(name) <= MaxLength {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return strings.TrimRight(name[:MaxLength-9], "-") + "-" + hex.EncodeToString(sum[:4])
}

// ContentHash names immutable things by their content (Swarm secrets): the first 12 hex digits
// of its SHA-256. Contents are random secrets of 128 bits and more, so the hash reveals nothing.
func ContentHash(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:6])
}

// Expires is the label of what may be removed after a time, in Unix seconds.
const Expires = "expires"

// Labels are put on everything that can carry them.
func Labels(stack, component string) map[string]string {
	return map[string]string{"managed-by": "pulumi-" + Project, "stack": stack, "component": component}
}
