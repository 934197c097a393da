package localapi_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"kdgate/identity"
	"kdgate/internal/localapi"
	"kdgate/internal/moving"
	"kdgate/mapping"
)

// keeper plays the state as a whole; what it does is tested at the command line.
type keeper struct {
	by    string
	over  bool
	fault error // after some of the work
}

func (k *keeper) Backup(_ context.Context, by mapping.Actor, w io.Writer) error {
	k.by = by.Name
	if _, err := w.Write(bytes.Repeat([]byte("b"), 1<<20)); err != nil {
		return err
	}
	return k.fault
}

func (k *keeper) Restore(_ context.Context, by mapping.Actor, body io.Reader, o moving.Options) (moving.Restored, error) {
	k.by, k.over = by.Name, o.Over
	n, err := io.Copy(io.Discard, body)
	o.Progress(10_000, 0)
	return moving.Restored{StoreID: "s", Entries: int(n)}, errors.Join(err, k.fault)
}

// keep serves k and dials it.
func keep(t *testing.T, k *keeper) *localapi.Client {
	t.Helper()
	dir, token := t.TempDir(), identity.NewSecret(tokenText)
	server := httptest.NewServer(localapi.NewHandler(localapi.Config{Keeper: k, Token: token, Logger: slog.New(slog.DiscardHandler)}))
	t.Cleanup(server.Close)
	must(t, localapi.Announce(dir, server.Listener.Addr(), token))
	client, err := localapi.Dial(t.Context(), dir, "root")
	must(t, err)
	t.Cleanup(client.Close)
	return client
}

func TestBackupRoute(t *testing.T) {
	k := &keeper{}
	client := keep(t, k)
	var out bytes.Buffer
	must(t, client.Backup(t.Context(), &out))
	if out.Len() != 1<<20 || k.by != "cli:root" {
		t.Errorf("%d bytes for %s", out.Len(), k.by)
	}
	k.fault = errors.New("the store\nwent away")
	if err := client.Backup(t.Context(), io.Discard); err == nil || !strings.Contains(err.Error(), "the store went away") {
		t.Errorf("half a backup: %v", err)
	}
}

func TestRestoreRoute(t *testing.T) {
	k := &keeper{}
	client := keep(t, k)
	told := 0
	done, err := client.Restore(t.Context(), strings.NewReader("archive"), moving.Options{Over: true, Progress: func(done, _ int) { told = done }})
	must(t, err)
	if done.Entries != 7 || done.StoreID != "s" || !k.over || told != 10_000 || k.by != "cli:root" {
		t.Errorf("%+v, over %v, told %d, by %s", done, k.over, told, k.by)
	}
	k.fault = identity.Fail(identity.Conflict, "", "a gateway runs")
	if _, err := client.Restore(t.Context(), strings.NewReader(""), moving.Options{}); identity.KindOf(err) != identity.Conflict || k.over {
		t.Errorf("refused: %v, over %v", err, k.over)
	}
}

// TestKeepRoutesWantTheToken: a backup is everything there is (T127).
func TestKeepRoutesWantTheToken(t *testing.T) {
	handler := localapi.NewHandler(localapi.Config{Keeper: &keeper{}, Token: identity.NewSecret(tokenText), Logger: slog.New(slog.DiscardHandler)})
	for _, path := range []string{"/local/backup", "/local/restore"} {
		req := httptest.NewRequest(http.MethodPost, path, nil)
		req.RemoteAddr = "127.0.0.1:1"
		out := httptest.NewRecorder()
		if handler.ServeHTTP(out, req); out.Code != http.StatusUnauthorized || out.Body.Len() > 200 {
			t.Errorf("%s: %d", path, out.Code)
		}
	}
}

func (k *keeper) ResetBreakGlass(_ context.Context, by mapping.Actor) (string, error) {
	return "console-secret of " + by.Name, nil
}

// TestResetBreakGlass: the command's user is who asked.
func TestResetBreakGlass(t *testing.T) {
	client := keep(t, &keeper{})
	file, err := client.ResetBreakGlass(t.Context())
	if err != nil || file != "console-secret of cli:root" {
		t.Errorf("%q, %v", file, err)
	}
}
