// Package signing signs webhooks as Standard Webhooks 1.0.0 has it: sender and receiver
// share a secret, and with it the sender signs the webhook's id, the time of this attempt
// to deliver it, and every byte of the body.
package signing

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
)

const (
	secretPrefix         = "whsec_"
	minSecret, maxSecret = 24, 64 // bytes
	signaturePrefix      = "v1,"  // HMAC-SHA256, the only scheme that needs no public key
)

// Keys reads secrets: "whsec_" and the base64 of 24 to 64 bytes. Its error calls them by
// what they are for and says what one should look like, and never what this one is.
func Keys(what string, secrets []string) (keys [][]byte, err error) {
	for i, secret := range secrets {
		text, prefixed := strings.CutPrefix(strings.TrimSpace(secret), secretPrefix)
		key, err := base64.StdEncoding.DecodeString(text)
		if !prefixed || err != nil || len(key) < minSecret || len(key) > maxSecret {
			return nil, fmt.Errorf("%s secret %d of %d must be %q and then the base64 of %d to %d bytes",
				what, i+1, len(secrets), secretPrefix, minSecret, maxSecret)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// Sign returns the signature of a webhook, whose timestamp is in unix seconds.
func Sign(key []byte, id, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, key)
	_, _ = io.WriteString(mac, id+"."+timestamp+".") // a hash takes anything
	_, _ = mac.Write(body)
	return signaturePrefix + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
