package audit

import (
	"context"
	"fmt"
)

// Ping writes to the log's file as an append would, but no record, and says why
// it could not. Readiness asks it, because without a record nothing may be done
// (T111). It goes through the writer, so a writer that hangs is found too.
func (l *Log) Ping(ctx context.Context) error {
	done := make(chan error, 1)
	select {
	case l.probes <- done:
	case <-l.stopped:
		return down(ErrClosed)
	case <-ctx.Done():
		return down(ctx.Err())
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return down(ctx.Err())
	}
}

// probe writes the file's header page as it is. After an append that failed it
// also finds out where the chain ends, as the next append would have to.
func (l *Log) probe(ctx context.Context) error {
	if _, err := l.write.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version=%d", schemaVersion)); err != nil {
		return down(fmt.Errorf("the log cannot be written: %w", err))
	}
	if err := l.resolveDoubt(ctx); err != nil {
		return down(err)
	}
	return nil
}
