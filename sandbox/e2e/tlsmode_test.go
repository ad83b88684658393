package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"testing"
	"time"
)

// tlsModes goes from certificates of an ACME authority to one of the operator's own, and back. The new mode needs a
// mount that the running Caddy does not have.
func tlsModes(t *testing.T, w *env) {
	certificate, key := ownCertificate(t, "momentstudio.test", "www.momentstudio.test")
	roots, err := os.ReadFile(w.s.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	trusted := func(text []byte) {
		if err := os.WriteFile(w.s.CAFile(), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	trusted(append(roots, certificate...))
	defer trusted(roots)
	back := w.keepConfig()
	defer back()
	w.configure("tls", "mode", "file")
	w.setSecret("tlsCertificate", string(certificate))
	w.setSecret("tlsKey", string(key))
	w.mustUpdate()
	if issuer := w.issuer(); issuer != "the operator" {
		t.Errorf("the certificate is issued by %q, want the operator's own", issuer)
	}
	back()
	w.mustUpdate()
	if issuer := w.issuer(); issuer == "the operator" {
		t.Error("the operator's certificate is still served")
	}
}

// issuer is who issued the certificate that a visitor sees.
func (w *env) issuer() string {
	w.t.Helper()
	r, err := newSite(w.t, w).client.Get("https://momentstudio.test/")
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		w.t.Errorf("the shop answers %s", r.Status)
	}
	return r.TLS.PeerCertificates[0].Issuer.CommonName
}

// ownCertificate is a self-signed certificate for the names.
func ownCertificate(t *testing.T, names ...string) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "the operator"}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(60 * 24 * time.Hour), IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
}
