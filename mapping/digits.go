package mapping

import (
	"context"
	"fmt"

	"kdgate/identity"
	"kdgate/store"
)

// Kingdee signs the sorted values of a link joined with nothing between them.
// Digit-only login users of different lengths can therefore share a signature:
// user 12 with permitcount 1 reads as user 2 with something else, or as 112
// without one. So all digit-only login users of a data centre have one length;
// another length needs two approvals (T33).
type digitLength struct {
	Length int `json:"length"`
}

// checkDigits refuses a digit-only login user of another length than the
// others', unless the row is privileged and so waits for two approvals.
func checkDigits(ctx context.Context, x *tx, before, after *Entry) error {
	login := after.LoginUser
	if !digitsOnly(login) || before != nil && before.holds() && before.LoginUser == login {
		return nil
	}
	key := digitsKey(after.DataCentre)
	var known digitLength
	there, err := x.load(ctx, key, &known)
	switch {
	case err != nil:
		return err
	case there && known.Length == len(login), there && after.Privileged:
		return nil
	case there:
		if err := stillUsed(ctx, x, after.Key(), known.Length); err != nil {
			return err
		}
	}
	return x.save(ctx, key, digitLength{Length: len(login)})
}

// stillUsed refuses when any other row has a digit-only login user of the length.
func stillUsed(ctx context.Context, x *tx, k Key, length int) error {
	prefix := join(prefixAccount, k.DataCentre) + "/"
	after := prefix + "/" // sorts just before "0"
	for {
		page, err := x.store.Scan(ctx, prefix, after, store.MaxPage)
		if err != nil {
			return storeError("look for digit-only login users", err)
		}
		for _, entry := range page {
			if entry.Key[len(prefix)] > '9' {
				return nil // digits sort first: there are no more
			}
			var c claimed
			if err := decode(entry.Value, &c); err != nil {
				return identity.Fail(identity.Internal, identity.CodeInternal, "%w", err)
			}
			mine := len(c.Holders) == 1 && c.Holders[0].is(k)
			if !mine && digitsOnly(c.Exact) && len(c.Exact) == length {
				return refuse(identity.Conflict, "login_user", ReasonDigits, fmt.Sprintf("%d digits wanted", length))
			}
			after = entry.Key
		}
		if len(page) == 0 {
			return nil
		}
	}
}

// Ambiguity is a pair of login users whose links could share a signature.
type Ambiguity struct {
	DataCentre string `json:"data_centre"`
	Joined     string `json:"joined"` // the common text; empty for digit-only users of two lengths
	First      string `json:"first"`
	Second     string `json:"second"`
}

// permitForms are the values that permitcount can add to what is signed.
var permitForms = [...]string{"", "0", "1"}

// Ambiguities proves for a whole data centre that no two login users, with any
// form of permitcount, concatenate alike, or lists those that do (T33). It also
// lists digit-only users of another length than the first one found.
func (x *Index) Ambiguities(ctx context.Context, dataCentre string) ([]Ambiguity, error) {
	rows, err := x.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	var logins []string
	for _, row := range rows {
		if row.dataCentre == dataCentre && row.loginUser != "" {
			logins = append(logins, row.loginUser)
		}
	}
	return append(lengths(dataCentre, logins), alike(dataCentre, logins)...), nil
}

// lengths are the digit-only logins of another length than the first one.
func lengths(dataCentre string, logins []string) []Ambiguity {
	var found []Ambiguity
	first := ""
	for _, login := range logins {
		switch {
		case !digitsOnly(login):
		case first == "":
			first = login
		case len(login) != len(first):
			found = append(found, Ambiguity{DataCentre: dataCentre, First: first, Second: login})
		}
	}
	return found
}

// alike are the logins that join to the same text as another.
//
// One of such a pair begins with 0, 1 or what sorts before: any other stands
// behind permitcount, so two of those join alike only where they are the same. That
// leaves next to nothing to remember in a table of names.
func alike(dataCentre string, logins []string) []Ambiguity {
	var found []Ambiguity
	owner := map[string]string{} // joined text → login user
	for _, early := range [...]bool{true, false} {
		if !early && len(owner) == 0 {
			break
		}
		for _, login := range logins {
			if early != (login[0] <= '1') {
				continue
			}
			for _, permit := range permitForms {
				joined := joinSorted(login, permit)
				if other, taken := owner[joined]; taken && other != login {
					found = append(found, Ambiguity{DataCentre: dataCentre, Joined: joined, First: other, Second: login})
				} else if early {
					owner[joined] = login
				}
			}
		}
	}
	return found
}

// joinSorted joins two values as the signature does, in ordinal order.
func joinSorted(a, b string) string {
	if b < a {
		return b + a
	}
	return a + b
}

// eachPage calls f with every entry under prefix, in order of keys.
func eachPage(ctx context.Context, s store.Store, prefix string, f func(store.Entry) error) error {
	after := ""
	for {
		page, err := s.Scan(ctx, prefix, after, store.MaxPage)
		if err != nil {
			return storeError("scan", err)
		}
		for _, e := range page {
			if err := f(e); err != nil {
				return err
			}
		}
		if len(page) == 0 {
			return nil
		}
		after = page[len(page)-1].Key
	}
}
