package review

import (
	"fmt"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// compromises are the ways in which a change lets somebody in, or takes a guard away. Loss and downtime are judged by
// the type's own rule. What a first update makes is compared with nothing.
func compromises(c Change) (why []string) {
	if c.old == nil || c.new == nil || c.Op == Delete {
		return nil
	}
	was, is := c.old.Inputs, c.new.Inputs
	switch c.Type {
	case "hcloud:index/firewall:Firewall":
		if ports := widened(was["rules"], is["rules"]); len(ports) > 0 {
			why = append(why, "more addresses can reach port "+strings.Join(ports, " and "))
		}
	case "docker:index/service:Service":
		const container = "taskSpec.containerSpec."
		why = append(why, programs(texts(at(was, container+"image")), texts(at(is, container+"image")))...)
		why = append(why, privileges(at(was, container+"capAdds"), at(is, container+"capAdds"),
			at(was, container+"mounts"), at(is, container+"mounts"))...)
		if more := missing(published(is), published(was)); len(more) > 0 {
			why = append(why, "the host also listens on port "+strings.Join(more, " and "))
		}
		for _, name := range guards {
			if at(is, container+"env."+name) == "0" && at(was, container+"env."+name) != "0" {
				why = append(why, name+" is switched off")
			}
		}
	case "docker:index/container:Container":
		why = append(why, programs(append(texts(was["image"]), texts(was["command"])...),
			append(texts(is["image"]), texts(is["command"])...))...)
		why = append(why, privileges(at(was, "capabilities.adds"), at(is, "capabilities.adds"), was["mounts"],
			is["mounts"])...)
		if is["privileged"] == true && was["privileged"] != true || is["networkMode"] == "host" &&
			was["networkMode"] != "host" {
			why = append(why, "the job becomes privileged or uses the host's network")
		}
		why = append(why, edgeGuards(caddyfile(was["uploads"]), caddyfile(is["uploads"]))...)
	}
	return why
}

// guards are the switches of the application that keep strangers out.
var guards = []string{"ADMIN_MFA_REQUIRED", "CAPTCHA_ENABLED", "SECURE_COOKIES"}

// programs compares where images come from. Another digest of the same repository is a release; another repository is
// somebody else's program.
func programs(was, is []string) []string {
	if known := repositories(was); len(known) > 0 && len(missing(repositories(is), known)) > 0 {
		return []string{"an image comes from another registry or repository than before: whoever owns that runs programs " +
			"on the host"}
	}
	return nil
}

// repositories are those of the image references with a digest among the texts.
func repositories(all []string) (found []string) {
	for _, text := range all {
		if at := digest.FindStringIndex(text); at != nil {
			name := text[:at[0]]
			if colon := strings.LastIndex(name, ":"); colon > strings.LastIndex(name, "/") {
				name = name[:colon]
			}
			found = append(found, name)
		}
	}
	return found
}

// texts are the strings of a property that is one or a list of them; what is not known yet is left out.
func texts(value any) (all []string) {
	switch v := value.(type) {
	case string:
		return []string{v}
	case []any:
		for _, one := range v {
			all = append(all, texts(one)...)
		}
	}
	return all
}

// privileges compares what a container may do to its host.
func privileges(capsBefore, caps, mountsBefore, mounts any) (why []string) {
	if more := missing(texts(caps), texts(capsBefore)); len(more) > 0 {
		why = append(why, "it gets more capabilities: "+strings.Join(quotable(more, capability), ", "))
	}
	if more := missing(sources(mounts), sources(mountsBefore)); len(more) > 0 {
		why = append(why, "it mounts more host paths: "+strings.Join(quotable(more, place), ", "))
	}
	return why
}

// What a report may repeat: names that the program or Linux gives, and no other value.
var (
	capability = regexp.MustCompile(`^CAP_[A-Z_]+$`)
	place      = regexp.MustCompile(`^(/|/var/run/docker\.sock|/(mnt|etc)/momentstudio(/[a-z_-]+)*)( \(writable\))?$`)
)

func quotable(all []string, allowed *regexp.Regexp) (out []string) {
	for _, text := range all {
		if !allowed.MatchString(text) {
			text = "one that this program does not know"
		}
		if !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return out
}

// sources are the places of the host that mounts give a container, with "writable" where it may write.
func sources(mounts any) (all []string) {
	list, _ := mounts.([]any)
	for _, m := range list {
		mount, _ := m.(map[string]any)
		source, ok := mount["source"].(string)
		if !ok {
			continue
		}
		all = append(all, source)
		if mount["readOnly"] != true {
			all = append(all, source+" (writable)")
		}
	}
	return all
}

func published(inputs map[string]any) (all []string) {
	list, _ := at(inputs, "endpointSpec.ports").([]any)
	for _, p := range list {
		port, _ := p.(map[string]any)
		if n, ok := port["publishedPort"].(float64); ok {
			all = append(all, fmt.Sprintf("%.0f/%v", n, port["protocol"]))
		}
	}
	return all
}

// widened lists the ports that some address could not reach before. What everybody may reach, the shop's own, is the
// policies' subject.
func widened(before, after any) (ports []string) {
	for port, sources := range reach(after) {
		open := reach(before)[port]
		for _, s := range sources {
			if !slices.ContainsFunc(open, func(o netip.Prefix) bool { return o.Bits() <= s.Bits() && o.Contains(s.Addr()) }) {
				ports = append(ports, port)
				break
			}
		}
	}
	slices.Sort(ports)
	return ports
}

// reach lists by port and protocol which addresses may reach it.
func reach(rules any) map[string][]netip.Prefix {
	found := map[string][]netip.Prefix{}
	for _, r := range restricted(rules) {
		for _, s := range texts(r.sources) {
			if p, err := netip.ParsePrefix(s); err == nil {
				found[r.port] = append(found[r.port], p)
			}
		}
	}
	return found
}

// caddyfile is the edge's configuration among a job's uploads.
func caddyfile(uploads any) string {
	list, _ := uploads.([]any)
	for _, u := range list {
		upload, _ := u.(map[string]any)
		file, _ := upload["file"].(string)
		if content, ok := upload["content"].(string); ok && strings.HasPrefix(path.Base(file), "Caddyfile") {
			return content
		}
	}
	return ""
}

var (
	zoneLine  = regexp.MustCompile(`(?m)^\s*zone (\S+) \{\n(?:\s*key .*\n)?(?:\s*window .*\n)?\s*events (\d+)`)
	bodyLine  = regexp.MustCompile(`(?m)^\s*limit_bodies `)
	sizeLine  = regexp.MustCompile(`(?m)^\s*max_size (\d+)MB`)
	ownCA     = regexp.MustCompile(`(?m)^\s*local_certs$`)
	pageGuard = regexp.MustCompile(`(?m)^\s*(Content-Security-Policy|Strict-Transport-Security|X-Frame-Options|` +
		`X-Content-Type-Options) (.*)$`)
)

// edgeGuards compares what the edge refuses.
func edgeGuards(was, is string) (why []string) {
	if was == "" || is == "" {
		return nil
	}
	limits := pairs(zoneLine, is)
	var looser []string
	for name, before := range pairs(zoneLine, was) {
		if limits[name] == "" || atoi(limits[name]) > atoi(before) {
			looser = append(looser, name)
		}
	}
	slices.Sort(looser)
	if len(looser) > 0 {
		why = append(why, "rate limits are raised or removed: "+strings.Join(looser, ", "))
	}
	if bodyLine.MatchString(was) && !bodyLine.MatchString(is) {
		why = append(why, "the limit of concurrent request bodies is removed")
	}
	if largest(is) > largest(was) {
		why = append(why, "the application receives larger requests")
	}
	if ownCA.MatchString(is) && !ownCA.MatchString(was) {
		why = append(why, "the certificate is of an authority that browsers do not trust")
	}
	headers := pairs(pageGuard, is)
	var changed []string
	for name, before := range pairs(pageGuard, was) {
		if headers[name] != before {
			changed = append(changed, name)
		}
	}
	slices.Sort(changed)
	if len(changed) > 0 {
		why = append(why, "security headers are changed or removed: "+strings.Join(changed, ", "))
	}
	return why
}

// pairs are the names that a pattern finds, each with its value.
func pairs(pattern *regexp.Regexp, text string) map[string]string {
	found := map[string]string{}
	for _, m := range pattern.FindAllStringSubmatch(text, -1) {
		found[m[1]] = m[2]
	}
	return found
}

func largest(text string) (n int) {
	for _, m := range sizeLine.FindAllStringSubmatch(text, -1) {
		n = max(n, atoi(m[1]))
	}
	return n
}

func atoi(text string) int {
	n, _ := strconv.Atoi(text)
	return n
}
