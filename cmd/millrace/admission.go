package main

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"millrace/gateway"
)

// admissionFlags say who may use the API.
type admissionFlags struct {
	AdminKeyFile string   `help:"A file with keys that are good besides those that are made, one a line, with the scope admin: to begin with where the API is not on loopback alone." placeholder:"FILE"`
	Insecure     bool     `help:"Let everybody do everything who reaches the API, wherever it listens, until there is a key: where something else guards it."`
	TLSCert      string   `name:"tls-cert" help:"The certificate to serve the API with, and those between it and the root, as PEM. A renewed one is used without a restart." placeholder:"FILE"`
	TLSKey       string   `name:"tls-key" help:"Its private key, as PEM." placeholder:"FILE"`
	SecureCookie bool     `name:"secure-cookies" help:"Have browsers send the dashboard's cookies by https alone: where a proxy ends TLS before the gateway."`
	CorsOrigin   []string `name:"cors-origin" help:"Another origin whose pages may use the API in a browser, exactly as the browser says it; may be given several times." placeholder:"https://shop.example"`
}

func (f admissionFlags) guard(cfg *gateway.Config) error {
	cfg.Insecure, cfg.Origins, cfg.SecureCookies = f.Insecure, f.CorsOrigin, f.SecureCookie
	if f.AdminKeyFile != "" {
		data, err := os.ReadFile(f.AdminKeyFile)
		if err != nil {
			return fmt.Errorf("--admin-key-file: %w", err)
		}
		if cfg.AdminKeys = strings.Fields(string(data)); len(cfg.AdminKeys) == 0 {
			// Whoever names a file means to have a key.
			return fmt.Errorf("--admin-key-file: %s is empty", f.AdminKeyFile)
		}
	}
	if (f.TLSCert == "") != (f.TLSKey == "") {
		return errors.New("--tls-cert and --tls-key go together")
	}
	if f.TLSCert == "" {
		return nil
	}
	pair := &certificate{cert: f.TLSCert, key: f.TLSKey, log: cmp.Or(cfg.Logger, slog.Default())}
	if err := pair.read(); err != nil {
		return err
	}
	cfg.TLS = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: pair.get}
	return nil
}
