package mapping

import (
	"slices"
	"strings"
)

// Opens reports whether a row lets its person in as a login user, from what the
// index knows of it: at most a watch behind the store. sure is false where the
// index cannot tell, because it has not read the table, or has no such row.
func (x *Index) Opens(k Key, loginUser string) (opens, sure bool) {
	key := join(prefixRow, k.DataCentre, k.Corp, k.UserID)
	x.mu.RLock()
	rows, ready := x.rows, x.ready
	x.mu.RUnlock()
	at, found := slices.BinarySearchFunc(rows, key, func(row *indexed, key string) int { return strings.Compare(row.key, key) })
	if !ready || !found {
		return false, false
	}
	row := rows[at]
	return letsIn(row.status, row.loginUser, loginUser), true
}

// Opens is the same of a row that was just read.
func (e Entry) Opens(loginUser string) bool { return letsIn(e.Status, e.LoginUser, loginUser) }

// letsIn is the rule: a row in force, that names this login user or none.
func letsIn(status Status, named, loginUser string) bool {
	return status == StatusActive && (named == "" || named == loginUser)
}
