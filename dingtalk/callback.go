package dingtalk

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // the vendor's signature is SHA-1
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"kdgate/identity"
	"kdgate/internal/lazyregexp"
)

// ErrCallback is every reason to refuse an event: one error, so that nobody
// learns from the answer how far a forgery came (T63).
var ErrCallback = errors.New("dingtalk: the event is not authentic")

// CallbackConfig is the secret material of one event subscription.
type CallbackConfig struct {
	Token  identity.Secret
	AESKey identity.Secret // 43 letters and digits
	// Owner is the key inside every frame, in both directions: the Client ID
	// for console subscriptions, the corpId for the old register call.
	Owner string
	// AlsoOwners are accepted in events, never written into replies.
	AlsoOwners []string
	Random     io.Reader // default crypto/rand
	Now        func() time.Time
}

// Callback opens events and seals replies (reference 6.2 and 6.3). It is safe
// for concurrent use and keeps no state: replay is the receiver's to find.
type Callback struct {
	cfg    CallbackConfig
	block  cipher.Block
	iv     []byte
	owners []string
}

// Envelope is an event as it arrives: three values of the query, one of the body.
type Envelope struct {
	Signature string // "signature" or "msg_signature", lower-case hex; upper case is refused
	Timestamp string // as sent: seconds or milliseconds
	Nonce     string
	Encrypt   string
}

// CallbackReply is the body that tells DingTalk an event has been taken. The
// capital S is the vendor's.
type CallbackReply struct {
	Signature string `json:"msg_signature"`
	Timestamp string `json:"timeStamp"`
	Nonce     string `json:"nonce"`
	Encrypt   string `json:"encrypt"`
}

const (
	aesKeyText   = 43
	maxEncrypted = 1 << 20 // of base64 text
	frameRandom  = 16
	frameHeader  = frameRandom + 4
	framePad     = 32 // twice the cipher's block: the vendor pads to 32
)

// NewCallback checks the material. The key is decoded leniently: its last
// character carries spare bits, with which strict decoders refuse most keys.
func NewCallback(cfg CallbackConfig) (*Callback, error) {
	if len(cfg.AESKey.Reveal()) != aesKeyText || cfg.Token.IsZero() || cfg.Owner == "" {
		return nil, errors.New("dingtalk: callbacks need a token, an owner key and an AES key of 43 characters")
	}
	key, err := base64.StdEncoding.DecodeString(cfg.AESKey.Reveal() + "=")
	if err != nil {
		return nil, errors.New("dingtalk: the AES key of callbacks is not base64") // the cause would quote it
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("dingtalk: the AES key of callbacks: %w", err)
	}
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	owners := append([]string{cfg.Owner}, cfg.AlsoOwners...)
	return &Callback{cfg: cfg, block: block, iv: key[:block.BlockSize()], owners: owners}, nil
}

// Signature is the lower-case hex SHA-1 over the sorted four texts.
func (c *Callback) Signature(timestamp, nonce, encrypt string) string {
	parts := []string{c.cfg.Token.Reveal(), timestamp, nonce, encrypt}
	slices.Sort(parts)
	sum := sha1.Sum([]byte(strings.Join(parts, ""))) //nolint:gosec // see the import
	return hex.EncodeToString(sum[:])
}

// Open verifies an event and gives its message. The signature is compared in
// constant time before anything is decoded (T62). Every failure is ErrCallback.
// Open does not look at the clock: Fresh does, and replay is the receiver's.
func (c *Callback) Open(e Envelope) ([]byte, error) {
	if len(e.Encrypt) > maxEncrypted {
		return nil, ErrCallback
	}
	want := c.Signature(e.Timestamp, e.Nonce, e.Encrypt)
	if subtle.ConstantTimeCompare([]byte(want), []byte(e.Signature)) != 1 {
		return nil, ErrCallback
	}
	return c.decrypt(e.Encrypt)
}

