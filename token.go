package millrace

import (
	"encoding/hex"
	"strings"
)

// Text of any kind as one token of a subject, or of a bucket's key, takes letters, digits
// and few signs. So every other byte, and the sign that says so, is written as "=" and
// two hexadecimal digits: no two texts have the same token, and one of the common kind
// looks like itself.
const (
	escape  = '='
	isPlain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
)

// EncodeToken is text as one token of a subject or of a key.
func EncodeToken(text string) string {
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

// DecodeToken is the text that [EncodeToken] was given. ok is false for what it never
// returns.
func DecodeToken(part string) (text string, ok bool) {
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
	return text, EncodeToken(text) == part
}
