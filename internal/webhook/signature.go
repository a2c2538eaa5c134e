package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
)

const signatureName = "X-Hub-Signature-256"

// Sign returns the value of X-Hub-Signature-256 with which GitHub would send body.
func Sign(secret string, body []byte) string {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write(body)
	return "sha256=" + hex.EncodeToString(h.Sum(nil))
}

// signature returns the one signature of a request. Two headers are refused rather than one of them chosen: a proxy
// and this service might choose differently. Neither an older scheme nor another spelling is accepted, since GitHub
// always writes sha256= and 64 lower-case digits.
func signature(h http.Header) (sum [sha256.Size]byte, ok bool) {
	v := h[signatureName]
	if len(v) != 1 || !parseSignature(v[0], &sum) {
		return sum, false
	}
	return sum, true
}

func parseSignature(v string, sum *[sha256.Size]byte) bool {
	const prefix = "sha256="
	if len(v) != len(prefix)+2*sha256.Size || v[:len(prefix)] != prefix {
		return false
	}
	digits := v[len(prefix):]
	for i := range len(digits) {
		if c := digits[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	_, err := hex.Decode(sum[:], []byte(digits))
	return err == nil
}

// signer returns the position of the secret that made sum over body, or -1. GitHub signs with one secret per hook and
// has no overlap of its own, so while a secret is being changed, deliveries arrive signed with the old and the new one.
func signer(secrets [][]byte, sum [sha256.Size]byte, body []byte) int {
	var got [sha256.Size]byte
	for slot, secret := range secrets {
		h := hmac.New(sha256.New, secret)
		h.Write(body)
		if hmac.Equal(h.Sum(got[:0]), sum[:]) {
			return slot
		}
	}
	return -1
}
