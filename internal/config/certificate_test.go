package config_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/config"
)

// certificate is a self-signed one, in PEM, with its key.
func certificate(t *testing.T, left time.Duration, names ...string) (chain, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-90 * 24 * time.Hour), NotAfter: time.Now().Add(left),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
}

func TestAGivenCertificateIsCheckedBeforeItIsLoaded(t *testing.T) {
	const month = 30 * 24 * time.Hour
	apex, www := "momentstudio.ro", "www.momentstudio.ro"
	good, key := certificate(t, month, apex, www)
	_, otherKey := certificate(t, month, apex, www)
	wildcard, wildcardKey := certificate(t, month, apex, "*."+apex)
	narrow, narrowKey := certificate(t, month, apex)
	soon, soonKey := certificate(t, 13*24*time.Hour, apex, www)
	ended, endedKey := certificate(t, -time.Hour, apex, www)
	for name, c := range map[string]struct{ chain, key, refused, warned string }{
		"a good one":             {good, key, "", ""},
		"one with a wildcard":    {wildcard, wildcardKey, "", ""},
		"the key of another":     {good, otherKey, "whose first belongs to tlsKey", ""},
		"no certificate":         {"x", key, "a chain of certificates in PEM", ""},
		"no key":                 {good, "what is no key", "a private key in PEM", ""},
		"one without www":        {narrow, narrowKey, "a certificate for " + www + ", which this one (for " + apex + ")", ""},
		"one that ends soon":     {soon, soonKey, "", "nothing renews it by itself"},
		"one that ended already": {ended, endedKey, "", "browsers turn visitors away"},
	} {
		t.Run(name, func(t *testing.T) {
			loaded, err := config.Load(source(t, "prod", set("tls.mode", "file"), secretKey("tlsCertificate", c.chain),
				secretKey("tlsKey", c.key)))
			if (c.refused == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.refused) {
				t.Errorf("got %v, want %q", err, c.refused)
			}
			if err != nil && strings.Contains(err.Error(), c.key) {
				t.Error("the error quotes the key")
			}
			warned := strings.Contains(strings.Join(loaded.Warnings, "\n"), "tlsCertificate")
			if warned != (c.warned != "") || !strings.Contains(strings.Join(loaded.Warnings, "\n"), c.warned) {
				t.Errorf("it warns %q, want %q", loaded.Warnings, c.warned)
			}
		})
	}
}
