package admin

import (
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/http"
	"os"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/crypto/argon2"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/internal/wholefile"
	"kdgate/store"
)

const (
	breakGlassAccount = "breakglass"
	breakGlassKey     = "console/breakglass"
	breakGlassName    = "breakglass:" + breakGlassAccount // in the audit log

	// RFC 9106 and OWASP's second choice: little memory, so that a few tries at
	// once cannot starve the gateway.
	argonTime, argonMemory, argonThreads = 2, 19 << 10, 1
	argonKey, argonSalt                  = 32, 16
	minPassword, maxPassword             = 15, 128 // characters (ASVS 6.2.1); no other rule

	// A one-time secret is 160 random bits: nothing is gained by making a guess
	// at it expensive, and while the brake is off guesses must cost us nothing.
	oneTimeMemory, oneTimeSize = 64, 20

	// excusedFor is how long the secret of a reset works whatever strangers do.
	excusedFor = time.Hour
)

// breakGlass is the emergency account: one, local, for the day when DingTalk
// cannot be reached. Its first secret is made here, is good once, and opens
// nothing but the form for a password of one's own.
type breakGlass struct {
	*Console
	turn    chan struct{} // one hash at a time: each takes 19 MiB
	limiter limiter
	by      string // who asks for a new secret; empty: the gateway itself
}

// emergency is the account as the store holds it.
type emergency struct {
	Salt       string    `json:"salt"`
	Hash       string    `json:"hash"`
	Time       uint32    `json:"time"`
	Memory     uint32    `json:"memory"` // KiB
	Threads    uint8     `json:"threads"`
	OneTime    bool      `json:"one_time,omitzero"` // the first secret: used once
	Used       bool      `json:"used,omitzero"`
	Generation uint64    `json:"generation"` // of the secret; sessions of an earlier one are over
	Set        time.Time `json:"set"`
	Excused    time.Time `json:"excused,omitzero"` // until then the account's brake holds nobody: somebody at the machine asked for the secret

	Unknown jsontext.Value `json:",embed"` // members of a newer release, kept (R54)

	version store.Version
}

// Prepare makes the emergency account where there is none. It asks the store,
// which may be away when a gateway starts (R17): the caller tries again.
func (c *Console) Prepare(ctx context.Context) error {
	if c.breakGlass == nil {
		return nil
	}
	_, err := c.breakGlass.load(ctx)
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return c.breakGlass.bootstrap(ctx, 1, store.Version(0))
}

// ResetBreakGlass gives the emergency account a new one-time secret, in the
// file of the configuration, and ends its sessions. It is for the command line,
// which by names; of cfg only store, recorder, file and clock are used. Whoever
// can run it stands at the machine: every try counted so far is forgotten, and
// for an hour the account's brake does not hold the new secret's use (T106).
func ResetBreakGlass(ctx context.Context, cfg Config, by string) error {
	if !cfg.BreakGlass {
		return identity.Fail(identity.Misconfigured, "", "admin: the emergency account is off (console.break_glass)")
	}
	c := &Console{cfg: cfg.withDefaults()}
	b := &breakGlass{Console: c, by: by}
	now, err := b.load(ctx)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if err := b.bootstrap(ctx, now.Generation+1, now.version); err != nil {
		return err
	}
	return limiter{c}.clear(ctx)
}

