package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// newPair makes a certificate with that number, and its key, as PEM.
func newPair(t *testing.T, number int64) (cert, key []byte) {
	t.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(number), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &secret.PublicKey, secret)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
}

// A renewed certificate is used without a restart. What is no pair is not, the one before
// goes on, and the log says so once.
func TestCertificateIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		dir := t.TempDir()
		c := &certificate{cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem"), log: slog.New(slog.NewTextHandler(&log, nil))}
		put := func(path string, data []byte) {
			t.Helper()
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(path, time.Now(), time.Now()); err != nil { // of the test's clock
				t.Fatal(err)
			}
		}
		shows := func(number int64) {
			t.Helper()
			pair, err := c.get(nil)
			if err != nil {
				t.Fatal(err)
			}
			if pair.Leaf.SerialNumber.Int64() != number {
				t.Fatalf("it shows number %v, not %d; log:\n%s", pair.Leaf.SerialNumber, number, &log)
			}
		}
		complaints := func(want int) {
			t.Helper()
			if got := strings.Count(log.String(), "the new certificate is not good"); got != want {
				t.Fatalf("%d complaints, not %d:\n%s", got, want, &log)
			}
		}
		cert, key := newPair(t, 1)
		put(c.cert, cert)
		put(c.key, key)
		if err := c.read(); err != nil {
			t.Fatal(err)
		}
		shows(1)

		time.Sleep(lookEvery)
		cert, key = newPair(t, 2)
		put(c.cert, cert) // and the key not yet
		shows(1)
		time.Sleep(lookEvery)
		shows(1)
		complaints(1)
		put(c.key, key)
		time.Sleep(lookEvery)
		shows(2)

		put(c.cert, []byte("no certificate"))
		time.Sleep(lookEvery)
		shows(2)
		complaints(2)
		if err := os.Remove(c.key); err != nil {
			t.Fatal(err)
		}
		time.Sleep(lookEvery)
		shows(2)
		complaints(3)

		cert, key = newPair(t, 3)
		put(c.cert, cert)
		put(c.key, key)
		time.Sleep(lookEvery)
		shows(3)
		if strings.Contains(log.String(), "PRIVATE") {
			t.Errorf("the log has a key in it:\n%s", &log)
		}
	})
}
