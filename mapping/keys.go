package mapping

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The keys of the domain. Every segment is escaped, so that no two different
// tuples make one key (T24): a+bc is "a/bc", ab+c is "ab/c".
//
//	mapping/id/DC/CORP/USERID                 the row
//	mapping/old/DC/CORP/USERID/~VERSION       a superseded version, newest first
//	mapping/userid/DC/CORP/SKELETON           who holds the userids that fold to this
//	mapping/account/DC/SKELETON               who holds the login users that fold to this
//	mapping/staff/DC/SKELETON                 who holds the staff numbers that fold to this
//	mapping/digits/DC                         the length of digit-only login users
//	mapping/guard                             which import holds the table, and until when
//	mapping/run/ID                            an import run
//	mapping/page/ID/N                         the rows one commit of a run wrote
//
// The indexes are keyed by skeleton, not by spelling: one key guards uniqueness
// and look-alikes at once, and two writers of look-alikes meet in the Commit.
const (
	prefixRow     = "mapping/id/"
	prefixOld     = "mapping/old/"
	prefixUserID  = "mapping/userid/"
	prefixAccount = "mapping/account/"
	prefixStaff   = "mapping/staff/"
	prefixDigits  = "mapping/digits/"
	prefixRun     = "mapping/run/"
	prefixPage    = "mapping/page/"
	guardKey      = "mapping/guard"
)

// join escapes and joins segments. It is one to one.
func join(prefix string, segments ...string) string {
	var b strings.Builder
	b.WriteString(prefix)
	for i, s := range segments {
		if i > 0 {
			b.WriteByte('/')
		}
		escapeTo(&b, s)
	}
	return b.String()
}

// escapeTo writes what prints and is not special here as it is, and every other
// byte as %XX. Chinese stays readable and short of the store's key limit.
func escapeTo(b *strings.Builder, s string) {
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if r != utf8.RuneError && unicode.IsPrint(r) && !strings.ContainsRune("%/{}", r) {
			b.WriteString(s[:n])
		} else {
			for i := range n {
				fmt.Fprintf(b, "%%%02X", s[i])
			}
		}
		s = s[n:]
	}
}

func rowKey(k Key) string { return join(prefixRow, k.DataCentre, k.Corp, k.UserID) }

// oldKey counts versions down, so that a Scan meets the newest first.
func oldKey(k Key, version uint64) string {
	return oldPrefix(k) + fmt.Sprintf("%016x", ^version)
}

func oldPrefix(k Key) string { return join(prefixOld, k.DataCentre, k.Corp, k.UserID) + "/" }

func userIDKey(k Key) string {
	return join(prefixUserID, k.DataCentre, k.Corp, skeleton(k.UserID))
}

func accountKey(dataCentre, loginUser string) string {
	return join(prefixAccount, dataCentre, skeleton(loginUser))
}

func staffKey(dataCentre, number string) string {
	return join(prefixStaff, dataCentre, skeleton(number))
}

func digitsKey(dataCentre string) string { return join(prefixDigits, dataCentre) }

func runKey(id string) string { return join(prefixRun, id) }

func pagePrefix(id string) string { return join(prefixPage, id) + "/" }

func pageKey(id string, n int) string { return pagePrefix(id) + fmt.Sprintf("%08d", n) }