// bootstrap writes a one-time secret: the file first, so that a secret nobody
// can read is never in force, then the record. Of several replicas one wins,
// and the others take their file away again.
func (b *breakGlass) bootstrap(ctx context.Context, generation uint64, over store.Version) error {
	raw := make([]byte, oneTimeSize)
	if _, err := io.ReadFull(b.cfg.Rand, raw); err != nil {
		return fmt.Errorf("admin: random: %w", err)
	}
	secret := identity.NewSecret(base32.StdEncoding.EncodeToString(raw))
	account, err := b.sealed(secret, oneTimeMemory)
	if err != nil {
		return err
	}
	account.OneTime, account.Generation, account.version = true, generation, over
	if b.by != "" {
		account.Excused = account.Set.Add(excusedFor)
	}
	event := audit.Event{Action: audit.ActionSecretChange, Outcome: audit.OK, Actor: cmp.Or(b.by, audit.System), Target: breakGlassName, Reason: "one-time secret"}
	if err := b.record(ctx, event); err != nil {
		return err
	}
	temporary := b.cfg.SecretFile + ".new"
	if err := wholefile.Replace(temporary, []byte(secret.Reveal()+"\n")); err != nil {
		return fmt.Errorf("admin: one-time secret: %w", err)
	}
	err = b.save(ctx, account)
	if errors.Is(err, store.ErrConflict) && over == 0 {
		return os.Remove(temporary) // another replica was first; its file holds
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	if err := os.Rename(temporary, b.cfg.SecretFile); err != nil {
		return fmt.Errorf("admin: one-time secret: %w", err)
	}
	b.cfg.Logger.Info("the emergency account's one-time secret is in a file; use it once to set a password, or keep it locked away", "file", b.cfg.SecretFile)
	return nil
}

func (b *breakGlass) load(ctx context.Context) (emergency, error) {
	entry, err := b.cfg.Store.Get(ctx, breakGlassKey)
	if err != nil {
		return emergency{}, storeDown(err)
	}
	account := emergency{version: entry.Version}
	if err := json.Unmarshal(entry.Value, &account); err != nil {
		return emergency{}, identity.Fail(identity.Internal, identity.CodeInternal, "admin: emergency account: %w", err)
	}
	return account, nil
}

// save writes the account over exactly the version that was read; zero: where
// none was.
func (b *breakGlass) save(ctx context.Context, account emergency) error {
	text, err := json.Marshal(account)
	if err != nil {
		return fmt.Errorf("admin: emergency account: %w", err)
	}
	if err := b.cfg.Store.Commit(ctx, store.Over(breakGlassKey, text, account.version)); err != nil {
		return storeDown(err)
	}
	return nil
}

// sealed makes a record of a secret, whose hash takes so many KiB.
func (b *breakGlass) sealed(secret identity.Secret, memory uint32) (emergency, error) {
	salt := make([]byte, argonSalt)
	if _, err := io.ReadFull(b.cfg.Rand, salt); err != nil {
		return emergency{}, fmt.Errorf("admin: random: %w", err)
	}
	account := emergency{
		Salt: base64.StdEncoding.EncodeToString(salt), Time: argonTime, Memory: memory, Threads: argonThreads,
		Set: b.cfg.Now().UTC(),
	}
	account.Hash = base64.StdEncoding.EncodeToString(argon2.IDKey([]byte(secret.Reveal()), salt, argonTime, memory, argonThreads, argonKey))
	return account, nil
}

// fits compares a secret with the record, in constant time (T127).
func (a emergency) fits(secret identity.Secret) bool {
	salt, err := base64.StdEncoding.DecodeString(a.Salt)
	want, err2 := base64.StdEncoding.DecodeString(a.Hash)
	if err != nil || err2 != nil || len(want) != argonKey || a.Time == 0 || a.Threads == 0 {
		return false
	}
	got := argon2.IDKey([]byte(secret.Reveal()), salt, a.Time, a.Memory, a.Threads, argonKey)
	return subtle.ConstantTimeCompare(got, want) == 1
}

// prove checks account and password and gives the seat they open. The try is
// counted in the store before it is judged; where the store cannot count, nobody
// comes in (T106).
func (b *breakGlass) prove(v *Visit, account string, secret identity.Secret) (seat, error) {
	ctx := v.R.Context()
	found, err := b.load(ctx)
	if err != nil {
		return seat{}, err
	}
	who, err := b.callerOf(v, found)
	if err != nil {
		return seat{}, err
	}
	if err := b.limiter.count(ctx, who); err != nil {
		return seat{}, err
	}
	if err := b.judge(ctx, found, account, secret); err != nil {
		return seat{}, err
	}
	if err := b.limiter.forgive(ctx, who); err != nil {
		return seat{}, err
	}
	if found.OneTime {
		found.Used = true
		if err := b.save(ctx, found); err != nil {
			return seat{}, err // of two who use it at once one wins
		}
		if err := os.Remove(b.cfg.SecretFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
			b.cfg.Logger.Warn("the used one-time secret could not be removed", "error", err)
		}
	}
	return seat{
		Account: breakGlassAccount, Display: breakGlassAccount, Door: identity.DoorBreakGlass,
		ProvenAt: b.cfg.Now().UTC(), Generation: found.Generation, MustChange: found.OneTime,
	}, nil
}

// callerOf says whose tries are counted, and whether strangers' tries count
// against them too: not in a browser that was in before, not at this machine, and
// not while the secret of a reset is young.
func (b *breakGlass) callerOf(v *Visit, found emergency) (caller, error) {
	browser, err := b.known(v.R.Context(), v.R)
	if err != nil {
		return caller{}, err
	}
	who := caller{network: addressPart(v.Source()), browser: browser}
	young := found.OneTime && !found.Used && b.cfg.Now().Before(found.Excused)
	who.excused = browser != "" || who.network == thisMachine || young
	return who, nil
}

// judge compares name and secret with the account, one at a time. A wrong name
// takes as long as a wrong secret (T8).
func (b *breakGlass) judge(ctx context.Context, found emergency, account string, secret identity.Secret) error {
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
	case <-ctx.Done():
		return identity.Fail(identity.Throttled, identity.CodeTooManyTries, "admin: %w", ctx.Err())
	}
	fits := found.fits(secret)
	if !fits || account != breakGlassAccount || found.Used {
		return identity.Fail(identity.Unauthenticated, identity.CodeWrongPassword, "admin: emergency account: wrong name or password")
	}
	return nil
}

