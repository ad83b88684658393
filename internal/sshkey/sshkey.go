// Package sshkey derives ed25519 SSH keys from seeds that live in state, so that every run and
// every machine computes the very same key files.
package sshkey

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"fmt"

	"golang.org/x/crypto/ssh"
)

// Key is one key pair in OpenSSH's formats.
type Key struct {
	PrivatePEM string // "-----BEGIN OPENSSH PRIVATE KEY-----", unencrypted; a secret
	Public     string // "ssh-ed25519 AAAA… comment", no newline
}

// FromSeed derives the key of a 32-byte seed given as 64 hex digits. It fails on any other
// seed, without quoting it.
func FromSeed(seedHex, comment string) (Key, error) {
	seed, err := hex.DecodeString(seedHex)
	if err != nil || len(seed) != ed25519.SeedSize {
		return Key{}, fmt.Errorf("derive SSH key %q: the seed is not %d hex digits", comment, 2*ed25519.SeedSize)
	}
	private := ed25519.NewKeyFromSeed(seed)
	public, err := ssh.NewPublicKey(private.Public())
	if err != nil {
		return Key{}, fmt.Errorf("derive SSH key %q: %w", comment, err)
	}
	line := string(ssh.MarshalAuthorizedKey(public))
	return Key{
		PrivatePEM: string(pem.EncodeToMemory(&pem.Block{
			Type:  "OPENSSH PRIVATE KEY",
			Bytes: marshal(private, public, comment),
		})),
		Public: line[:len(line)-1] + " " + comment,
	}, nil
}

// marshal writes the unencrypted openssh-key-v1 format (openssh-portable PROTOCOL.key).
// x/crypto/ssh can write it too, but with a random check number: the text would differ on every
// run, and with it the inputs of resources.
func marshal(private ed25519.PrivateKey, public ssh.PublicKey, comment string) []byte {
	sum := sha256.Sum256(private.Seed())
	check := binary.BigEndian.Uint32(sum[:4])
	inner := ssh.Marshal(struct {
		Check1, Check2 uint32
		Type           string
		Pub, Priv      []byte
		Comment        string
	}{check, check, public.Type(), private.Public().(ed25519.PublicKey), private, comment})
	for pad := byte(1); len(inner)%8 != 0; pad++ {
		inner = append(inner, pad)
	}
	outer := ssh.Marshal(struct {
		Cipher, KDF, KDFOptions string
		Keys                    uint32
		Pub, PrivBlock          []byte
	}{"none", "none", "", 1, public.Marshal(), inner})
	return append([]byte("openssh-key-v1\x00"), outer...)
}

// KnownHost returns the known_hosts line that pins public for host.
func KnownHost(host, public string) (string, error) {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(public))
	if err != nil {
		return "", fmt.Errorf("pin host key of %s: %w", host, err)
	}
	line := string(ssh.MarshalAuthorizedKey(key))
	return host + " " + line[:len(line)-1], nil
}
