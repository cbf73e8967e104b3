package orders

import (
	"encoding/hex"
	"strings"
)

// A SKU is any text, and a key takes letters, digits and few signs. So every other
// byte, and the sign that says so, is written as "=" and two hexadecimal digits: no
// two SKUs have the same key, and a SKU of the common kind looks like itself.
const (
	escape  = '='
	isPlain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
)

// encodeKey is text as a part of a key.
func encodeKey(text string) string {
	var b strings.Builder
	b.Grow(len(text))
	for i := range len(text) {
		if c := text[i]; strings.IndexByte(isPlain, c) >= 0 {
			b.WriteByte(c)
		} else {
			b.WriteByte(escape)
			b.WriteString(strings.ToUpper(hex.EncodeToString([]byte{c})))
		}
	}
	return b.String()
}

// decodeKey is the text that encodeKey was given. ok is false for what it never
// returns.
func decodeKey(part string) (text string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(part); i++ {
		if part[i] != escape {
			b.WriteByte(part[i])
			continue
		}
		if i+3 > len(part) {
			return "", false
		}
		c, err := hex.DecodeString(part[i+1 : i+3])
		if err != nil {
			return "", false
		}
		b.Write(c)
		i += 2
	}
	text = b.String()
	return text, encodeKey(text) == part
}

const (
	orderPrefix   = "order."
	stockPrefix   = "stock."
	paymentPrefix = "payment."
)

// orderKey is where an order is kept in the bucket, stockKey the stock of a SKU, and
// paymentKey the order that a payment's reference is of.
func orderKey(id string) string          { return orderPrefix + id }
func stockKey(sku string) string         { return stockPrefix + encodeKey(sku) }
func paymentKey(reference string) string { return paymentPrefix + encodeKey(reference) }
