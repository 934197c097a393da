package localapi_test

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"testing"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/internal/localapi"
)

// kept is a log that keeps what it is told, or refuses.
type kept struct {
	events []audit.Event
	err    error
}

func (k *kept) Append(_ context.Context, event audit.Event) error {
	k.events = append(k.events, event)
	return k.err
}

// F40: a command's read of the log is recorded by the gateway that holds it,
// with the operating-system user; one that cannot be recorded fails, and nothing
// else can be written into the log by this door.
func TestLooksAreRecorded(t *testing.T) {
	log, token := &kept{}, identity.NewSecret(tokenText)
	dir := t.TempDir()
	server := httptest.NewServer(localapi.NewHandler(localapi.Config{Recorder: log, Token: token, Logger: slog.New(slog.DiscardHandler)}))
	t.Cleanup(server.Close)
	must(t, localapi.Announce(dir, server.Listener.Addr(), token))
	client, err := localapi.Dial(t.Context(), dir, "operator")
	must(t, err)
	t.Cleanup(client.Close)

	must(t, client.Look(t.Context(), localapi.Look{Action: audit.ActionAuditExport, Detail: map[string]string{"format": "csv"}}))
	if len(log.events) != 1 {
		t.Fatalf("%d records", len(log.events))
	}
	got := log.events[0]
	if got.Actor != "cli:operator" || got.Action != audit.ActionAuditExport || got.Outcome != audit.OK || got.Detail["format"] != "csv" || got.Source != "local" {
		t.Errorf("%+v", got)
	}
	if err := client.Look(t.Context(), localapi.Look{Action: audit.ActionSignIn}); identity.KindOf(err) != identity.Invalid {
		t.Errorf("a look that is none: %v", err)
	}
	if len(log.events) != 1 {
		t.Errorf("%d records", len(log.events))
	}
	log.err = identity.Fail(identity.Unavailable, identity.CodeAuditDown, "full")
	if err := client.Look(t.Context(), localapi.Look{Action: audit.ActionAuditRead}); identity.KindOf(err) != identity.Unavailable {
		t.Errorf("a look that could not be recorded: %v", err)
	}
}
