package offhost

import (
	"bytes"
	"errors"
	"io"
	"net"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// SFTP serves dir over SSH to whoever has the authorized key, until the listener is closed.
func SFTP(listener net.Listener, dir, user string, authorized ssh.PublicKey, hostKey ssh.Signer) {
	config := &ssh.ServerConfig{PublicKeyCallback: func(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if c.User() != user || !bytes.Equal(key.Marshal(), authorized.Marshal()) {
			return nil, errors.New("not known here")
		}
		return &ssh.Permissions{}, nil
	}}
	config.AddHostKey(hostKey)
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go serveSFTP(conn, config, dir)
	}
}

func serveSFTP(conn net.Conn, config *ssh.ServerConfig, dir string) {
	defer conn.Close()
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for c := range channels {
		if c.ChannelType() != "session" {
			_ = c.Reject(ssh.UnknownChannelType, "only sessions")
			continue
		}
		channel, asked, err := c.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = channel.Close() }()
			for r := range asked {
				// The payload is the subsystem's name with its length before it.
				good := r.Type == "subsystem" && bytes.HasSuffix(r.Payload, []byte("sftp"))
				_ = r.Reply(good, nil)
				if !good {
					continue
				}
				server, err := sftp.NewServer(channel, sftp.WithServerWorkingDirectory(dir))
				if err != nil {
					return
				}
				if err := server.Serve(); err != nil && !errors.Is(err, io.EOF) {
					return
				}
				return
			}
		}()
	}
}
