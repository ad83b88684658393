package machine

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/prekzursil/momentstudio-infra/sandbox/hetzner"
)

// The files of a server lie in its directory: seed is what cloud-init reads,
// platform is what the programs of the host image read (see hostimage). Both
// are mounted read-only, so they can change while the machine is off and while
// it runs.

func (d *Docker) serverDir(id int64) string {
	return filepath.Join(d.config.StateDir, "servers", strconv.FormatInt(id, 10))
}
func (d *Docker) seedDir(id int64) string     { return filepath.Join(d.serverDir(id), "seed") }
func (d *Docker) platformDir(id int64) string { return filepath.Join(d.serverDir(id), "platform") }

func (d *Docker) writeSeed(s hetzner.Server) error {
	if err := os.RemoveAll(d.serverDir(s.ID)); err != nil {
		return err
	}
	instance := strconv.FormatInt(s.ID, 10)
	if s.Generation > 1 {
		// The real platform keeps the id over a rebuild and has a new disk; what
		// matters to cloud-init is that the id changes or the disk is empty.
		instance = fmt.Sprintf("%d-%d", s.ID, s.Generation)
	}
	// JSON is YAML.
	meta, err := json.Marshal(map[string]any{"instance-id": instance, "local-hostname": s.Name, "public-keys": s.SSHKeys})
	if err != nil {
		return err
	}
	userData := s.UserData
	if userData == "" {
		userData = "#cloud-config\n{}\n"
	}
	files := map[string]string{
		"seed/meta-data":   string(meta) + "\n",
		"seed/user-data":   userData,
		"platform/volumes": "",
		"platform/address": s.PublicIPv4.String(),
	}
	for name, body := range metadata(s) {
		files["platform/metadata/"+name] = body
	}
	for i, pem := range d.config.Certificates {
		files[fmt.Sprintf("platform/certificates/sandbox-%d.crt", i)] = string(pem)
	}
	for name, body := range files {
		path := filepath.Join(d.serverDir(s.ID), name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(body), 0o644); err != nil {
			return err
		}
	}
	return d.writeFirewall(s.ID, s.Firewall)
}

// metadata is what the metadata service answers; see the program in the host
// image for the names.
func metadata(s hetzner.Server) map[string]string {
	values := map[string]string{
		"hostname": s.Name, "instance-id": strconv.FormatInt(s.ID, 10), "public-ipv4": s.PublicIPv4.String(),
		"region": "eu-central", "availability-zone": s.Location,
	}
	files := map[string]string{"hetzner+v1+userdata": s.UserData}
	var document strings.Builder
	for _, key := range []string{"availability-zone", "hostname", "instance-id", "public-ipv4", "region"} {
		files["hetzner+v1+metadata+"+key] = values[key]
		fmt.Fprintf(&document, "%s: %s\n", key, values[key])
	}
	fmt.Fprintf(&document, "public-keys:\n")
	for _, key := range s.SSHKeys {
		fmt.Fprintf(&document, "- %q\n", key)
	}
	files["hetzner+v1+metadata"] = document.String()
	return files
}

func (d *Docker) writeAddress(id int64, address string) error {
	return replace(filepath.Join(d.platformDir(id), "address"), address)
}

// writeFirewall renders the rules for iptables-restore. No file means that no
// firewall is applied.
func (d *Docker) writeFirewall(id int64, firewall *hetzner.Firewall) error {
	path := filepath.Join(d.platformDir(id), "firewall")
	if firewall == nil {
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			return err
		}
		return nil
	}
	return replace(path, renderFirewall(firewall))
}

func renderFirewall(firewall *hetzner.Firewall) string {
	var b strings.Builder
	b.WriteString("*mangle\n:CLOUD-FIREWALL - [0:0]\n")
	b.WriteString("-A CLOUD-FIREWALL -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN\n")
	for _, rule := range firewall.Rules {
		for _, source := range rule.Sources {
			if !source.Addr().Is4() {
				continue // the public network of the sandbox is IPv4 only
			}
			fmt.Fprintf(&b, "-A CLOUD-FIREWALL -s %s -p %s", source, rule.Protocol)
			if rule.FromPort != 0 {
				fmt.Fprintf(&b, " --dport %d:%d", rule.FromPort, rule.ToPort)
			}
			b.WriteString(" -j RETURN\n")
		}
	}
	b.WriteString("-A CLOUD-FIREWALL -j DROP\nCOMMIT\n")
	return b.String()
}

// replace writes a file that a running host may be reading.
func replace(path, body string) error {
	next := path + ".next"
	if err := os.WriteFile(next, []byte(body), 0o644); err != nil {
		return err
	}
	return os.Rename(next, path)
}
