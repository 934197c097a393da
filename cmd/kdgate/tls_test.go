package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"
)

// certify writes a new pair for localhost under this name.
func (h *house) certify(name string, valid time.Duration) (certPEM, keyPEM string) {
	h.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(h.t, err)
	now := time.Now()
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	must(h.t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(valid),
	}, &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name}}, &key.PublicKey, key)
	must(h.t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(h.t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
}

const year = 365 * 24 * time.Hour

// encrypted is a house whose gateway speaks TLS itself.
func encrypted(t *testing.T, more string) *house {
	t.Helper()
	h := newHouse(t)
	cert, key := h.certify("first", year)
	h.put("tls.crt", cert)
	h.put("tls.key", key)
	h.scheme = "https"
	h.edit("public_url: http:", "public_url: https:")
	h.edit(`listen: {address: "`+h.public+`"`, `listen: {address: "`+h.public+`", cert: tls.crt, key: tls.key`+more)
	return h
}

// served is the name on the certificate that a new connection gets.
func (g *gateway) served() string {
	conn, err := tls.Dial("tcp", g.public, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		g.t.Errorf("handshake: %v", err)
		return ""
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
}

// TestCertificateRotation proves R56: a new pair is served within five seconds,
// with or without SIGHUP; a pair that does not fit is refused; no handshake fails.
func TestCertificateRotation(t *testing.T) {
	t.Parallel()
	h := encrypted(t, "")
	g := h.start()
	if got := g.served(); got != "first" {
		t.Fatalf("serves %q", got)
	}
	if status, _ := g.publicGet("/signin"); status == 0 {
		t.Error("no page over TLS")
	}
	first := h.text

	cert, key := h.certify("second", year)
	h.put("tls.crt", cert) // the key is still the first one's
	g.reload("the old one goes on", "listen.cert")
	if got := g.served(); got != "first" {
		t.Errorf("serves %q while the pair does not fit", got)
	}
	h.put("tls.key", key)
	g.reload("the new configuration is in force")
	if got := g.served(); got != "second" {
		t.Errorf("serves %q after SIGHUP", got)
	}

	began := time.Now()
	cert, key = h.certify("third", 20*24*time.Hour)
	h.put("tls.crt", cert)
	h.put("tls.key", key)
	eventually(t, "the third certificate is served without a signal", func() bool { return g.served() == "third" })
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("served after %s", took)
	}
	g.logged("ends soon", `"days_left":19`)
	if h.text != first {
		t.Error("the test changed the configuration")
	}
	g.stop()
}

// TestOldTLSIsRefused: 1.3 unless the configuration says otherwise (F91), and
// check-config tells of the exception.
func TestOldTLSIsRefused(t *testing.T) {
	t.Parallel()
	shake := func(g *gateway, version uint16) error {
		conn, err := tls.Dial("tcp", g.public, &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version})
		if err == nil {
			_ = conn.Close()
		}
		return err
	}
	strict := encrypted(t, "").start()
	if err := shake(strict, tls.VersionTLS13); err != nil {
		t.Errorf("TLS 1.3: %v", err)
	}
	if err := shake(strict, tls.VersionTLS12); err == nil || !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("TLS 1.2 by default: %v", err)
	}
	h := encrypted(t, `, min_version: "1.2"`)
	h.run("check-config").want(t, 0, "warning: listen.min_version: TLS 1.2 is allowed")
	lax := h.start()
	lax.logged("TLS 1.2 is allowed")
	if err := shake(lax, tls.VersionTLS12); err != nil {
		t.Errorf("TLS 1.2 where it is allowed: %v", err)
	}
	if err := shake(lax, tls.VersionTLS11); err == nil {
		t.Error("TLS 1.1 is accepted")
	}
}

// TestSignInOverTLS: the real thing, cookies and HSTS included.
func TestSignInOverTLS(t *testing.T) {
	t.Parallel()
	g := encrypted(t, "").start()
	v := g.wantSignIn("1001", "zhangsan")
	res, _, err := v.ask(http.MethodGet, "/", nil)
	must(t, err)
	if res.Header.Get("Strict-Transport-Security") == "" {
		t.Error("no HSTS over TLS")
	}
}

// TestPlainHTTPOffLoopbackIsRefused proves T123.
func TestPlainHTTPOffLoopbackIsRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.edit(`listen: {address: "`+h.public, `listen: {address: ":`+freePort(t))
	for _, command := range []string{"check-config", "serve"} {
		h.run(command).want(t, 2, "plain HTTP off loopback", "cert and key")
	}
}
