package gateway

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kdgate/identity"
	"kdgate/store"
)

// R18, R25: a loser waits at most eight seconds; a claim whose winner died is
// abandoned, not exchanged again.
func TestWaitingForTheWinner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(time.Now)
		c := &claims{store: m, now: time.Now}
		put := func(text string) {
			if err := m.Commit(t.Context(), store.Put("code/x", []byte(text))); err != nil {
				t.Fatal(err)
			}
		}
		pending := fmt.Sprintf(`{"browser":"b","random":"r","at":%q}`, time.Now().Format(time.RFC3339Nano))
		put(pending)
		began := time.Now()
		if _, err := c.await(t.Context(), "code/x", "b", 7*time.Second); identity.CodeOf(err) != identity.CodeDingTalkDown || time.Since(began) > waitLimit {
			t.Errorf("dead winner: %v after %v", err, time.Since(began))
		}
		began = time.Now()
		if _, err := c.await(t.Context(), "code/x", "b", 7*time.Second); identity.CodeOf(err) != identity.CodeDingTalkDown || time.Since(began) != 0 {
			t.Errorf("dead for long: %v after %v", err, time.Since(began))
		}
		if _, err := c.await(t.Context(), "code/x", "other", 7*time.Second); identity.CodeOf(err) != identity.CodeAuthCodeRefused {
			t.Errorf("other browser: %v", err)
		}
		put(fmt.Sprintf(`{"browser":"b","random":"r","at":%q}`, time.Now().Format(time.RFC3339Nano)))
		began = time.Now()
		time.AfterFunc(3*time.Second, func() {
			put(fmt.Sprintf(`{"browser":"b","random":"r","done":true,"at":%q,"who":{"Subject":{"Corp":"c","UserID":"u"}}}`, began.Format(time.RFC3339Nano)))
		})
		found, err := c.await(t.Context(), "code/x", "b", 7*time.Second)
		if err != nil || found.Who == nil || found.Who.Subject.UserID != "u" || time.Since(began) != 3*time.Second {
			t.Errorf("slow winner: %+v %v after %v", found, err, time.Since(began))
		}
		m.down.Store(true)
		if _, err := c.await(t.Context(), "code/x", "b", time.Second); identity.CodeOf(err) != identity.CodeStoreDown {
			t.Errorf("store down: %v", err)
		}
		synctest.Wait()
	})
}

// Store and audit failures close the door and are not taken for anything else.
func TestPeersDown(t *testing.T) {
	t.Run("store, before", func(t *testing.T) {
		h := newHouse(t)
		h.store.down.Store(true)
		if a := h.browser(t).get("/launch/kingdee"); a.StatusCode != 503 || !strings.Contains(a.text, "KD-501") {
			t.Errorf("%d %s", a.StatusCode, a.text)
		}
	})
	t.Run("store, at the post", func(t *testing.T) {
		h := newHouse(t)
		b := h.browser(t)
		form := b.form(b.open("/launch/kingdee"), "auth-1")
		h.store.down.Store(true)
		if a := b.post(form); a.StatusCode != 503 || !strings.Contains(a.text, "KD-501") || len(h.dingtalk.called()) != 0 {
			t.Errorf("%d %s", a.StatusCode, a.text)
		}
		if a := b.get("/signin/dingtalk/callback?code=x&state=" + form.Get("state")); a.StatusCode != 303 || a.location() != "/signin?failed=KD-501" {
			t.Errorf("callback: %d %q", a.StatusCode, a.location())
		}
	})
	t.Run("audit, at the sign-in (T111)", func(t *testing.T) {
		h := newHouse(t)
		b := h.browser(t)
		h.dingtalk.give("auth-1", corpOne, "zhang1")
		form := b.form(b.open("/launch/kingdee"), "auth-1")
		h.audit.breakWith(errBroken)
		if a := b.post(form); a.StatusCode != 503 || !strings.Contains(a.text, "KD-502") || h.sessions.count() != 0 {
			t.Errorf("%d, sessions %d", a.StatusCode, h.sessions.count())
		}
		h.audit.breakWith(nil)
		if a := b.post(form); a.StatusCode != 503 || h.sessions.count() != 0 {
			t.Errorf("a repeat opened a session without a record: %d", a.StatusCode)
		}
	})
}

// afterUnknown: a commit of unknown outcome is read, not repeated (store.Store).
func TestUnknownCommit(t *testing.T) {
	m := newMemory(time.Now)
	lossy := &lossyStore{memory: m}
	k := keys{secret: identity.NewSecret(strings.Repeat("k", 32))}
	st, err := newStates(m, k, time.Now, zeros{})
	if err != nil {
		t.Fatal(err)
	}
	browserID := identity.NewSecret(strings.Repeat("A", 43))
	open, err := st.create(browserID, signIn{Corp: corpOne})
	if err != nil {
		t.Fatal(err)
	}
	if open, err = st.load(t.Context(), open.state, browserID); err != nil {
		t.Fatal(err)
	}
	c := &claims{store: lossy, now: time.Now, rand: zeros{}}
	if _, won, err := c.take(t.Context(), "code/x", open, st); err != nil || !won {
		t.Errorf("applied, answer lost: won %v, %v", won, err)
	}
	lossy.drop = true
	if _, won, err := c.take(t.Context(), "code/y", open, st); won || identity.CodeOf(err) != identity.CodeStoreDown {
		t.Errorf("not applied: won %v, %v", won, err)
	}
}

// lossyStore applies or drops a commit and says that it could not ask.
type lossyStore struct {
	*memory
	drop bool
}

func (l *lossyStore) Commit(ctx context.Context, ops ...store.Op) error {
	if !l.drop {
		if err := l.memory.Commit(ctx, ops...); err != nil {
			return err
		}
	}
	return store.ErrUnavailable
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestCodeIsUsedOnceUnderAnySecret proves T1 while the secret is changed (R57): a
// code that was claimed under one secret is claimed, on a replica that signs with
// the other and in a sign-in that began there.
func TestCodeIsUsedOnceUnderAnySecret(t *testing.T) {
	m := newMemory(time.Now)
	first, second := identity.NewSecret(strings.Repeat("k", 32)), identity.NewSecret(strings.Repeat("n", 32))
	browser, code := identity.NewSecret(strings.Repeat("A", 43)), identity.NewSecret("the-code")
	replica := func(secrets ...identity.Secret) func(began *states) (used bool, st signIn) {
		here, err := newStates(m, keys{secret: secrets[0], old: secrets[1:]}, time.Now, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		c := &claims{store: m, now: time.Now, rand: rand.Reader}
		return func(began *states) (bool, signIn) {
			if began == nil {
				began = here
			}
			made, err := began.create(browser, signIn{Corp: corpOne})
			if err != nil {
				t.Fatal(err)
			}
			st, err := here.load(t.Context(), made.state, browser)
			if err != nil {
				t.Fatal(err)
			}
			a := attempt{st: st, browser: browser, code: code}
			_, won, err := c.take(t.Context(), claimKey(here.of(st), code), st, here, here.elsewhere(a)...)
			if err != nil {
				t.Fatal(err)
			}
			return won, st
		}
	}
	before, err := newStates(m, keys{secret: first, old: []identity.Secret{second}}, time.Now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if won, st := replica(first, second)(nil); !won || st.by != 0 {
		t.Fatalf("the first use: %t", won)
	}
	after := replica(second, first)
	if won, st := after(nil); won || st.by != 0 {
		t.Error("used again in a sign-in of the new secret")
	}
	if won, st := after(before); won || st.by != 1 {
		t.Error("used again in a sign-in of the old secret")
	}
}
