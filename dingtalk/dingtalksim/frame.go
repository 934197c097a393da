package dingtalksim

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha1" //nolint:gosec // the vendor's signature is SHA-1
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// keys are the secrets of one callback address (6.2).
type keys struct {
	token string
	aes   []byte // 32 bytes
	owner string
}

// newKeys reads the 43 characters of an AES key.
func newKeys(token, aesKey, owner string) (keys, error) {
	if len(aesKey) != 43 {
		return keys{}, fmt.Errorf("%w: aes_key must have 43 characters (900004)", ErrInvalid)
	}
	raw, err := base64.StdEncoding.DecodeString(aesKey + "=")
	if err != nil || len(raw) != 32 {
		return keys{}, fmt.Errorf("%w: aes_key is not base64 (900004)", ErrInvalid)
	}
	return keys{token, raw, owner}, nil
}

func (k keys) sign(timestamp, nonce, encrypt string) string {
	parts := []string{k.token, timestamp, nonce, encrypt}
	slices.Sort(parts)
	sum := sha1.Sum([]byte(strings.Join(parts, ""))) //nolint:gosec // see the import
	return hex.EncodeToString(sum[:])
}

// seal builds a frame: random, length, message, owner, padding (SIM-D71).
func (k keys) seal(random, message []byte, padTo int) string {
	var b bytes.Buffer
	b.Write(random[:16])
	_ = binary.Write(&b, binary.BigEndian, uint32(len(message))) // a buffer does not fail
	b.Write(message)
	b.WriteString(k.owner)
	pad := padTo - b.Len()%padTo
	b.Write(bytes.Repeat([]byte{byte(pad)}, pad))
	frame := b.Bytes()
	block, err := aes.NewCipher(k.aes)
	if err != nil {
		return "" // newKeys made 32 bytes of it
	}
	cipher.NewCBCEncrypter(block, k.aes[:16]).CryptBlocks(frame, frame)
	return base64.StdEncoding.EncodeToString(frame)
}

// Reasons for which a reply is refused, with the vendor's numbers.
var (
	errSignature = errors.New("900005: the signature does not match")
	errDecrypt   = errors.New("900008: the text cannot be decrypted")
	errOwner     = errors.New("900010: the owner key does not match")
)

// unseal reads a frame of a receiver. Like the vendor's class it looks at the
// last byte of the padding only, and strips nothing when that is out of range.
func (k keys) unseal(encrypt string) (string, error) {
	frame, err := base64.StdEncoding.DecodeString(encrypt)
	block, cipherErr := aes.NewCipher(k.aes)
	if err != nil || cipherErr != nil || len(frame) == 0 || len(frame)%aes.BlockSize != 0 {
		return "", errDecrypt
	}
	cipher.NewCBCDecrypter(block, k.aes[:16]).CryptBlocks(frame, frame)
	if pad := int(frame[len(frame)-1]); pad >= 1 && pad <= 32 && pad <= len(frame) {
		frame = frame[:len(frame)-pad]
	}
	if len(frame) < 20 {
		return "", errDecrypt
	}
	size := int64(binary.BigEndian.Uint32(frame[16:20]))
	if size > int64(len(frame)-20) {
		return "", errDecrypt
	}
	if string(frame[20+size:]) != k.owner {
		return "", errOwner
	}
	return string(frame[20 : 20+size]), nil
}
