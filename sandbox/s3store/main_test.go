package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
)

// settings are of a store on a port that is free, with a certificate of its own; roots trust that.
func settings(t *testing.T) (s store, roots *x509.CertPool) {
	t.Helper()
	dir := t.TempDir()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	privateDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}))
	return store{
		Directory: filepath.Join(dir, "store"), Address: listener.Addr().String(),
		CertFile: write("cert.pem", "CERTIFICATE", certificate), KeyFile: write("key.pem", "PRIVATE KEY", privateDER),
		Bucket: "backups", Prefix: "restic", Owner: key{"OWNER", "owner0secret"}, Writer: key{"WRITER", "writer0secret"},
		Reader: key{"READER", "reader0secret"}, State: "states", Operator: key{"OPERATOR", "operator0secret"},
	}, roots
}

// start serves the store until the test's end, or until stop, as whoever holds its standard input would.
func start(t *testing.T, s store) (stop func()) {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	owner, holder := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- run(context.WithoutCancel(t.Context()), config, owner) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		_ = holder.Close()
		if err := <-ended; err != nil {
			t.Errorf("the store ended with %v", err)
		}
	}
	t.Cleanup(stop)
	for range 100 {
		if conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.Address); err == nil {
			_ = conn.Close()
			return stop
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("the store does not answer")
	return nil
}

// as is a client with a key.
func (s store) as(k key, roots *x509.CertPool) *s3.Client {
	return s3.New(s3.Options{
		Region: "us-east-1", BaseEndpoint: aws.String("https://" + s.Address), UsePathStyle: true, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(k.Access, k.Secret, ""),
		HTTPClient: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{
			RootCAs:    roots,
			MinVersion: tls.VersionTLS12,
		}}},
	})
}

func put(t *testing.T, c *s3.Client, name, content string) error {
	t.Helper()
	_, err := c.PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: aws.String("backups"), Key: &name,
		Body: strings.NewReader(content),
	})
	return err
}

func get(t *testing.T, c *s3.Client, name string, version *string) (string, error) {
	t.Helper()
	out, err := c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("backups"), Key: &name, VersionId: version})
	if err != nil {
		return "", err
	}
	defer out.Body.Close()
	text, err := io.ReadAll(out.Body)
	return string(text), err
}

func remove(t *testing.T, c *s3.Client, name string, version *string) error {
	t.Helper()
	_, err := c.DeleteObject(t.Context(), &s3.DeleteObjectInput{
		Bucket: aws.String("backups"), Key: &name,
		VersionId: version,
	})
	return err
}

// code is the S3 error's own; empty without an error.
func code(err error) string {
	var known smithy.APIError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &known):
		return known.ErrorCode()
	default:
		return err.Error()
	}
}

func TestKeysDoWhatTheirPolicySays(t *testing.T) {
	s, roots := settings(t)
	start(t, s)
	owner, writer, reader := s.as(s.Owner, roots), s.as(s.Writer, roots), s.as(s.Reader, roots)
	const pack, lock = "restic/data/00/pack", "restic/locks/lock"
	listed, err := writer.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{
		Bucket: &s.Bucket,
		Prefix: aws.String("restic/keys/"),
	})
	if err != nil || len(listed.Contents) != 0 {
		t.Errorf("an empty folder: %v, %v", listed, err)
	}
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"a key that nobody has", put(t, s.as(key{"NOBODY", "writer0secret"}, roots), pack, "one"), "InvalidAccessKeyId"},
		{
			"a secret that is another's", put(t, s.as(key{"WRITER", "reader0secret"}, roots), pack, "one"),
			"SignatureDoesNotMatch",
		},
		{"the host adds", put(t, writer, pack, "one"), ""},
		{"the host locks", put(t, writer, lock, "mine"), ""},
		{"the host takes its lock back", remove(t, writer, lock, nil), ""},
		{"the host deletes data", remove(t, writer, pack, nil), "AccessDenied"},
		{"the host writes beside the repository", put(t, writer, "other/data", "one"), "AccessDenied"},
		{"a drill adds", put(t, reader, pack, "two"), "AccessDenied"},
		{"a drill locks", put(t, reader, lock, "mine"), "AccessDenied"},
		{"a drill deletes", remove(t, reader, pack, nil), "AccessDenied"},
	} {
		if got := code(c.err); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if text, err := get(t, reader, pack, nil); text != "one" {
		t.Errorf("a drill reads %q, %v", text, err)
	}

	// A host that was broken into writes garbage over what is there: the owner has what was there before.
	if err := put(t, writer, pack, "garbage"); err != nil {
		t.Fatal(err)
	}
	versions, err := owner.ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{
		Bucket: &s.Bucket,
		Prefix: aws.String(pack),
	})
	if err != nil || len(versions.Versions) != 2 {
		t.Fatalf("%+v, %v, want two versions", versions, err)
	}
	old := versions.Versions[1].VersionId
	if got := code(remove(t, writer, pack, old)); got != "AccessDenied" {
		t.Errorf("the host deletes an old version: %q", got)
	}
	if text, err := get(t, owner, pack, old); text != "one" {
		t.Errorf("the version of before is %q, %v", text, err)
	}
	if err := remove(t, owner, pack, nil); err != nil {
		t.Errorf("the owner deletes: %v", err)
	}
}

