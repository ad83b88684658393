package review_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/render"
	"github.com/prekzursil/momentstudio-infra/internal/review"
)

const (
	serviceType   = "docker:index/service:Service"
	containerType = "docker:index/container:Container"
	firewallType  = "hcloud:index/firewall:Firewall"
)

func image(repository, number string) string {
	return repository + "@sha256:" + strings.Repeat(number, 64)
}

// inputs are as the engine has them: JSON.
func inputs(t *testing.T, v any) (out map[string]any) {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

type object = map[string]any

// backend is a service before a change, and edit changes it.
func backend(edit func(container, service object)) object {
	container := object{
		"image": image("ghcr.io/shop/backend", "1"), "capAdds": []string{"CAP_CHOWN"},
		"mounts": []object{{"source": "/mnt/momentstudio/uploads", "readOnly": true}},
		"env":    object{"ADMIN_MFA_REQUIRED": "1", "SECURE_COOKIES": "1", "CAPTCHA_ENABLED": "1", "SITE_NAME": "shop"},
	}
	service := object{
		"taskSpec": object{
			"containerSpec": container, "resources": object{"limits": object{"memoryBytes": 1 << 30}},
		},
		"updateConfig": object{"order": "start-first"},
	}
	edit(container, service)
	return service
}

func job(edit func(job object)) object {
	job := object{
		"image": image("ghcr.io/shop/ops", "1"), "networkMode": "none",
		"command":      []string{"migrate", "--image", image("ghcr.io/shop/backend", "1")},
		"capabilities": object{"adds": []string{"CAP_DAC_OVERRIDE"}},
		"mounts":       []object{{"source": "/etc/momentstudio", "readOnly": true}},
	}
	edit(job)
	return job
}

func firewall(sources ...string) object {
	return object{"rules": []object{
		{"direction": "in", "protocol": "tcp", "port": "443", "sourceIps": []string{"0.0.0.0/0", "::/0"}},
		{"direction": "in", "protocol": "tcp", "port": "22", "sourceIps": sources},
	}}
}

// edge is the job that loads a Caddyfile.
func edge(t *testing.T, edit func(c *render.Caddy), more ...string) object {
	t.Helper()
	c := render.Caddy{Domain: "shop.example", Mode: "acme", Email: "a@shop.example", RateLimits: true, Edition: "1"}
	edit(&c)
	text, err := render.Caddyfile(c)
	if err != nil {
		t.Fatal(err)
	}
	text = strings.NewReplacer(more...).Replace(text)
	return job(func(j object) {
		j["uploads"] = []object{{"file": hostspec.ApplyInbox + "/" + hostspec.CaddyfileOf("1"), "content": text}}
	})
}

// securityCase is a change of one resource.
type securityCase struct {
	kind     string
	was, is  object
	says     string
	harmless bool
}

// hostCases change who runs what on the host, and who reaches it.
func hostCases() map[string]securityCase {
	same := func(object, object) {}
	still := func(object) {}
	ssh := firewall("203.0.113.7/32")
	return map[string]securityCase{
		"the API's image of somebody else": {serviceType, backend(same), backend(func(c, _ object) {
			c["image"] = image("ghcr.io/thief/backend", "1")
		}), "another registry or repository", false},
		"an image from another registry": {serviceType, backend(same), backend(func(c, _ object) {
			c["image"] = image("docker.io/shop/backend", "1")
		}), "another registry or repository", false},
		"the next release": {serviceType, backend(same), backend(func(c, _ object) {
			c["image"] = image("ghcr.io/shop/backend", "2")
		}), "", true},
		"an ops image of somebody else, which is root on the host": {containerType, job(still), job(func(j object) {
			j["image"] = image("ghcr.io/thief/ops", "1")
		}), "another registry or repository", false},
		"the ops image's next release": {containerType, job(still), job(func(j object) {
			j["image"] = image("ghcr.io/shop/ops:v2", "2")
		}), "", true},
		"an image of somebody else in a job's command": {containerType, job(still), job(func(j object) {
			j["command"] = []string{"migrate", "--image", image("ghcr.io/thief/backend", "1")}
		}), "another registry or repository", false},
		"SSH from one more network": {
			firewallType, ssh, firewall("203.0.113.7/32", "198.51.100.0/24"), "port 22/tcp", false,
		},
		"SSH from a wider network": {firewallType, ssh, firewall("203.0.113.0/24"), "port 22/tcp", false},
		"SSH over IPv6 too": {
			firewallType, ssh, firewall("203.0.113.7/32", "2001:db8::/32"), "port 22/tcp", false,
		},
		"SSH from fewer addresses":    {firewallType, firewall("203.0.113.0/24"), ssh, "", true},
		"another port":                {firewallType, object{"rules": []object{}}, ssh, "port 22/tcp", false},
		"a capability for the API":    {serviceType, backend(same), backend(addCap), "CAP_SYS_ADMIN", false},
		"a capability for a job":      {containerType, job(still), job(addJobCap), "CAP_SYS_PTRACE", false},
		"one capability less":         {serviceType, backend(addCap), backend(same), "", true},
		"Docker's socket for the API": {serviceType, backend(same), backend(mountSocket), "docker.sock", false},
		"a mount that may be written": {serviceType, backend(same), backend(writable), "(writable)", false},
		"the host's disk for a job": {
			containerType, job(still), job(mountRoot), "mounts more host paths: /", false,
		},
		"a job with all privileges":   {containerType, job(still), job(privileged), "becomes privileged", false},
		"a job on the host's network": {containerType, job(still), job(onHost), "becomes privileged", false},
		"a service that listens":      {serviceType, backend(same), backend(listens), "port 5432/tcp", false},
		"staff without second factor": {
			serviceType, backend(same), backend(without("ADMIN_MFA_REQUIRED")), "ADMIN_MFA_", false,
		},
		"logins without a captcha": {
			serviceType, backend(same), backend(without("CAPTCHA_ENABLED")), "CAPTCHA_", false,
		},
		"cookies without TLS": {
			serviceType, backend(same), backend(without("SECURE_COOKIES")), "SECURE_", false,
		},
		"another name of the shop": {serviceType, backend(same), backend(without("SITE_NAME")), "", true},
	}
}

// edgeCases change what the edge refuses.
func edgeCases(t *testing.T) map[string]securityCase {
	as := func(*render.Caddy) {}
	return map[string]securityCase{
		"no limits at the edge": {
			containerType, edge(t, as), edge(t, noLimits), "removed: checkout, contact, login", false,
		},
		"a looser limit": {
			containerType, edge(t, as), edge(t, as, "events 5", "events 500"), "verify", false,
		},
		"a stricter limit":           {containerType, edge(t, as), edge(t, as, "events 5", "events 4"), "", true},
		"larger requests":            {containerType, edge(t, as), edge(t, larger), "receives larger requests", false},
		"certificates nobody trusts": {containerType, edge(t, as), edge(t, internal), "do not trust", false},
		"pages without HSTS": {
			containerType, edge(t, as), edge(t, as, "Strict-Transport-Security", "X-No"), "Strict-", false,
		},
		"a policy for foreign scripts": {
			containerType, edge(t, as), edge(t, as, "script-src 'self'", "script-src *"), "Content-", false,
		},
		"the same edge": {containerType, edge(t, as), edge(t, as), "", true},
	}
}

// Each case is one way in which a merged pull request lets somebody in. The words must name it.
func TestWhatLetsSomebodyInNeedsAnApproval(t *testing.T) {
	cases := hostCases()
	maps.Copy(cases, edgeCases(t))
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			op := map[string]string{containerType: "replace"}[c.kind]
			if op == "" {
				op = "update"
			}
			r := mustReview(t, plan(op, c.kind, "x", inputs(t, c.was), inputs(t, c.is), "any"), subject())
			why := r.Changes[0].Why
			if c.harmless {
				if r.Risk >= review.Security || r.Code() != review.CodePass {
					t.Errorf("risk %s, code %d: %s", r.Risk, r.Code(), why)
				}
				return
			}
			if r.Risk != review.Security || r.Code() != review.CodeRefused || !strings.Contains(why, c.says) {
				t.Errorf("risk %s, code %d, want security, refused, and %q in %q", r.Risk, r.Code(), c.says, why)
			}
			if strings.Contains(why, "thief") || strings.Contains(why, "198.51.100") {
				t.Errorf("the report quotes a value: %s", why)
			}
		})
	}
}

