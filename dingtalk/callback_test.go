package dingtalk

import (
	"bytes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"kdgate/identity"
)

const testAESKey = "t9tjLQduRyRHCRfqGBITPNqhTpPv3ZmbuY7qdhETnE7"

func testCallback(t testing.TB, also ...string) *Callback {
	t.Helper()
	cb, err := NewCallback(CallbackConfig{
		Token: identity.NewSecret("tokA9"), AESKey: identity.NewSecret(testAESKey),
		Owner: "dingowner", AlsoOwners: also,
		Now: func() time.Time { return time.UnixMilli(1700000000000) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return cb
}

// signed makes an envelope that only its content can betray.
func signed(cb *Callback, encrypt string) Envelope {
	return Envelope{Signature: cb.Signature("1700000000000", "n1", encrypt), Timestamp: "1700000000000", Nonce: "n1", Encrypt: encrypt}
}

// rawFrame encrypts bytes as they are, so that a test can build broken frames.
func rawFrame(cb *Callback, frame []byte) string {
	out := make([]byte, len(frame))
	cipher.NewCBCEncrypter(cb.block, cb.iv).CryptBlocks(out, frame)
	return base64.StdEncoding.EncodeToString(out)
}

func frame(size uint32, message, owner string, pad ...byte) []byte {
	b := binary.BigEndian.AppendUint32(bytes.Repeat([]byte{'r'}, 16), size)
	return append(append(append(b, message...), owner...), pad...)
}

// TestOpenRefusesBrokenFrames proves T63: padding, length and owner are all
// checked, and every refusal is the same one.
func TestOpenRefusesBrokenFrames(t *testing.T) {
	cb := testCallback(t)
	good := frame(7, "success", "dingowner", bytes.Repeat([]byte{28}, 28)...)
	if got, err := cb.Open(signed(cb, rawFrame(cb, good))); err != nil || string(got) != "success" {
		t.Fatalf("the good frame: %q, %v", got, err)
	}
	unequal := bytes.Clone(good)
	unequal[len(unequal)-5] = 1
	cases := map[string]string{
		"pad bytes differ":   rawFrame(cb, unequal),
		"pad over 32":        rawFrame(cb, frame(7, "success", "dingowner", bytes.Repeat([]byte{33}, 28)...)),
		"pad zero":           rawFrame(cb, frame(7, "success", "dingowner", make([]byte, 28)...)),
		"pad eats the frame": rawFrame(cb, bytes.Repeat([]byte{32}, 32)),
		"length too large":   rawFrame(cb, frame(8, "success", "dingowner", bytes.Repeat([]byte{28}, 28)...)),
		"length wraps":       rawFrame(cb, frame(1<<32-1, "success", "dingowner", bytes.Repeat([]byte{28}, 28)...)),
		"length too small":   rawFrame(cb, frame(6, "success", "dingowner", bytes.Repeat([]byte{28}, 28)...)),
		"foreign owner":      rawFrame(cb, frame(7, "success", "dingother", bytes.Repeat([]byte{28}, 28)...)),
		"one block":          rawFrame(cb, bytes.Repeat([]byte{1}, 16)),
		"half a block":       base64.StdEncoding.EncodeToString(make([]byte, 40)),
		"line break":         strings.Replace(rawFrame(cb, good), "", "\n", 1),
		"space":              rawFrame(cb, good) + " ",
		"no padding":         strings.TrimRight(rawFrame(cb, good), "="),
		"url alphabet":       "-_-_",
		"empty":              "",
		"over a MiB":         strings.Repeat("A", maxEncrypted+4),
	}
	for name, encrypt := range cases {
		got, err := cb.Open(signed(cb, encrypt))
		if got != nil || !errors.Is(err, ErrCallback) || err.Error() != ErrCallback.Error() {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}

// TestSignatureIsCheckedExactly proves T62: missing, short and upper-case
// signatures are refused, and so is the signature of another time.
func TestSignatureIsCheckedExactly(t *testing.T) {
	cb := testCallback(t)
	sealed, err := cb.Seal([]byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	good := signed(cb, sealed)
	for _, signature := range []string{"", good.Signature[:39], good.Signature + "0", strings.ToUpper(good.Signature)} {
		e := good
		e.Signature = signature
		if _, err := cb.Open(e); !errors.Is(err, ErrCallback) {
			t.Errorf("%q: %v", signature, err)
		}
	}
	other := good
	other.Timestamp = "1700000000001"
	if _, err := cb.Open(other); !errors.Is(err, ErrCallback) {
		t.Error("another timestamp passed")
	}
}

// TestOwners: the alternative owner is read, never written (reference 6.2, 5).
func TestOwners(t *testing.T) {
	byCorp := testCallback(t, "dingcorp1")
	old := *byCorp
	old.cfg.Owner = "dingcorp1"
	sealed, err := old.Seal([]byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := byCorp.Open(signed(byCorp, sealed)); err != nil {
		t.Error(err)
	}
	plain := testCallback(t)
	if _, err := plain.Open(signed(plain, sealed)); !errors.Is(err, ErrCallback) {
		t.Error("a foreign owner passed")
	}
	if reply, _ := byCorp.Seal([]byte("{}")); reply != "" {
		if _, err := plain.Open(signed(plain, reply)); err != nil {
			t.Error("a reply does not carry the first owner")
		}
	}
}

// TestReplyIsFresh proves T66: random bytes, nonce and time are new each time.
func TestReplyIsFresh(t *testing.T) {
	cb := testCallback(t)
	first, err := cb.Reply()
	if err != nil {
		t.Fatal(err)
	}
	second, err := cb.Reply()
	if err != nil {
		t.Fatal(err)
	}
	if first.Encrypt == second.Encrypt || first.Nonce == second.Nonce || first.Timestamp != "1700000000000" {
		t.Errorf("%+v and %+v", first, second)
	}
	got, err := cb.Open(Envelope(first))
	if err != nil || string(got) != "success" {
		t.Errorf("%q, %v", got, err)
	}
	empty := *cb
	empty.cfg.Random = bytes.NewReader(nil)
	if _, err := empty.Reply(); err == nil {
		t.Error("a reply without randomness")
	}
}

// TestFresh proves T64.
func TestFresh(t *testing.T) {
	cb := testCallback(t)
	for _, c := range []struct {
		timestamp, nonce string
		fresh            bool
	}{
		{"1700000000000", "n1", true},
		{"1700000000", "nEXhMP4r", true},
		{"1700000300000", "n1", true},
		{"1699999700000", "n1", true},
		{"1700000300001", "n1", false},
		{"1699999699999", "n1", false},
		{"1699999699", "n1", false},
		{"17000000000", "n1", false},
		{"1700000000000 ", "n1", false},
		{"-170000000000", "n1", false},
		{"", "n1", false},
		{"1700000000000", "", false},
		{"1700000000000", "n-1", false},
		{"1700000000000", strings.Repeat("n", 65), false},
		{"1700000000000", "n1\n", false},
	} {
		err := cb.Fresh(Envelope{Timestamp: c.timestamp, Nonce: c.nonce}, 5*time.Minute)
		if (err == nil) != c.fresh {
			t.Errorf("%q %q: %v", c.timestamp, c.nonce, err)
		}
	}
}

// TestResplitIsTheSameDelivery proves T65: time and nonce can be cut apart
// elsewhere under the same signature, and both are authentic and fresh. What a
// replay is known by is the ciphertext, which is the same.
func TestResplitIsTheSameDelivery(t *testing.T) {
	cb := testCallback(t)
	set := CallbackSet{Corp: "dingcorp1", Current: cb}
	receive := func(e Envelope) (Delivery, error) {
		return set.Receive(url.Values{"signature": {e.Signature}, "timestamp": {e.Timestamp}, "nonce": {e.Nonce}}, []byte(`{"encrypt":"`+e.Encrypt+`"}`))
	}
	for range 100 { // the ciphertext must not sort between the two
		sealed, err := cb.Seal([]byte(`{"EventType":"user_leave_org","CorpId":"dingcorp1","eventId":"e1","userId":["zhangsan"]}`))
		if err != nil {
			t.Fatal(err)
		}
		first := Envelope{Timestamp: "1700000000", Nonce: "380320111", Encrypt: sealed}
		again := Envelope{Timestamp: "1700000000380", Nonce: "320111", Encrypt: sealed}
		first.Signature = cb.Signature(first.Timestamp, first.Nonce, sealed)
		if again.Signature = first.Signature; cb.Signature(again.Timestamp, again.Nonce, sealed) != again.Signature {
			continue
		}
		one, err := receive(first)
		two, err2 := receive(again)
		if err != nil || err2 != nil {
			t.Fatalf("%v, %v", err, err2)
		}
		if one.Digest != two.Digest || one.Event.Key() != two.Event.Key() {
			t.Error("the re-split delivery looks like another one")
		}
		return
	}
	t.Fatal("no ciphertext sorted elsewhere")
}

func TestNewCallbackNeedsEverything(t *testing.T) {
	good := CallbackConfig{Token: identity.NewSecret("t"), AESKey: identity.NewSecret(testAESKey), Owner: "o"}
	for name, spoil := range map[string]func(*CallbackConfig){
		"no token":  func(c *CallbackConfig) { c.Token = identity.Secret{} },
		"no owner":  func(c *CallbackConfig) { c.Owner = "" },
		"short key": func(c *CallbackConfig) { c.AESKey = identity.NewSecret(testAESKey[1:]) },
		"not text":  func(c *CallbackConfig) { c.AESKey = identity.NewSecret("!" + testAESKey[1:]) },
	} {
		cfg := good
		spoil(&cfg)
		if _, err := NewCallback(cfg); err == nil || strings.Contains(err.Error(), testAESKey[5:20]) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzOpen proves T63: no input makes Open panic, and what it opens was sealed
// with the key.
func FuzzOpen(f *testing.F) {
	for _, v := range loadVectors(f) {
		f.Add(v.Input.Encrypt, true)
	}
	f.Fuzz(func(t *testing.T, text string, raw bool) {
		cb := testCallback(t)
		encrypt := text
		if raw && len(text) >= 16 { // past base64: the text becomes the frame itself
			encrypt = rawFrame(cb, []byte(text)[:len(text)/16*16])
		}
		got, err := cb.Open(signed(cb, encrypt))
		if (got == nil) == (err == nil) {
			t.Fatalf("%q, %v", got, err)
		}
	})
}

// FuzzSealOpen: whatever we seal, we open.
func FuzzSealOpen(f *testing.F) {
	f.Add([]byte("success"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, message []byte) {
		if len(message) > maxEncrypted/2 {
			t.Skip("larger than an event can be")
		}
		cb := testCallback(t)
		sealed, err := cb.Seal(message)
		if err != nil {
			t.Fatal(err)
		}
		got, err := cb.Open(signed(cb, sealed))
		if err != nil || !bytes.Equal(got, message) {
			t.Fatalf("%q, %v", got, err)
		}
	})
}