func (c *Callback) decrypt(encrypt string) ([]byte, error) {
	if strings.ContainsAny(encrypt, "\r\n") { // the decoder would skip them
		return nil, ErrCallback
	}
	frame, err := base64.StdEncoding.Strict().DecodeString(encrypt)
	if err != nil || len(frame) < 2*c.block.BlockSize() || len(frame)%c.block.BlockSize() != 0 {
		return nil, ErrCallback
	}
	cipher.NewCBCDecrypter(c.block, c.iv).CryptBlocks(frame, frame)
	frame, padded := unpad(frame)
	if !padded || len(frame) < frameHeader {
		return nil, ErrCallback
	}
	rest := frame[frameHeader:]
	size := binary.BigEndian.Uint32(frame[frameRandom:frameHeader])
	if uint64(size) > uint64(len(rest)) || !c.owns(rest[size:]) {
		return nil, ErrCallback
	}
	return rest[:size], nil
}

// unpad strips 1 to 32 bytes, each of which must hold their number. One vendor
// sample pads to 16 only, so the length before need not be a multiple of 32.
func unpad(frame []byte) ([]byte, bool) {
	n := int(frame[len(frame)-1])
	if n < 1 || n > framePad || n > len(frame) {
		return nil, false
	}
	same := 1
	for _, b := range frame[len(frame)-n:] {
		same &= subtle.ConstantTimeByteEq(b, byte(n))
	}
	return frame[:len(frame)-n], same == 1
}

func (c *Callback) owns(key []byte) bool {
	match := 0
	for _, owner := range c.owners {
		match |= subtle.ConstantTimeCompare([]byte(owner), key)
	}
	return match == 1
}

// Seal encrypts a message for DingTalk with fresh random bytes.
func (c *Callback) Seal(message []byte) (string, error) {
	pad := framePad - (frameHeader+len(message)+len(c.cfg.Owner))%framePad
	frame := make([]byte, frameRandom, frameHeader+len(message)+len(c.cfg.Owner)+pad)
	if _, err := io.ReadFull(c.cfg.Random, frame); err != nil {
		return "", fmt.Errorf("dingtalk: no randomness for a reply: %w", err)
	}
	frame = binary.BigEndian.AppendUint32(frame, uint32(len(message)))
	frame = append(append(frame, message...), c.cfg.Owner...)
	frame = append(frame, slices.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(c.block, c.iv).CryptBlocks(frame, frame)
	return base64.StdEncoding.EncodeToString(frame), nil
}

// Reply is the answer to every event, the check event included: the word
// "success", sealed and signed now (T66).
func (c *Callback) Reply() (CallbackReply, error) {
	nonce := make([]byte, 8)
	if _, err := io.ReadFull(c.cfg.Random, nonce); err != nil {
		return CallbackReply{}, fmt.Errorf("dingtalk: no randomness for a reply: %w", err)
	}
	return c.reply(strconv.FormatInt(c.cfg.Now().UnixMilli(), 10), hex.EncodeToString(nonce))
}

func (c *Callback) reply(timestamp, nonce string) (CallbackReply, error) {
	encrypt, err := c.Seal([]byte("success"))
	if err != nil {
		return CallbackReply{}, err
	}
	return CallbackReply{
		Signature: c.Signature(timestamp, nonce, encrypt),
		Timestamp: timestamp, Nonce: nonce, Encrypt: encrypt,
	}, nil
}

var (
	callbackTime  = lazyregexp.New(`^(?:[0-9]{10}|[0-9]{13})$`)
	callbackNonce = lazyregexp.New(`^[A-Za-z0-9]{1,64}$`)
)

// Fresh refuses an event whose signed time is further than window from now, in
// either direction, or whose time or nonce has another shape than DingTalk's
// (T64). Ten digits are seconds, thirteen are milliseconds. Retries carry a
// new time, so a narrow window loses none.
func (c *Callback) Fresh(e Envelope, window time.Duration) error {
	if !callbackTime().MatchString(e.Timestamp) || !callbackNonce().MatchString(e.Nonce) {
		return ErrCallback
	}
	n, err := strconv.ParseInt(e.Timestamp, 10, 64)
	if err != nil {
		return ErrCallback
	}
	at := time.UnixMilli(n)
	if len(e.Timestamp) == 10 {
		at = time.Unix(n, 0)
	}
	if c.cfg.Now().Sub(at).Abs() > window {
		return ErrCallback
	}
	return nil
}
