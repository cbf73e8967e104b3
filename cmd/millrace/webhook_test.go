package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestPaymentWebhookSecrets gives a node secrets in each of the ways that there are,
// and signs with each of them.
func TestPaymentWebhookSecrets(t *testing.T) {
	former, current, file := strings.Repeat("a", 24), strings.Repeat("b", 32), strings.Repeat("c", 64)
	path := filepath.Join(t.TempDir(), "secrets")
	if err := os.WriteFile(path, []byte("\n"+secretOf(file)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	node := &process{
		name: "millrace", dir: t.TempDir(),
		args: []string{"serve", "--listen", "127.0.0.1:0", "--nats-port", "off", "--data-dir", t.TempDir(), "--payment-webhook-secret-file", path},
		env:  []string{"MILLRACE_PAYMENT_WEBHOOK_SECRET=" + secretOf(former) + "," + secretOf(current)},
	}
	if err := node.launch(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(node.kill)
	api := newClient(t, node.says(t, apiAddress))
	for key, want := range map[string]int{
		former: http.StatusNoContent, current: http.StatusNoContent, file: http.StatusNoContent,
		strings.Repeat("d", 32): http.StatusUnauthorized,
	} {
		if r := api.webhook(t, key, `{"type":"ping"}`); r.status != want {
			t.Errorf("signed with %.1s…: %s, want %d", key, r, want)
		}
	}
	said, _ := node.output.current()
	for _, key := range []string{former, current, file} {
		if strings.Contains(string(said), secretOf(key)) {
			t.Error("a secret is in the log")
		}
	}
}

// secretOf spells a key as a provider does.
func secretOf(key string) string {
	return "whsec_" + base64.StdEncoding.EncodeToString([]byte(key))
}

// webhook sends an event as a payment provider with that key does.
func (c *client) webhook(t *testing.T, key, event string) reply {
	t.Helper()
	id, at := "msg_"+key[:1], fmt.Sprint(time.Now().Unix())
	mac := hmac.New(sha256.New, []byte(key))
	fmt.Fprintf(mac, "%s.%s.%s", id, at, event)
	return c.post(t, "/v1/webhooks/payment", event,
		"webhook-id", id, "webhook-timestamp", at, "webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}
