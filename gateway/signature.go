package gateway

import (
	"crypto/hmac"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"millrace/signing"
)

// Signatures of webhooks, as Standard Webhooks 1.0.0 has them: sender and receiver
// share a secret, and with it the sender signs the webhook's id, the time of this
// attempt to deliver it, and every byte of the body. Any of several secrets will do,
// so that one can be replaced by the next while both are in use.
const (
	// signatureTolerance is how far the sender's clock may be off ours, either way,
	// with the time that the webhook was on its way.
	signatureTolerance = 5 * time.Minute
)

// What is wrong with a signature. None of them says which secret was tried, and a
// wrong secret looks like a body that was tampered with.
var (
	errUnsigned = errors.New("the headers webhook-id, webhook-timestamp (unix seconds) and webhook-signature (v1,<base64>) must all be there and well-formed")
	errStale    = fmt.Errorf("the webhook-timestamp is more than %.0f minutes away from this server's time", signatureTolerance.Minutes())
	errForged   = errors.New("no signature fits the id, the timestamp and the body of this webhook")
)

// seal is what the headers of a webhook say, as they came.
type seal struct{ id, timestamp, signatures string }

// verifier knows the secrets.
type verifier struct{ keys [][]byte }

// newVerifier reads the secrets. Its error says what one should look like, and never
// what this one is.
func newVerifier(secrets []string) (verifier, error) {
	keys, err := signing.Keys("payment webhook", secrets)
	return verifier{keys}, err
}

// verify returns when the attempt was made, in unix seconds, or errUnsigned,
// errStale or errForged.
func (v verifier) verify(s seal, body []byte, now time.Time) (sent int64, err error) {
	if sent, err = s.read(); err != nil {
		return 0, err
	}
	if now.Sub(time.Unix(sent, 0)).Abs() > signatureTolerance {
		return 0, errStale
	}
	for _, key := range v.keys {
		if s.bears(sign(key, s.id, s.timestamp, body)) {
			return sent, nil
		}
	}
	return 0, errForged
}

// read looks at what is signed: the id and the timestamp must not hold a dot, or
// two different webhooks could be one signed text.
func (s seal) read() (sent int64, err error) {
	if s.id == "" || s.signatures == "" || strings.ContainsFunc(s.id, func(c rune) bool { return c <= ' ' || c > '~' || c == '.' }) {
		return 0, errUnsigned
	}
	seconds, err := strconv.ParseUint(s.timestamp, 10, 40) // a number without a sign, up to the year 36812
	if err != nil {
		return 0, errUnsigned
	}
	return int64(seconds), nil
}

// bears reports whether signature is among those of the webhook: one for each of
// the sender's secrets, and maybe some of schemes that we do not know.
func (s seal) bears(signature string) bool {
	for given := range strings.FieldsSeq(s.signatures) {
		// In constant time, or an attacker could find a signature byte by byte.
		if hmac.Equal([]byte(given), []byte(signature)) {
			return true
		}
	}
	return false
}

func sign(key []byte, id, timestamp string, body []byte) string {
	return signing.Sign(key, id, timestamp, body)
}