func TestTheOperatorKeepsStatesAndNothingElse(t *testing.T) {
	s, roots := settings(t)
	start(t, s)
	operator, writer := s.as(s.Operator, roots), s.as(s.Writer, roots)
	const state, history = ".pulumi/stacks/prod.json", ".pulumi/history/prod-1.json"
	write := func(c *s3.Client, content string) error {
		_, err := c.PutObject(t.Context(), &s3.PutObjectInput{
			Bucket: &s.State, Key: aws.String(state), Body: strings.NewReader(content),
		})
		return err
	}
	if err := write(operator, "one"); err != nil {
		t.Fatal(err)
	}
	_, errCopy := operator.CopyObject(t.Context(), &s3.CopyObjectInput{
		Bucket: &s.State, Key: aws.String(history), CopySource: aws.String(s.State + "/" + state),
	})
	_, errRemove := operator.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &s.State, Key: aws.String(history)})
	_, errList := operator.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &s.State})
	_, errRead := operator.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &s.Bucket})
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"the state is copied to its history", errCopy, ""},
		{"the history is shortened", errRemove, ""},
		{"the states are listed", errList, ""},
		{"the backups are listed", errRead, "AccessDenied"},
		{"a host writes a state", write(writer, "two"), "AccessDenied"},
	} {
		if got := code(c.err); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestAStoreThatIsStartedAgainHasWhatItHad(t *testing.T) {
	s, roots := settings(t)
	stop := start(t, s)
	if err := put(t, s.as(s.Writer, roots), "restic/config", "text"); err != nil {
		t.Fatal(err)
	}
	stop()
	if _, err := get(t, s.as(s.Reader, roots), "restic/config", nil); err == nil {
		t.Fatal("it answers after its end")
	}
	start(t, s)
	if text, err := get(t, s.as(s.Reader, roots), "restic/config", nil); text != "text" {
		t.Errorf("%q, %v", text, err)
	}
}

// The server changes the working directory.
var guidePath, _ = filepath.Abs("../../docs/guides/back-up.md")

func TestTheGuideNamesThePolicies(t *testing.T) {
	guide, err := os.ReadFile(guidePath)
	if err != nil {
		t.Fatal(err)
	}
	var told []document
	for _, block := range regexp.MustCompile("(?s)```json\n(.*?)```").FindAllSubmatch(guide, -1) {
		var d document
		strict := json.NewDecoder(bytes.NewReader(block[1]))
		strict.DisallowUnknownFields()
		if err := strict.Decode(&d); err != nil {
			t.Fatalf("%v in\n%s", err, block[1])
		}
		told = append(told, d)
	}
	want := []document{{Version: "2012-10-17"}, {Version: "2012-10-17"}} // the host's, the drill's
	for _, s := range policyOf("BUCKET", "restic", "host", "drill").Statement {
		n := map[string]int{"host": 0, "drill": 1}[s.Principal]
		s.Principal = ""
		want[n].Statement = append(want[n].Statement, s)
	}
	if !reflect.DeepEqual(told, want) {
		t.Errorf("docs/guides/back-up.md has the policies\n%+v\nwant\n%+v", told, want)
	}
}
