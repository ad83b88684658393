package hetzner

import (
	"crypto/md5" //nolint:gosec // the API identifies keys by their MD5 fingerprint
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/hetznercloud/hcloud-go/v2/hcloud/schema"
)

var sshKeys = kind[schema.SSHKey]{
	"ssh_key", "ssh_keys",
	func(s *state) map[int64]*schema.SSHKey { return s.SSHKeys },
	func(k *schema.SSHKey) fields { return fields{k.ID, &k.Name, &k.Labels} },
}

func (a *API) sshKeyRoutes() map[string]handler {
	return map[string]handler{
		"GET /v1/ssh_keys": list(a, sshKeys, func(q *request, k *schema.SSHKey) bool {
			return among(q, "fingerprint", k.Fingerprint)
		}),
		"GET /v1/ssh_keys/{id}":    show(a, sshKeys),
		"PUT /v1/ssh_keys/{id}":    update(a, sshKeys, nil),
		"POST /v1/ssh_keys":        a.createSSHKey,
		"DELETE /v1/ssh_keys/{id}": a.deleteSSHKey,
	}
}

func (a *API) createSSHKey(q *request) (int, any, error) {
	var body schema.SSHKeyCreateRequest
	if err := q.decode(&body); err != nil {
		return 0, nil, err
	}
	labels, err := labelsOf(body.Labels)
	if err != nil {
		return 0, nil, err
	}
	fingerprint, err := fingerprintOf(body.PublicKey)
	if err != nil {
		return 0, nil, err
	}
	if err := checkName(a, sshKeys, body.Name); err != nil {
		return 0, nil, err
	}
	for _, other := range a.state.SSHKeys {
		if other.Fingerprint == fingerprint {
			return 0, nil, notUnique("public_key", "SSH key with the same fingerprint already exists")
		}
	}
	key := &schema.SSHKey{
		ID: a.state.nextID(), Name: body.Name, Fingerprint: fingerprint, PublicKey: body.PublicKey,
		Labels: labels, Created: time.Now().UTC(),
	}
	created(a, sshKeys, q, key)
	return http.StatusCreated, schema.SSHKeyCreateResponse{SSHKey: *key}, nil
}

func (a *API) deleteSSHKey(q *request) (int, any, error) {
	if _, err := find(a, sshKeys, q); err != nil {
		return 0, nil, err
	}
	delete(a.state.SSHKeys, q.id)
	return http.StatusNoContent, nil, nil
}

func fingerprintOf(key string) (string, error) {
	parts := strings.Fields(key)
	if len(parts) < 2 || !strings.HasPrefix(parts[0], "ssh-") && !strings.HasPrefix(parts[0],
		"ecdsa-") && !strings.HasPrefix(parts[0], "sk-") {
		return "", invalid("public_key", "not an SSH public key")
	}
	blob, err := base64.StdEncoding.DecodeString(parts[1])
	if err != nil || len(blob) < 4 {
		return "", invalid("public_key", "not an SSH public key")
	}
	sum := md5.Sum(blob) //nolint:gosec // see the import
	return strings.ReplaceAll(fmt.Sprintf("% x", sum), " ", ":"), nil
}
