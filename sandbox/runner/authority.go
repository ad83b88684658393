package runner

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"time"
)

// authority is the CA of the sandbox's own endpoints: registry, emulated Cloudflare, ACME directory.
type authority struct {
	certPEM, serverPEM, serverKeyPEM []byte
}

// loadAuthority reads the CA of an earlier run or makes one. Hosts trust it from their first boot,
// so it must outlive the process that serves.
func (s Settings) loadAuthority() (authority, error) {
	var a authority
	files := []struct {
		name string
		into *[]byte
	}{{"ca.pem", &a.certPEM}, {"server.pem", &a.serverPEM}, {"server-key.pem", &a.serverKeyPEM}}
	missing := false
	for _, f := range files {
		text, err := os.ReadFile(s.path("ca", f.name))
		if errors.Is(err, fs.ErrNotExist) {
			missing = true
			break
		}
		if err != nil {
			return a, fmt.Errorf("read the sandbox's CA: %w", err)
		}
		*f.into = text
	}
	if !missing {
		return a, nil
	}
	if err := a.generate(net.IP(s.Gateway().AsSlice())); err != nil {
		return a, fmt.Errorf("make the sandbox's CA: %w", err)
	}
	if err := os.MkdirAll(s.path("ca"), 0o700); err != nil {
		return a, fmt.Errorf("keep the sandbox's CA: %w", err)
	}
	for _, f := range files {
		if err := os.WriteFile(s.path("ca", f.name), *f.into, 0o600); err != nil {
			return a, fmt.Errorf("keep the sandbox's CA: %w", err)
		}
	}
	return a, nil
}

func (a *authority) generate(ip net.IP) error {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "momentstudio sandbox CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	server := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "momentstudio sandbox"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
		IPAddresses: []net.IP{ip, net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, server, ca, key.Public(), caKey)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	// The CA's key is not kept: nothing else is ever signed.
	a.certPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER})
	a.serverPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	a.serverKeyPEM = pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
	return nil
}
