// Package csp knows which scripts of a page a Content-Security-Policy lets a browser run. Source:
// https://www.w3.org/TR/CSP3/.
package csp

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"mime"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/html"
)

// script is what a page asks a browser to run.
type script struct {
	text    string // of an inline script or a handler
	address string // of a script that is loaded; empty for the others
	handler string // attribute that holds the text, e.g. "onload"; empty for an element
}

// Hashes returns the sources, such as 'sha256-…', that allow the inline scripts and event handlers of a page. Each is
// there once, in the page's order. Handlers need 'unsafe-hashes' beside theirs.
func Hashes(page []byte) (sources []string) {
	for _, s := range scripts(page) {
		if source := s.hash(); s.address == "" && !slices.Contains(sources, source) {
			sources = append(sources, source)
		}
	}
	return sources
}

// Blocked describes each script of a page that a browser refuses to run under the policy. origin is the page's, e.g.
// https://shop.example.
func Blocked(page []byte, origin, policy string) (refused []string) {
	allowed := scriptSources(policy)
	for _, s := range scripts(page) {
		if !s.allowed(origin, allowed) {
			refused = append(refused, s.String())
		}
	}
	return refused
}

func (s script) hash() string {
	sum := sha256.Sum256([]byte(s.text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func (s script) String() string {
	switch {
	case s.address != "":
		return "the script " + s.address
	case s.handler != "":
		return "the handler " + s.handler + " with the hash " + s.hash()
	}
	return "the inline script with the hash " + s.hash()
}

func (s script) allowed(origin string, sources []string) bool {
	if sources == nil {
		return true // no directive is about scripts
	}
	if s.address == "" {
		listed := slices.Contains(sources, s.hash())
		if s.handler != "" {
			return listed && slices.Contains(sources, "'unsafe-hashes'")
		}
		return listed
	}
	base, err := url.Parse(origin)
	if err != nil {
		return false
	}
	u, err := base.Parse(s.address)
	if err != nil {
		return false
	}
	from := u.Scheme + "://" + u.Host
	return from == origin && slices.Contains(sources, "'self'") || slices.Contains(sources, from) ||
		slices.Contains(sources, u.Scheme+":")
}

// scriptSources are those of script-src, or of default-src when the policy has no script-src; nil without either.
func scriptSources(policy string) (sources []string) {
	for directive := range strings.SplitSeq(policy, ";") {
		words := strings.Fields(directive)
		if len(words) == 0 {
			continue
		}
		switch words[0] {
		case "script-src":
			return append([]string{}, words[1:]...)
		case "default-src":
			sources = append([]string{}, words[1:]...)
		}
	}
	return sources
}

// scripts lists what a browser would run, in the page's order. A page that is no HTML has none.
func scripts(page []byte) (all []script) {
	for z := html.NewTokenizer(bytes.NewReader(page)); ; {
		kind := z.Next()
		if kind == html.ErrorToken {
			return all
		}
		if kind != html.StartTagToken && kind != html.SelfClosingTagToken {
			continue
		}
		token := z.Token()
		for _, a := range token.Attr {
			if strings.HasPrefix(a.Key, "on") {
				all = append(all, script{text: a.Val, handler: a.Key})
			}
		}
		if token.Data != "script" || !runs(token) {
			continue
		}
		if address := attribute(token, "src"); address != "" {
			all = append(all, script{address: address})
			continue
		}
		if z.Next() == html.TextToken {
			all = append(all, script{text: z.Token().Data})
		}
	}
}

// runs reports whether a script element is more than data: JSON and the like are not subject to the policy.
func runs(element html.Token) bool {
	kind, _, err := mime.ParseMediaType(attribute(element, "type"))
	if err != nil {
		kind = strings.TrimSpace(attribute(element, "type"))
	}
	switch kind {
	case "", "module", "importmap", "speculationrules", "text/javascript", "application/javascript":
		return true
	}
	return false
}

func attribute(element html.Token, name string) string {
	for _, a := range element.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
