package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"
)

// certificateSoon is how long before its end a given certificate is warned about: nothing renews it but a person.
const certificateSoon = 14 * 24 * time.Hour

// validateCertificate checks a certificate of the operator's own before anything loads it: that it is one, that the key
// belongs to it, that it has the shop's names, and how long it lasts. One that has ended is a warning: to refuse it
// would keep a release from being taken back.
func (c *Config) validateCertificate(p *problems, now time.Time) {
	if !c.TLSCertificate.Set() || !c.TLSKey.Set() || c.TLSCertificate.IsPlaceholder() || c.TLSKey.IsPlaceholder() {
		return
	}
	leaf, err := certificateOf(c.TLSCertificate.Reveal(), c.TLSKey.Reveal())
	if err != nil {
		p.add("tlsCertificate", "[secret]", err.Error())
		return
	}
	var missing []string
	for _, name := range c.Domain.Names() {
		if leaf.VerifyHostname(name) != nil {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		p.add("tlsCertificate", "[secret]", fmt.Sprintf("a certificate for %s, which this one (for %s) is not for",
			strings.Join(missing, " and "), strings.Join(leaf.DNSNames, ", ")))
	}
	switch left := leaf.NotAfter.Sub(now); {
	case left <= 0:
		c.Warnings = append(c.Warnings, fmt.Sprintf("tlsCertificate ended on %s: browsers turn visitors away; set one "+
			"that is valid", leaf.NotAfter.Format(time.DateOnly)))
	case left < certificateSoon:
		c.Warnings = append(c.Warnings, fmt.Sprintf("tlsCertificate ends on %s, and nothing renews it by itself: set a "+
			"new one", leaf.NotAfter.Format(time.DateOnly)))
	}
}

// certificateOf reads a chain with its key. Its errors say what is wanted, and hold nothing of the key.
func certificateOf(chain, key string) (*x509.Certificate, error) {
	pair, err := tls.X509KeyPair([]byte(chain), []byte(key))
	if err != nil {
		return nil, errors.New("a chain of certificates in PEM whose first belongs to tlsKey, which is a private key in PEM")
	}
	return x509.ParseCertificate(pair.Certificate[0])
}