func addCap(c, _ object) { c["capAdds"] = []string{"CAP_CHOWN", "CAP_SYS_ADMIN"} }

func addJobCap(j object) {
	j["capabilities"] = object{"adds": []string{"CAP_DAC_OVERRIDE", "CAP_SYS_PTRACE"}}
}

func writable(c, _ object)     { c["mounts"] = []object{{"source": "/mnt/momentstudio/uploads"}} }
func privileged(j object)      { j["privileged"] = true }
func onHost(j object)          { j["networkMode"] = "host" }
func noLimits(c *render.Caddy) { c.RateLimits = false }
func larger(c *render.Caddy)   { c.MaxBodyMB, c.MaxUploadMB = 100, 1000 }
func internal(c *render.Caddy) { c.Mode = "internal" }

func listens(_, service object) {
	service["endpointSpec"] = object{"ports": []object{{"publishedPort": 5432, "protocol": "tcp"}}}
}

func without(name string) func(c, _ object) {
	return func(c, _ object) { c["env"].(object)[name] = "0" }
}

func mountSocket(c, _ object) {
	c["mounts"] = append(c["mounts"].([]object), object{"source": "/var/run/docker.sock", "readOnly": true})
}

func mountRoot(j object) {
	j["mounts"] = append(j["mounts"].([]object), object{"source": "/", "readOnly": true})
}

// Who approves that a server is made anew does not approve what else comes with it.
func TestANewServerHidesNoForeignImage(t *testing.T) {
	step := func(kind, name string, was, is object) object {
		return object{
			"op": "replace", "urn": "urn:pulumi:prod::momentstudio::" + kind + "::" + name, "diffReasons": []string{"any"},
			"oldState": object{"type": kind, "inputs": was}, "newState": object{"type": kind, "inputs": is},
		}
	}
	text, err := json.Marshal(object{"steps": []any{
		step("hcloud:index/server:Server", "host-server", object{"name": "a"}, object{"name": "b"}),
		step(containerType, "host-apply-job", job(func(object) {}), job(func(j object) {
			j["image"] = image("ghcr.io/thief/ops", "1")
		})),
	}})
	if err != nil {
		t.Fatal(err)
	}
	if r := mustReview(t, text, subject()); len(r.Refused) != 2 {
		t.Errorf("refused are %v, want the server and the job", r.Refused)
	}
}
