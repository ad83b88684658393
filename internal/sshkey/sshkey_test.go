package sshkey_test

import (
	"bytes"
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/prekzursil/momentstudio-infra/internal/needs"
	"github.com/prekzursil/momentstudio-infra/internal/sshkey"
)

const seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60" // RFC 8032, test 1

func derive(t *testing.T, seed, comment string) sshkey.Key {
	t.Helper()
	k, err := sshkey.FromSeed(seed, comment)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestDerivedKeySignsForItsPublicHalf(t *testing.T) {
	// Comments of each length modulo 8, because the private block is padded to it.
	for n := range 9 {
		k := derive(t, seed, "c"+strings.Repeat("x", n))
		signer, err := ssh.ParsePrivateKey([]byte(k.PrivatePEM))
		if err != nil {
			t.Fatalf("comment of %d: %v", n+1, err)
		}
		public, comment, _, _, err := ssh.ParseAuthorizedKey([]byte(k.Public))
		if err != nil {
			t.Fatal(err)
		}
		if comment != "c"+strings.Repeat("x", n) || strings.Contains(k.Public, "\n") {
			t.Errorf("the public line %q does not end with its comment", k.Public)
		}
		if !bytes.Equal(signer.PublicKey().Marshal(), public.Marshal()) {
			t.Error("the private key belongs to another public key")
		}
		signature, err := signer.Sign(rand.Reader, []byte("message"))
		if err != nil {
			t.Fatal(err)
		}
		if err := public.Verify([]byte("message"), signature); err != nil {
			t.Error(err)
		}
		if err := public.Verify([]byte("another"), signature); err == nil {
			t.Error("any message verifies")
		}
	}
}

func TestSameSeedSameText(t *testing.T) {
	a, b := derive(t, seed, "deploy"), derive(t, seed, "deploy")
	if a != b {
		t.Error("two runs differ, which would show as a change of every resource with the key")
	}
	if other := derive(t, "0"+seed[1:], "deploy"); other.Public == a.Public || other.PrivatePEM == a.PrivatePEM {
		t.Error("another seed gives the same key")
	}
}

func TestKeyIsTheSeedsOwn(t *testing.T) {
	// The public key of RFC 8032's first test vector, behind the SSH type's 19 bytes.
	public, _, _, _, err := ssh.ParseAuthorizedKey([]byte(derive(t, seed, "x").Public))
	if err != nil {
		t.Fatal(err)
	}
	want := "\xd7\x5a\x98\x01\x82\xb1\x0a\xb7\xd5\x4b\xfe\xd3\xc9\x64\x07\x3a" +
		"\x0e\xe1\x72\xf3\xda\xa6\x23\x25\xaf\x02\x1a\x68\xf7\x07\x51\x1a"
	if got := public.Marshal(); !bytes.HasSuffix(got, []byte(want)) {
		t.Errorf("got %x", got)
	}
}

func TestOpenSSHReadsTheKey(t *testing.T) {
	k := derive(t, seed, "deploy@momentstudio")
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(k.PrivatePEM), 0o600); err != nil {
		t.Fatal(err)
	}
	needs.Program(t, "ssh-keygen")
	out, err := exec.Command("ssh-keygen", "-y", "-P", "", "-f", path).CombinedOutput() //nolint:gosec // our own file
	if err != nil {
		t.Fatalf("ssh-keygen (package openssh-client): %v: %s", err, out)
	}
	if got := strings.TrimSpace(string(out)); got != k.Public {
		t.Errorf("ssh-keygen derives %s, want %s", got, k.Public)
	}
}

func TestOtherSeedsAreRefusedWithoutBeingQuoted(t *testing.T) {
	for name, bad := range map[string]string{
		"empty": "", "one byte short": seed[2:], "one byte long": seed + "ab", "half a byte": seed[1:],
		"no hex digits": strings.Repeat("canary-4", 8),
	} {
		t.Run(name, func(t *testing.T) {
			k, err := sshkey.FromSeed(bad, "deploy")
			if err == nil {
				t.Fatal("the seed was accepted")
			}
			if !strings.Contains(err.Error(), `"deploy"`) || !strings.Contains(err.Error(), "64 hex digits") {
				t.Errorf("%v: want the key's name and what a seed is", err)
			}
			if bad != "" && strings.Contains(err.Error(), bad[:8]) {
				t.Errorf("the error quotes the seed: %v", err)
			}
			if k != (sshkey.Key{}) {
				t.Error("a key comes with the error")
			}
		})
	}
}

func TestKnownHost(t *testing.T) {
	k := derive(t, seed, "host")
	line, err := sshkey.KnownHost("203.0.113.7", k.Public)
	if err != nil {
		t.Fatal(err)
	}
	marker, hosts, key, comment, rest, err := ssh.ParseKnownHosts([]byte(line))
	if err != nil || marker != "" || comment != "" || len(rest) != 0 || strings.Contains(line, "\n") {
		t.Fatalf("%q is not one plain line: %v", line, err)
	}
	want, _, _, _, err := ssh.ParseAuthorizedKey([]byte(k.Public))
	if err != nil {
		t.Fatal(err)
	}
	if len(hosts) != 1 || hosts[0] != "203.0.113.7" || !bytes.Equal(key.Marshal(), want.Marshal()) {
		t.Errorf("%q pins another host or key", line)
	}
	if _, err := sshkey.KnownHost("203.0.113.7", "ssh-ed25519 nonsense"); err == nil || !strings.Contains(err.Error(),
		"203.0.113.7") {
		t.Errorf("got %v, want an error that names the host", err)
	}
}
