package runner

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// startS3 starts the S3 store, which ends with ctx, or with this process; ended tells when it did. It is there when startS3 returns.
func (s Settings) startS3(ctx context.Context) (ended <-chan error, err error) {
	config, err := json.Marshal(map[string]any{
		"directory": s.path("offhost", "s3"), "address": s.address(s3Port),
		"certFile": s.path("ca", "server.pem"), "keyFile": s.path("ca", "server-key.pem"),
		"bucket": backupBucket, "prefix": backupPrefix, "owner": BackupOwner, "writer": backupWriter, "reader": BackupReader,
	})
	if err != nil {
		return nil, err
	}
	path := s.path("run", "s3store.json")
	if err := os.WriteFile(path, config, 0o600); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, s.path("run", "s3store"), "-config", path) //nolint:gosec // our own program
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 15 * time.Second
	// The other side of its standard input closes with this process, however that ends.
	if _, err := cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	end := make(chan error, 1)
	go func() {
		end <- cmd.Wait()
		close(end)
	}()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.address(s3Port)); err == nil {
			_ = conn.Close()
			return end, nil
		}
		select {
		case err := <-end:
			return nil, fmt.Errorf("it ended at its start: %w", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil, fmt.Errorf("it does not answer on %s within a minute", s.address(s3Port))
}
