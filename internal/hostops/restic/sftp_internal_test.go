package restic

import (
	"bytes"
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

func sshPair(t *testing.T) (privatePEM string, signer ssh.Signer, authorized string) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	if signer, err = ssh.NewSignerFromKey(private); err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block)), signer,
		strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
}

// echoServer is an SSH server whose SFTP says everything back.
func echoServer(t *testing.T, host ssh.Signer, user ssh.PublicKey, subsystem string) string {
	t.Helper()
	config := &ssh.ServerConfig{PublicKeyCallback: func(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if c.User() != "backup" || !bytes.Equal(key.Marshal(), user.Marshal()) {
			return nil, errors.New("not known here")
		}
		return &ssh.Permissions{}, nil
	}}
	config.AddHostKey(host)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			raw, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer raw.Close()
				_, channels, requests, err := ssh.NewServerConn(raw, config)
				if err != nil {
					return
				}
				go ssh.DiscardRequests(requests)
				for c := range channels {
					channel, asked, err := c.Accept()
					if err != nil {
						return
					}
					for r := range asked {
						good := r.Type == "subsystem" && bytes.HasSuffix(r.Payload, []byte(subsystem))
						_ = r.Reply(good, nil)
						if good {
							_, _ = io.Copy(channel, channel)
							_ = channel.Close()
							break
						}
					}
				}
			}()
		}
	}()
	return listener.Addr().String()
}

func TestSFTPIsReachedWithThePinnedKeyOnly(t *testing.T) {
	key, user, _ := sshPair(t)
	otherKey, _, otherHost := sshPair(t)
	_, host, pinned := sshPair(t)
	good := hostspec.SSH{Address: echoServer(t, host, user.PublicKey(), "sftp"), User: "backup", HostKey: pinned, Key: key}
	noSFTP := good
	noSFTP.Address = echoServer(t, host, user.PublicKey(), "netconf")
	for name, c := range map[string]struct {
		spoil func(*hostspec.SSH)
		want  string
	}{
		"as it should be":    {func(*hostspec.SSH) {}, ""},
		"another host key":   {func(s *hostspec.SSH) { s.HostKey = otherHost }, "host key mismatch"},
		"another login key":  {func(s *hostspec.SSH) { s.Key = otherKey }, "unable to authenticate"},
		"another user":       {func(s *hostspec.SSH) { s.User = "root" }, "unable to authenticate"},
		"a key that is none": {func(s *hostspec.SSH) { s.Key = "canary" }, "backupSftpKey is no private key"},
		"nobody there":       {func(s *hostspec.SSH) { s.Address = "127.0.0.1:1" }, "reach the SFTP server"},
		"no SFTP there":      {func(s *hostspec.SSH) { *s = noSFTP }, "has no SFTP"},
	} {
		s := good
		c.spoil(&s)
		var out bytes.Buffer
		err := ConnectSFTP(t.Context(), hostspec.Backup{Destinations: []hostspec.Destination{
			{Name: "local"},
			{Name: "sftp", SSH: &s},
		}}, "sftp", strings.NewReader("to and fro"), &out)
		if c.want == "" {
			if err != nil || out.String() != "to and fro" {
				t.Errorf("%s: %q, %v", name, out.String(), err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if err := ConnectSFTP(t.Context(), hostspec.Backup{Destinations: []hostspec.Destination{{Name: "local"}}}, "local",
		nil, nil); err == nil {
		t.Error("a destination without SSH is connected to")
	}
}
