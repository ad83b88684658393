package engine

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
)

var bootCopy = regexp.MustCompile(`random:index/randomUuid:RandomUuid::host-boot-(\d+)$`)

// BuiltGeneration reads from a state which generation the server was made from; 0 without a server.
// The server's own dependencies tell: after an interrupted rebuild the copies of both generations
// are in the state.
func BuiltGeneration(state []byte) (int, error) {
	resources, _, err := RawResources(state)
	if err != nil {
		return 0, err
	}
	for _, r := range resources {
		urn, _ := r["urn"].(string)
		if deleted, _ := r["delete"].(bool); deleted || !strings.HasSuffix(urn, "hcloud:index/server:Server::host-server") {
			continue
		}
		dependencies, _ := r["dependencies"].([]any)
		for _, d := range dependencies {
			name, _ := d.(string)
			if m := bootCopy.FindStringSubmatch(name); m != nil {
				return strconv.Atoi(m[1])
			}
		}
		return 0, errors.New("the state does not tell which generation the server belongs to")
	}
	return 0, nil
}