// person is the emergency account behind a seat, if its secret is still the one
// that opened it.
func (b *breakGlass) person(ctx context.Context, s seat) (Person, error) {
	account, err := b.load(ctx)
	if err != nil {
		return Person{}, err
	}
	if account.Generation != s.Generation {
		return Person{}, nobody("the emergency account has another secret")
	}
	return Person{
		Name: breakGlassName, Display: s.Display, Role: Admin, Door: s.Door,
		ProvenAt: s.ProvenAt, Ends: s.Ends, mustChange: s.MustChange,
	}, nil
}

// enterBreakGlass opens the console for the emergency account, or renews its proof.
func (d doors) enterBreakGlass(v *Visit) error {
	form, err := v.Form("account", "password", "next")
	if err != nil {
		return err
	}
	next := ownPlace(form["next"])
	s, err := d.breakGlass.prove(v, form["account"], identity.NewSecret(form["password"]))
	was := v.Who
	v.Who = Person{Name: breakGlassName, Role: Admin, Door: identity.DoorBreakGlass}
	if noted := d.recordEntry(v, err); noted != nil {
		code := identity.CodeOf(noted)
		if code != identity.CodeWrongPassword && code != identity.CodeTooManyTries {
			return noted
		}
		v.Who = was
		return d.refuseBreakGlass(v, next, noted)
	}
	if err := d.breakGlass.remember(v.W, v.R); err != nil {
		return err
	}
	if err := d.desk.sit(v.W, v.R, s); err != nil {
		return err
	}
	if s.MustChange {
		next = pathPassword
	}
	return v.SeeOther(next)
}

// refuseBreakGlass shows the form again with why, and with when where it is too early.
func (d doors) refuseBreakGlass(v *Visit, next string, refusal error) error {
	status, code := verdict(refusal)
	again := ""
	if wait := waitOf(refusal); wait > 0 {
		v.W.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		again = When(d.cfg.Now().Add(wait))
	}
	if v.Who.IsBreakGlass() {
		return v.page(status, "confirm", confirmView{
			Next: next, BreakGlass: true, Account: breakGlassAccount, Failed: code, Again: again, RequestID: v.RequestID(),
		})
	}
	return d.show(v, status, enterView{Next: next, Failed: code, Again: again})
}

// passwordView is the form for a new emergency password.
type passwordView struct {
	First    bool // the one-time secret was used: this comes before everything else
	Min, Max int
	Reason   string
}

func (d doors) passwordPage(v *Visit) error {
	if !v.Who.IsBreakGlass() {
		return identity.Fail(identity.Forbidden, identity.CodeNoConsole, "admin: only the emergency account sets its own password")
	}
	return v.Page("password", passwordView{First: v.Who.mustChange, Min: minPassword, Max: maxPassword})
}

// setPassword takes a password of the account's own. Every session of the old
// secret is over; this one goes on under a new id (T38).
func (d doors) setPassword(v *Visit) error {
	if !v.Who.IsBreakGlass() {
		return identity.Fail(identity.Forbidden, identity.CodeNoConsole, "admin: only the emergency account sets its own password")
	}
	form, err := v.Form("password", "again")
	if err != nil {
		return err
	}
	if reason := weakness(form["password"], form["again"]); reason != "" {
		return v.page(http.StatusBadRequest, "password", passwordView{First: v.Who.mustChange, Min: minPassword, Max: maxPassword, Reason: reason})
	}
	old, err := d.breakGlass.load(v.R.Context())
	if err != nil {
		return err
	}
	account, err := d.breakGlass.sealed(identity.NewSecret(form["password"]), argonMemory)
	if err != nil {
		return err
	}
	account.Generation, account.version = old.Generation+1, old.version
	event := v.Event(audit.ActionSecretChange, audit.OK)
	event.Target = breakGlassName
	if err := d.record(v.R.Context(), event); err != nil {
		return err
	}
	if err := d.breakGlass.save(v.R.Context(), account); err != nil {
		return err
	}
	err = d.desk.sit(v.W, v.R, seat{
		Account: breakGlassAccount, Display: breakGlassAccount, Door: identity.DoorBreakGlass,
		ProvenAt: v.Who.ProvenAt, Generation: account.Generation,
	})
	if err != nil {
		return err
	}
	return v.SeeOther(prefix)
}

// weakness says why a password is not taken, empty when it is.
func weakness(password, again string) string {
	switch n := utf8.RuneCountInString(password); {
	case password != again:
		return "differ"
	case n < minPassword || n > maxPassword || !utf8.ValidString(password):
		return "length"
	default:
		return ""
	}
}
