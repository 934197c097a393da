package audit

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
)

// minKey is the least length of Config.Key in bytes.
const minKey = 32

// keys are derived from the one configured key, so that neither use can stand
// in for the other and the configured key itself touches no record.
type keys struct {
	mac  []byte
	sign ed25519.PrivateKey
}

func deriveKeys(key []byte) (keys, error) {
	if len(key) < minKey {
		return keys{}, fmt.Errorf("audit: the key has %d bytes, at least %d are needed", len(key), minKey)
	}
	mac, err := hkdf.Key(sha256.New, key, nil, "kdgate audit record mac v1", sha256.Size)
	if err != nil {
		return keys{}, fmt.Errorf("audit: derive the record key: %w", err)
	}
	seed, err := hkdf.Key(sha256.New, key, nil, "kdgate audit checkpoint v1", ed25519.SeedSize)
	if err != nil {
		return keys{}, fmt.Errorf("audit: derive the checkpoint key: %w", err)
	}
	return keys{mac: mac, sign: ed25519.NewKeyFromSeed(seed)}, nil
}

func (k keys) public() ed25519.PublicKey {
	public, _ := k.sign.Public().(ed25519.PublicKey)
	return public
}

// PublicKey is the key that checkpoints are verified with. It can be handed to
// a reviewer who must not be able to write records.
func PublicKey(key []byte) (ed25519.PublicKey, error) {
	k, err := deriveKeys(key)
	if err != nil {
		return nil, err
	}
	return k.public(), nil
}
