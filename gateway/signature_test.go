package gateway

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// secretOf is a secret, and the key in it.
func secretOf(fill string, size int) (secret string, key []byte) {
	key = []byte(strings.Repeat(fill, size))
	return "whsec_" + base64.StdEncoding.EncodeToString(key), key
}

func newTestVerifier(t testing.TB, secrets ...string) verifier {
	t.Helper()
	v, err := newVerifier(secrets)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// signedBy is a signature by plain arithmetic.
func signedBy(key []byte, id, timestamp, body string) string {
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, timestamp, body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// The example that the reference libraries of Standard Webhooks are tested with.
func TestKnownSignature(t *testing.T) {
	v := newTestVerifier(t, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	s := seal{"msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}
	sent, err := v.verify(s, []byte(`{"test": 2432232314}`), time.Unix(1614265330, 0))
	if err != nil || sent != 1614265330 {
		t.Error(sent, err)
	}
}

func TestSignatures(t *testing.T) {
	oldSecret, oldKey := secretOf("o", 24)
	newSecret, newKey := secretOf("n", 64)
	_, strange := secretOf("s", 32)
	const id, at, body = "msg_1", "1700000000", "{\"a\": 1}\n"
	byOld, byNew, byStranger := signedBy(oldKey, id, at, body), signedBy(newKey, id, at, body), signedBy(strange, id, at, body)
	both := newTestVerifier(t, oldSecret, newSecret)
	for _, c := range []struct {
		name     string
		verifier verifier
		seal     seal
		body     string
		want     error
	}{
		{"by the old", both, seal{id, at, byOld}, body, nil},
		{"by the new", both, seal{id, at, byNew}, body, nil},
		{"by both", both, seal{id, at, byOld + " " + byNew}, body, nil},
		{"the old is not known any more", newTestVerifier(t, newSecret), seal{id, at, byOld + " " + byNew}, body, nil},
		{"the new is not known yet", newTestVerifier(t, oldSecret), seal{id, at, byNew + " " + byOld}, body, nil},
		{"only the old, which is not known any more", newTestVerifier(t, newSecret), seal{id, at, byOld}, body, errForged},
		{"among others", both, seal{id, at, byStranger + " v1a,hnO3f9T8Ytu9Hw== v2," + byNew[3:] + "  x " + byNew}, body, nil},
		{"by a stranger", both, seal{id, at, byStranger}, body, errForged},
		{"no secrets", verifier{}, seal{id, at, byNew}, body, errForged},

		{"another body", both, seal{id, at, byNew}, "{\"a\": 2}\n", errForged},
		{"a space less", both, seal{id, at, byNew}, "{\"a\":1}\n", errForged},
		{"a line break less", both, seal{id, at, byNew}, "{\"a\": 1}", errForged},
		{"no body", both, seal{id, at, byNew}, "", errForged},
		{"another id", both, seal{"msg_2", at, byNew}, body, errForged},
		{"another time", both, seal{id, "1700000001", byNew}, body, errForged},
		{"the same time in other digits", both, seal{id, "01700000000", byNew}, body, errForged},

		{"another scheme", both, seal{id, at, "v2," + byNew[3:]}, body, errForged},
		{"no scheme", both, seal{id, at, byNew[3:]}, body, errForged},
		{"a scheme in capitals", both, seal{id, at, "V1," + byNew[3:]}, body, errForged},
		{"a signature cut short", both, seal{id, at, byNew[:20]}, body, errForged},
		{"a signature without its end", both, seal{id, at, strings.TrimRight(byNew, "=")}, body, errForged},
		{"an empty signature", both, seal{id, at, "v1,"}, body, errForged},
		{"commas between", both, seal{id, at, byOld + "," + byNew}, body, errForged},
		{"only spaces", both, seal{id, at, "  "}, body, errForged},

		{"no id", both, seal{"", at, byNew}, body, errUnsigned},
		{"no time", both, seal{id, "", byNew}, body, errUnsigned},
		{"no signature", both, seal{id, at, ""}, body, errUnsigned},
		{"a dot in the id", both, seal{"msg.1", at, signedBy(newKey, "msg.1", at, body)}, body, errUnsigned},
		{"an id in two parts", both, seal{"msg 1", at, signedBy(newKey, "msg 1", at, body)}, body, errUnsigned},
		{"an id beyond ASCII", both, seal{"mäg", at, signedBy(newKey, "mäg", at, body)}, body, errUnsigned},
		{"a time in words", both, seal{id, "now", signedBy(newKey, id, "now", body)}, body, errUnsigned},
		{"a time with a sign", both, seal{id, "+1700000000", signedBy(newKey, id, "+1700000000", body)}, body, errUnsigned},
		{"a time below zero", both, seal{id, "-1", signedBy(newKey, id, "-1", body)}, body, errUnsigned},
		{"a time with a fraction", both, seal{id, "1700000000.5", signedBy(newKey, id, "1700000000.5", body)}, body, errUnsigned},
		{"a time beyond all", both, seal{id, "99999999999999999999", signedBy(newKey, id, "99999999999999999999", body)}, body, errUnsigned},
		{"a time in milliseconds", both, seal{id, "1700000000000", signedBy(newKey, id, "1700000000000", body)}, body, errUnsigned},
		{"the year 9999", both, seal{id, "253402300799", signedBy(newKey, id, "253402300799", body)}, body, errStale},
		{"the beginning of time", both, seal{id, "0", signedBy(newKey, id, "0", body)}, body, errStale},
	} {
		t.Run(c.name, func(t *testing.T) {
			sent, err := c.verifier.verify(c.seal, []byte(c.body), time.Unix(1700000000, 0))
			if !errors.Is(err, c.want) || (err == nil) != (sent == 1700000000) {
				t.Errorf("%d, %v, want %v", sent, err, c.want)
			}
		})
	}
}

func TestSignatureTolerance(t *testing.T) {
	secret, key := secretOf("k", 32)
	v := newTestVerifier(t, secret)
	now := time.Unix(1700000000, 0)
	for _, c := range []struct {
		now  time.Time
		want error
	}{
		{now, nil},
		{now.Add(5 * time.Minute), nil},
		{now.Add(5*time.Minute + 1), errStale},
		{now.Add(-5 * time.Minute), nil},
		{now.Add(-5*time.Minute - 1), errStale},
		{now.Add(24 * time.Hour), errStale},
		{now.Add(-24 * time.Hour), errStale},
	} {
		at := strconv.FormatInt(now.Unix(), 10)
		if _, err := v.verify(seal{"id", at, signedBy(key, "id", at, "{}")}, []byte("{}"), c.now); !errors.Is(err, c.want) {
			t.Errorf("sent %s before: %v, want %v", c.now.Sub(now), err, c.want)
		}
	}
}

func TestSecrets(t *testing.T) {
	good, _ := secretOf("k", 24)
	short, _ := secretOf("s", 23)
	long, _ := secretOf("l", 65)
	if v := newTestVerifier(t, " "+good+"\n", good); len(v.keys) != 2 {
		t.Errorf("%d keys", len(v.keys))
	}
	if v := newTestVerifier(t); len(v.keys) != 0 {
		t.Errorf("%d keys", len(v.keys))
	}
	for _, bad := range []string{"", "whsec_", short, long, good[6:], "WHSEC_" + good[6:], "whsk_" + good[6:], good + "!", strings.Repeat("s3cret", 10), good[:len(good)-1] + "_"} {
		_, err := newVerifier([]string{good, bad})
		const want = `payment webhook secret 2 of 2 must be "whsec_" and then the base64 of 24 to 64 bytes`
		if err == nil || err.Error() != want {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// Whatever the headers are, what was not signed is not taken, and what was is taken
// if the headers are as they must be.
func FuzzSignature(f *testing.F) {
	secret, key := secretOf("k", 32)
	v := newTestVerifier(f, secret)
	for _, s := range []seal{
		{"msg_1", "1700000000", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
		{"a.b", "1e9", "v1, v1a,AA== v1,"},
		{"", "-1", " "},
		{"\x00", "0x10", "\t\n"},
		{"ü", "٣", ",,,"},
	} {
		f.Add(s.id, s.timestamp, s.signatures, "{}")
	}
	now := time.Unix(1700000000, 0)
	f.Fuzz(func(t *testing.T, id, timestamp, signatures, body string) {
		if _, err := v.verify(seal{id, timestamp, signatures}, []byte(body), now); err == nil && !strings.Contains(signatures, signedBy(key, id, timestamp, body)) {
			t.Error("taken, and not signed")
		}
		signatures += " " + signedBy(key, id, timestamp, body)
		sent, err := v.verify(seal{id, timestamp, signatures}, []byte(body), now)
		if errors.Is(err, errForged) {
			t.Error("signed, and not taken")
		}
		if err == nil && (strings.Contains(id, ".") || sent < 1699999700 || sent > 1700000300) {
			t.Errorf("%q of %d was taken", id, sent)
		}
	})
}
