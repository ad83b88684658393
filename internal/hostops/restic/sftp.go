package restic

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// sftpPatience is how long an SFTP server may take to answer at all.
const sftpPatience = 30 * time.Second

// ConnectSFTP joins in and out with the SFTP subsystem of a destination's server until one side ends; restic runs it in
// place of an ssh that the image does not have. Only the host key that the config names is accepted.
func ConnectSFTP(ctx context.Context, spec hostspec.Backup, name string, in io.Reader, out io.Writer) error {
	for _, d := range spec.Destinations {
		if d.Name == name && d.SSH != nil {
			return joinSFTP(ctx, *d.SSH, in, out)
		}
	}
	return fmt.Errorf("no SFTP destination is named %q", name)
}

func joinSFTP(ctx context.Context, s hostspec.SSH, in io.Reader, out io.Writer) error {
	signer, err := ssh.ParsePrivateKey([]byte(s.Key))
	if err != nil {
		return errors.New("backupSftpKey is no private key") // never quote it
	}
	pinned, _, _, _, err := ssh.ParseAuthorizedKey([]byte(s.HostKey))
	if err != nil {
		return fmt.Errorf("backup.sftp.hostKey: %w", err)
	}
	algorithms := []string{pinned.Type()}
	if pinned.Type() == ssh.KeyAlgoRSA {
		algorithms = []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	dialer := net.Dialer{Timeout: sftpPatience}
	raw, err := dialer.DialContext(ctx, "tcp", s.Address)
	if err != nil {
		return fmt.Errorf("reach the SFTP server: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer stop()
	if err := raw.SetDeadline(time.Now().Add(sftpPatience)); err != nil {
		return err
	}
	conn, channels, requests, err := ssh.NewClientConn(raw, s.Address, &ssh.ClientConfig{
		User: s.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.FixedHostKey(pinned),
		HostKeyAlgorithms: algorithms,
	})
	if err != nil {
		_ = raw.Close()
		return fmt.Errorf("log in at the SFTP server %s as %s: %w", s.Address, s.User, err)
	}
	if err := raw.SetDeadline(time.Time{}); err != nil {
		return err
	}
	client := ssh.NewClient(conn, channels, requests)
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		return fmt.Errorf("open a session at the SFTP server: %w", err)
	}
	to, errIn := session.StdinPipe()
	from, errOut := session.StdoutPipe()
	if err := errors.Join(errIn, errOut, session.RequestSubsystem("sftp")); err != nil {
		return fmt.Errorf("the server %s has no SFTP: %w", s.Address, err)
	}
	go keepAlive(ctx, client)
	go func() {
		_, _ = io.Copy(to, in)
		_ = to.Close()
	}()
	if _, err := io.Copy(out, from); err != nil && ctx.Err() == nil {
		return fmt.Errorf("the connection to the SFTP server broke: %w", err)
	}
	return ctx.Err()
}

// keepAlive ends the connection of a server that does not answer any more: restic would wait for it.
func keepAlive(ctx context.Context, client *ssh.Client) {
	tick := time.NewTicker(sftpPatience)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		answered := make(chan error, 1)
		go func() {
			_, _, err := client.SendRequest("keepalive@openssh.com", true, nil)
			answered <- err
		}()
		select {
		case err := <-answered:
			if err != nil {
				return
			}
		case <-time.After(2 * sftpPatience):
			_ = client.Close()
			return
		}
	}
}
