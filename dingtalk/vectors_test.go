package dingtalk

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdgate/identity"
)

// vector is one published or computed example of the vendor's cryptography.
type vector struct {
	ID, Kind string
	Input    struct {
		Token           string
		AESKey          string `json:"aes_key"`
		OwnerKey        string `json:"owner_key"`
		Signature       string
		Timestamp       string
		Nonce           string
		Encrypt         string
		Random          string
		RandomHex       string `json:"random_hex"`
		Plaintext       string
		PlaintextRepeat struct {
			Unit  string
			Count int
		} `json:"plaintext_repeat"`
		Ticket  string `json:"jsapi_ticket"`
		PageURL string `json:"page_url"`
		Secret  string
	}
	Expect struct {
		Plaintext     string
		Random        string
		RandomHex     string `json:"random_hex"`
		Encrypt       string
		EncryptSHA256 string `json:"encrypt_sha256"`
		Signature     string
		Reencrypt     bool `json:"reencrypt_with_random_gives_same"`
		Reject        bool
		Body          CallbackReply
		SignedURL     string `json:"signed_url"`
		SHA256, SHA1  string
		SignParam     string `json:"sign_param"`
	}
}

func (v vector) callback(t testing.TB, random []byte) *Callback {
	t.Helper()
	cb, err := NewCallback(v.callbackConfig(random))
	if err != nil {
		t.Fatal(err)
	}
	return cb
}

func (v vector) callbackConfig(random []byte) CallbackConfig {
	token := v.Input.Token
	if token == "" {
		token = "unused"
	}
	return CallbackConfig{
		Token: identity.NewSecret(token), AESKey: identity.NewSecret(v.Input.AESKey),
		Owner: v.Input.OwnerKey, Random: bytes.NewReader(random),
	}
}

func (v vector) random(t testing.TB) []byte {
	t.Helper()
	if v.Input.RandomHex == "" {
		return []byte(v.Input.Random)
	}
	random, err := hex.DecodeString(v.Input.RandomHex)
	if err != nil {
		t.Fatal(err)
	}
	return random
}

func (v vector) envelope() Envelope {
	return Envelope{Signature: v.Input.Signature, Timestamp: v.Input.Timestamp, Nonce: v.Input.Nonce, Encrypt: v.Input.Encrypt}
}

func loadVectors(t testing.TB) []vector {
	t.Helper()
	raw, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Vectors []vector }
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Vectors) < 30 {
		t.Fatalf("only %d vectors", len(file.Vectors))
	}
	return file.Vectors
}

// TestVectors runs every vector of the reference; a kind without a test fails.
func TestVectors(t *testing.T) {
	kinds := map[string]func(*testing.T, vector){
		"callback_signature": testSignatureVector,
		"callback_decrypt":   testDecryptVector,
		"callback_encrypt":   testEncryptVector,
		"callback_reply":     testReplyVector,
		"callback_reject":    testRejectVector,
		"jsapi_sign":         testPageVector,
		"robot_sign":         testRobotVector,
	}
	for _, v := range loadVectors(t) {
		t.Run(v.ID, func(t *testing.T) {
			run, known := kinds[v.Kind]
			if !known {
				t.Fatalf("unknown kind %q", v.Kind)
			}
			run(t, v)
		})
	}
}

func testSignatureVector(t *testing.T, v vector) {
	cb := &Callback{cfg: CallbackConfig{Token: identity.NewSecret(v.Input.Token)}}
	if got := cb.Signature(v.Input.Timestamp, v.Input.Nonce, v.Input.Encrypt); got != v.Expect.Signature {
		t.Errorf("got %s, want %s", got, v.Expect.Signature)
	}
}

func testDecryptVector(t *testing.T, v vector) {
	cb := v.callback(t, []byte(v.Expect.Random))
	got, err := cb.Open(v.envelope())
	if err != nil || string(got) != v.Expect.Plaintext {
		t.Fatalf("got %q, %v; want %q", got, err, v.Expect.Plaintext)
	}
	if !v.Expect.Reencrypt {
		return
	}
	sealed, err := cb.Seal(got)
	if err != nil || sealed != v.Input.Encrypt {
		t.Errorf("sealed again: got %q, %v; want the same text", sealed, err)
	}
}

func testEncryptVector(t *testing.T, v vector) {
	message := v.Input.Plaintext
	if message == "" {
		message = strings.Repeat(v.Input.PlaintextRepeat.Unit, v.Input.PlaintextRepeat.Count)
	}
	cb := v.callback(t, v.random(t))
	got, err := cb.Seal([]byte(message))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(got))
	if v.Expect.Encrypt != "" && got != v.Expect.Encrypt ||
		v.Expect.EncryptSHA256 != "" && hex.EncodeToString(sum[:]) != v.Expect.EncryptSHA256 ||
		v.Expect.Encrypt+v.Expect.EncryptSHA256 == "" {
		t.Errorf("sealed text differs: %.80s", got)
	}
	if v.Expect.Signature == "" {
		return
	}
	e := Envelope{Signature: v.Expect.Signature, Timestamp: v.Input.Timestamp, Nonce: v.Input.Nonce, Encrypt: got}
	if opened, err := cb.Open(e); err != nil || string(opened) != message {
		t.Errorf("opened: %.80q, %v", opened, err)
	}
}

func testReplyVector(t *testing.T, v vector) {
	got, err := v.callback(t, v.random(t)).reply(v.Input.Timestamp, v.Input.Nonce)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(v.Expect.Body, got); diff != "" {
		t.Error(diff)
	}
}

// testRejectVector also proves that every rejection looks the same (T63).
func testRejectVector(t *testing.T, v vector) {
	cb, err := NewCallback(v.callbackConfig(nil))
	if err != nil { // a wrong key is refused before any event comes
		return
	}
	got, err := cb.Open(v.envelope())
	if !v.Expect.Reject || !errors.Is(err, ErrCallback) || err.Error() != ErrCallback.Error() || got != nil {
		t.Errorf("got %q, %v; want ErrCallback and nothing else", got, err)
	}
}

func testPageVector(t *testing.T, v vector) {
	signed, err := signedURL(v.Input.PageURL)
	if err != nil || signed != v.Expect.SignedURL {
		t.Fatalf("signed address %q, %v; want %q", signed, err, v.Expect.SignedURL)
	}
	page := PageConfig{NonceStr: v.Input.Nonce, TimeStamp: v.Input.Timestamp}
	for digest, want := range map[Digest]string{SHA256: v.Expect.SHA256, SHA1: v.Expect.SHA1} {
		if got := signPage(identity.NewSecret(v.Input.Ticket), page, signed, digest); got != want {
			t.Errorf("%s: got %s, want %s", digest, got, want)
		}
	}
}

func testRobotVector(t *testing.T, v vector) {
	ms, err := strconv.ParseInt(v.Input.Timestamp, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	timestamp, sign := RobotSignature(identity.NewSecret(v.Input.Secret), time.UnixMilli(ms))
	if timestamp != v.Input.Timestamp || sign != v.Expect.SignParam {
		t.Errorf("got %s %s, want %s %s", timestamp, sign, v.Input.Timestamp, v.Expect.SignParam)
	}
}
