package approval

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"strconv"
)

// numberPrefix marks bills that were made of approvals.
const numberPrefix = "DD-"

// Number is the number of the bill that an approval becomes: "DD-" and 20
// characters of the base 32 of a SHA-256 over the parts, each behind its length,
// so that no two lists of parts read alike (R33). The form is the bill type;
// version is the rule's.
func Number(corp, instance, form string, version int) string {
	h := sha256.New()
	for _, part := range []string{corp, instance, form, strconv.Itoa(version)} {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		h.Write(length[:])
		h.Write([]byte(part))
	}
	return numberPrefix + base32.StdEncoding.EncodeToString(h.Sum(nil))[:20]
}

// numberBy is the number of the bill that a rule makes.
func (m *machine) numberBy(rule compiled) string {
	return Number(m.cfg.Corp, m.id(), rule.Form, rule.Version)
}
