package admin

import (
	"crypto/hmac"
	"encoding/base64"

	"kdgate/identity"
)

const cursorMAC = 16 // bytes; a cursor opens nothing, it only names a place

// cursors signs places in a list, so that nobody makes one up (T105).
type cursors struct{ secret identity.Secret }

// Cursor seals a place for one list with one filter: it is worth nothing anywhere else.
func (v *Visit) Cursor(list, place string) string {
	return v.console.cursors.seal(list, place)
}

// OpenCursor gives the place back. A cursor that we did not make for this very
// list is refused.
func (v *Visit) OpenCursor(list, cursor string) (string, error) {
	if cursor == "" {
		return "", nil
	}
	place, ok := v.console.cursors.open(list, cursor)
	if !ok {
		return "", badRequest("the cursor is not of this list")
	}
	return place, nil
}

func (c cursors) mac(list, place string) []byte {
	return c.secret.MAC("console cursor", list, place)[:cursorMAC]
}

func (c cursors) seal(list, place string) string {
	return base64.RawURLEncoding.EncodeToString(append(c.mac(list, place), place...))
}

func (c cursors) open(list, cursor string) (string, bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(raw) < cursorMAC {
		return "", false
	}
	place := string(raw[cursorMAC:])
	return place, hmac.Equal(raw[:cursorMAC], c.mac(list, place))
}
