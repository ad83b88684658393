package runner

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"log"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// startS3 starts the S3 store, which ends with ctx, or with this process; ended tells when it did. It is there when
// startS3 returns.
func (s Settings) startS3(ctx context.Context) (ended <-chan error, err error) {
	config, err := json.Marshal(map[string]any{
		"directory": s.path("offhost", "s3"), "address": s.address(s3Port),
		"certFile": s.path("ca", "server.pem"), "keyFile": s.path("ca", "server-key.pem"),
		"bucket": backupBucket, "prefix": backupPrefix, "owner": BackupOwner, "writer": backupWriter,
		"reader": BackupReader, "state": StateBucket, "operator": StateOperator,
	})
	if err != nil {
		return nil, err
	}
	path := s.path("run", "s3store.json")
	if err := os.WriteFile(path, config, 0o600); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, s.path("run", "s3store"), "-config", path)
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 15 * time.Second
	// The other side of its standard input closes with this process, however that ends.
	if _, err := cmd.StdinPipe(); err != nil {
		return nil, err
	}
	said, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	end, serving := make(chan error, 1), make(chan struct{})
	go func() {
		for lines, told := bufio.NewScanner(said), false; lines.Scan(); {
			log.Print(lines.Text())
			if !told && lines.Text() == "s3store: serving" {
				told = true
				close(serving)
			}
		}
		end <- errors.Join(errors.New("it ended"), cmd.Wait())
		close(end)
	}()
	select {
	case <-serving:
		return end, nil
	case err := <-end:
		return nil, err
	case <-time.After(time.Minute):
		return nil, errors.New("it does not say within a minute that it serves")
	}
}
