// Command s3store serves the sandbox's buckets with versitygw, a real S3 server: requests are signed, and a
// policy says what each key may do. It is a program and a module of its own because the server wants a process to
// itself (it changes the working directory) and many modules that nothing else needs.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
	"github.com/versity/versitygw/s3api"
	"github.com/versity/versitygw/s3err"
)

// store is the file that -config names. Every field is required.
type store struct {
	Directory string `json:"directory"` // of objects, their old versions and the keys; made when missing
	Address   string `json:"address"`   // host:port
	CertFile  string `json:"certFile"`  // PEM
	KeyFile   string `json:"keyFile"`   // PEM
	Bucket    string `json:"bucket"`
	Prefix    string `json:"prefix"`   // of the repository in the bucket
	Owner     key    `json:"owner"`    // may do everything
	Writer    key    `json:"writer"`   // adds to the repository, as a host does
	Reader    key    `json:"reader"`   // reads it, as a drill does
	State     string `json:"state"`    // a second bucket, for the states of stacks
	Operator  key    `json:"operator"` // reads and writes the states
}

type key struct {
	Access string `json:"access"`
	Secret string `json:"secret"`
}

// serving is the line on standard output from which on the store answers.
const serving = "s3store: serving"

// copyLimit is the largest object that one request copies, in bytes, as in AWS. The CLI copies each state to its
// history.
const copyLimit = 5 << 30

func main() {
	path := flag.String("config", "", "file that says what to serve")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *path, os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "s3store:", err)
		os.Exit(1)
	}
}

// run serves until ctx or owner ends: whoever started it holds owner's other side, also when it is killed.
func run(ctx context.Context, path string, owner io.Reader) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read -config: %w", err)
	}
	var s store
	if err := json.Unmarshal(text, &s); err != nil {
		return fmt.Errorf("read -config: %s: %w", path, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, owner)
		cancel()
	}()
	return s.serve(ctx)
}

func (s store) serve(ctx context.Context) error {
	objects, versions, keys := filepath.Join(s.Directory, "objects"), filepath.Join(s.Directory,
		"versions"), filepath.Join(s.Directory, "keys")
	for _, dir := range []string{objects, versions, keys} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	if err := (meta.XattrMeta{}).Test(objects); err != nil {
		return fmt.Errorf("%s is on a file system without extended attributes, in which the store keeps what it knows of "+
			"objects: %w", objects, err)
	}
	options := posix.PosixOpts{VersioningDir: versions, CopyObjectThreshold: copyLimit}
	options.SetNewDirPerm(0o700)
	options.SetNewFilePerm(0o600)
	backend, err := posix.New(objects, meta.XattrMeta{}, options)
	if err != nil {
		return err
	}
	for _, bucket := range []string{s.Bucket, s.State} {
		if err := s.makeBucket(ctx, backend, bucket); err != nil {
			return fmt.Errorf("make bucket %s: %w", bucket, err)
		}
	}
	accounts, err := auth.NewInternal(auth.Account{Access: s.Owner.Access, Secret: s.Owner.Secret, Role: auth.RoleAdmin},
		keys)
	if err != nil {
		return err
	}
	for _, k := range []key{s.Writer, s.Reader, s.Operator} {
		if err := accounts.CreateAccount(auth.Account{
			Access: k.Access, Secret: k.Secret,
			Role: auth.RoleUser,
		}); err != nil && !errors.Is(err, auth.ErrUserExists) {
			return fmt.Errorf("make key %s: %w", k.Access, err)
		}
	}
	for bucket, policy := range map[string]document{
		s.Bucket: policyOf(s.Bucket, s.Prefix, s.Writer.Access, s.Reader.Access),
		s.State:  statePolicy(s.State, s.Operator.Access),
	} {
		text, err := json.Marshal(policy)
		if err != nil {
			return err
		}
		if err := auth.ValidatePolicyDocument(text, bucket, accounts); err != nil {
			return fmt.Errorf("the policy of bucket %s: %w", bucket, err)
		}
		if err := backend.PutBucketPolicy(ctx, bucket, text); err != nil {
			return fmt.Errorf("the policy of bucket %s: %w", bucket, err)
		}
	}
	err = embedgw.RunVersityGW(ctx, backend, &embedgw.Config{
		RootUserAccess: s.Owner.Access, RootUserSecret: s.Owner.Secret, IAMService: accounts,
		Ports: []string{s.Address}, CertFile: s.CertFile, KeyFile: s.KeyFile,
		MaxConnections: 1000, MaxRequests: 1000, MultipartMaxParts: 10000,
		Quiet: true, KeepAlive: true, DisableACLs: true,
		S3Options: []s3api.Option{s3api.WithOnListen(func() { fmt.Fprintln(os.Stdout, serving) })},
	})
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// makeBucket makes the bucket when there is none. What is deleted or written over in it stays there as a version.
func (s store) makeBucket(ctx context.Context, backend *posix.Posix, bucket string) error {
	owner, err := json.Marshal(auth.ACL{Owner: s.Owner.Access})
	if err != nil {
		return err
	}
	//nolint:staticcheck // the server's own key
	ctx = context.WithValue(ctx, "bucket-owner", auth.Account{Access: s.Owner.Access})
	err = backend.CreateBucket(ctx, &s3.CreateBucketInput{
		Bucket:                    &bucket,
		CreateBucketConfiguration: &types.CreateBucketConfiguration{},
	}, owner)
	var known s3err.S3Error
	if err != nil && (!errors.As(err, &known) || known.BaseError().Code != "BucketAlreadyOwnedByYou") {
		return err
	}
	return backend.PutBucketVersioning(ctx, bucket, types.BucketVersioningStatusEnabled)
}
