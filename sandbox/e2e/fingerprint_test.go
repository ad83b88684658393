package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// fingerprint is all that a stack is, by what it is of: the state's resources, what the clouds hold, and what lives
// on the host. What differs between two runs of the same config (IDs, times, names that the engine makes up) is named
// after what it is of. Rows and files of the shop are compared on their own.
func (w *env) fingerprint() map[string]string {
	w.t.Helper()
	found := map[string]string{}
	var export struct {
		Deployment struct {
			Resources []map[string]any `json:"resources"`
			Pending   []any            `json:"pending_operations"`
		} `json:"deployment"`
	}
	if err := json.Unmarshal([]byte(w.mustPulumi("stack", "export", "--show-secrets")), &export); err != nil {
		w.t.Fatal(err)
	}
	if n := len(export.Deployment.Pending); n > 0 {
		found["pending operations of the state"] = fmt.Sprint(n)
	}
	ids := map[string]string{}
	for _, r := range export.Deployment.Resources {
		if id, _ := r["id"].(string); id != "" && id != "none" { // which passwords have
			ids[id] = "<" + planStep{URN: fmt.Sprint(r["urn"])}.name() + ">"
		}
	}
	normal := normalizer{ids}
	for _, r := range export.Deployment.Resources {
		kept := map[string]any{}
		for _, field := range []string{
			"type", "inputs", "parent", "protect", "delete", "pendingReplacement", "external",
			"initErrors",
		} {
			kept[field] = normal.value(field, r[field])
		}
		if outputs, _ := r["outputs"].(map[string]any); outputs["exitCode"] != nil {
			kept["exitCode"] = outputs["exitCode"]
		}
		var after []string
		list, _ := r["dependencies"].([]any)
		for _, d := range list {
			after = append(after, bootNumber.ReplaceAllString(fmt.Sprint(d), "host-boot-N"))
		}
		slices.Sort(after)
		kept["dependencies"] = after
		name := "state " + bootNumber.ReplaceAllString(planStep{URN: fmt.Sprint(r["urn"])}.name(), "host-boot-N")
		for found[name] != "" {
			name += " again"
		}
		found[name] = text(kept)
	}
	for _, cloud := range []string{"hetzner", "cloudflare"} {
		var state map[string]any
		w.control(cloud, "state", &state)
		delete(state, "running_actions")
		for list, items := range state {
			found[cloud+" "+list] = text(normal.value(list, items))
		}
	}
	specs := w.host(`for s in $(docker service ls -q); do ` +
		`docker service inspect --format '{{.Spec.Name}} {{json .Spec}}' $s; done`)
	for line := range strings.Lines(specs) {
		name, spec, _ := strings.Cut(strings.TrimSpace(line), " ")
		var v any
		if err := json.Unmarshal([]byte(spec), &v); err != nil {
			w.t.Fatal(err)
		}
		found["service "+name] = text(normal.value("", v))
	}
	found["secrets on the host"] = w.host("docker secret ls --format '{{.Name}}' | sort")
	found["networks on the host"] = w.host("docker network ls --format '{{.Name}}' | sort")
	var jobs []string
	for _, name := range strings.Fields(w.host("docker ps -a --filter label=momentstudio.server --format '{{.Names}}'")) {
		jobs = append(jobs, autoName.ReplaceAllString(name, "-X"))
	}
	slices.Sort(jobs)
	found["jobs on the host"] = strings.Join(jobs, "\n")
	found["files on the host"] = w.host("find /etc/momentstudio /etc/systemd/system /mnt/momentstudio/caddy/config " +
		"-type f -exec sha256sum {} + | sort -k 2 | grep -v -e ' /etc/momentstudio/secrets/ssh' -e '\\.wants/'; stat -c " +
		"'%a %U %n' /etc/momentstudio/secrets/*")
	return found
}

var (
	// autoName is what the engine appends to names that nobody gives.
	autoName   = regexp.MustCompile(`-[0-9a-f]{7}$`)
	bootNumber = regexp.MustCompile(`host-boot-\d+`)
)

// differs by nature: times, counters, and what a new server is told of itself.
var volatile = []string{
	"created", "created_on", "modified_on", "id", "userData", "keepers", "__defaults", "linux_device", "boot_id",
	"version", "ForceUpdate", "public_key", "fingerprint", "sitekey", "secret",
}

type normalizer struct{ ids map[string]string }

func (n normalizer) value(key string, v any) any {
	if slices.Contains(volatile, key) {
		return nil
	}
	switch v := v.(type) {
	case map[string]any:
		if plain, ok := v["plaintext"].(string); ok {
			var inner any
			_ = json.Unmarshal([]byte(plain), &inner)
			return n.value(key, inner)
		}
		out := map[string]any{}
		for k, one := range v {
			out[k] = n.value(k, one)
		}
		return out
	case []any:
		out := make([]any, 0, len(v))
		for _, one := range v {
			out = append(out, n.value(key, one))
		}
		if key != "Args" && key != "command" { // sets, in the order of their making
			slices.SortFunc(out, func(a, b any) int { return strings.Compare(text(a), text(b)) })
		}
		return out
	case float64:
		if name, ok := n.ids[fmt.Sprint(int64(v))]; ok && v >= 1000 {
			return name
		}
	case string:
		if name, ok := n.ids[v]; ok {
			return name
		}
		if key == "name" || key == "image" {
			v = autoName.ReplaceAllString(v, "-X")
		}
		return bootNumber.ReplaceAllString(v, "host-boot-N")
	}
	return v
}

func text(v any) string {
	out, _ := json.Marshal(v)
	return string(out)
}

// differences compares two fingerprints.
func differences(want, got map[string]string) []string {
	var out []string
	names := map[string]bool{}
	for k := range want {
		names[k] = true
	}
	for k := range got {
		names[k] = true
	}
	for _, k := range slices.Sorted(maps.Keys(names)) {
		if want[k] != got[k] {
			at := 0
			for at < min(len(want[k]), len(got[k])) && want[k][at] == got[k][at] {
				at++
			}
			around := func(s string) string { return s[min(len(s), max(0, at-60)):min(len(s), at+120)] }
			out = append(out, fmt.Sprintf("%s:\n    want …%s…\n    got  …%s…", k, around(want[k]), around(got[k])))
		}
	}
	return out
}
