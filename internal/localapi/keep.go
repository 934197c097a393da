package localapi

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"

	"kdgate/internal/moving"
)

// backup streams an archive. One that ends early is none: its sums are missing.
func (h handler) backup(w http.ResponseWriter, r *http.Request) {
	noDeadline(w)
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Trailer", "X-Fault") // the status is long sent when the store fails
	if err := h.Keeper.Backup(r.Context(), actor(r), w); err != nil {
		h.Logger.Error("backup", "error", err)
		w.Header().Set("X-Fault", strings.ReplaceAll(err.Error(), "\n", " "))
	}
}

// restore answers with lines, as an import does.
func (h handler) restore(w http.ResponseWriter, r *http.Request) {
	noDeadline(w)
	stream := newStream(w)
	done, err := h.Keeper.Restore(r.Context(), actor(r), r.Body, moving.Options{
		Over: r.URL.Query().Has("over"), Progress: stream.count,
	})
	stream.finish(line{Restored: &done}, err)
}

// countEvery is how many entries lie between two lines of progress.
const countEvery = 5000

// count is progress without a known end.
func (s *stream) count(done, total int) {
	if done-s.last >= countEvery {
		s.last = done
		s.write(line{Done: done, Total: total})
	}
}

// Backup copies an archive of everything that lasts to w. It is for the caller
// to verify it.
func (c *Client) Backup(ctx context.Context, w io.Writer) error {
	res, err := c.send(ctx, http.MethodPost, "backup", nil, nil)
	return copied(w, res, err, "the backup")
}

// Restore puts the content of an archive into the store.
func (c *Client) Restore(ctx context.Context, archive io.Reader, o moving.Options) (moving.Restored, error) {
	q := url.Values{}
	if o.Over {
		q.Set("over", "1")
	}
	last, err := c.long(ctx, "restore", q, archive, func(done, total int) {
		if o.Progress != nil {
			o.Progress(done, total)
		}
	})
	if err != nil || last.Restored == nil {
		return moving.Restored{}, err
	}
	return *last.Restored, nil
}

// reset is where a new one-time secret was put.
type reset struct {
	File string `json:"file"`
}

func (h handler) resetConsole(w http.ResponseWriter, r *http.Request) {
	file, err := h.Keeper.ResetBreakGlass(r.Context(), actor(r))
	if err != nil {
		h.fail(w, err)
		return
	}
	answer(w, http.StatusOK, reset{file})
}

// ResetBreakGlass has a new one-time secret of the console's emergency account
// written, and gives the file it is in.
func (c *Client) ResetBreakGlass(ctx context.Context) (string, error) {
	res, err := c.send(ctx, http.MethodPost, "console/reset", nil, nil)
	var done reset
	err = taken(&done, res, err)
	return done.File, err
}
