package main

import (
	"runtime/debug"
	"strings"
)

// version is that of the module when the build knows one, otherwise the commit; uncommitted changes are marked.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return unknownVersion
	}
	return versionOf(info)
}

const unknownVersion = "unknown (built without version control)"

func versionOf(info *debug.BuildInfo) string {
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	name, dirty := strings.CutSuffix(info.Main.Version, "+dirty")
	if name == "" || name == "(devel)" {
		name = settings["vcs.revision"]
	}
	if name == "" {
		return unknownVersion
	}
	if dirty || settings["vcs.modified"] == "true" {
		name += "-dirty"
	}
	return name
}
