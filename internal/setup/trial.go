package setup

import (
	"context"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/internal/app"
	"kdgate/internal/checkup"
	"kdgate/internal/config"
)

// trial is a gateway that runs with the draft, on state of its own.
type trial struct {
	server *app.Server
	stop   context.CancelFunc
	ended  chan struct{}
	dir    string
	err    error // why it ended, once ended is closed
}

// trialView is what the page of the first sign-in shows.
type trialView struct {
	Running  bool
	Failed   string
	Open     string // the address to open
	Mistakes []string
	Attempts []attempt
	Landed   []string // userids that were let into Kingdee
	Admin    string
	Done     bool
}

// attempt is one sign-in, or one link of it.
type attempt struct {
	Time   string
	Person string
	Action audit.Action
	OK     bool
	Code   identity.Code
}

// attemptsShown is how many sign-ins the page shows.
const attemptsShown = 10

// start runs a gateway with the draft. Its state is thrown away at the end.
func (w *Wizard) start(ctx context.Context, d *draft) (*trial, config.Mistakes, error) {
	dir, err := os.MkdirTemp("", "kdgate-trial-")
	if err != nil {
		return nil, nil, err
	}
	cfg, mistakes, err := w.read(d, form{Trial: dir}, "")
	if err != nil || len(mistakes) > 0 {
		_ = os.RemoveAll(dir)
		return nil, mistakes, err
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx)) // it outlives the click that started it
	server, err := app.NewServer(ctx, w.options(cfg))
	if err != nil {
		stop()
		_ = os.RemoveAll(dir)
		return nil, nil, err
	}
	t := &trial{server: server, stop: stop, ended: make(chan struct{}), dir: dir}
	go func() {
		defer close(t.ended)
		t.err = server.Run(ctx)
		_ = os.RemoveAll(dir)
	}()
	return t, nil, nil
}

// stopTrial ends the gateway on trial, if there is one, and waits until its
// ports are free.
func (w *Wizard) stopTrial() {
	w.mu.Lock()
	t := w.trial
	w.trial = nil
	w.mu.Unlock()
	if t != nil {
		t.stop()
		<-t.ended
	}
}

// try starts the gateway on trial, or stops it.
func (w *Wizard) try(rw http.ResponseWriter, r *http.Request) {
	if r.PostFormValue("act") == "stop" {
		w.stopTrial()
		http.Redirect(rw, r, "/step/login", http.StatusSeeOther)
		return
	}
	w.stopTrial()
	w.mu.Lock()
	entered := w.draft.copy()
	w.mu.Unlock()
	t, mistakes, err := w.start(r.Context(), entered)
	if err != nil {
		mistakes = append(mistakes, err.Error())
	}
	if len(mistakes) > 0 {
		v := w.view(r, checkup.StepLogin, mistakes)
		w.render(rw, r, http.StatusBadRequest, "setup/login", v)
		return
	}
	w.mu.Lock()
	w.trial = t
	w.mu.Unlock()
	http.Redirect(rw, r, "/trial", http.StatusSeeOther)
}

// watch is the page of the first sign-in, or its moving part for htmx.
func (w *Wizard) watch(rw http.ResponseWriter, r *http.Request) {
	v := w.view(r, checkup.StepLogin, nil)
	v.Trial = w.trialView(r.Context())
	if r.Header.Get("HX-Request") != "true" {
		w.render(rw, r, http.StatusOK, "setup/login", v)
		return
	}
	words := w.pages.Catalogue().For(r)
	rw.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := w.pages.RenderPart(rw, viewOf(words, "setup/login", v), "live"); err != nil {
		w.cfg.Logger.Error("set-up page", "page", "login", "error", err)
	}
}

// trialView asks the gateway on trial who has come.
func (w *Wizard) trialView(ctx context.Context) trialView {
	w.mu.Lock()
	t := w.trial
	corp := w.draft.get(checkup.StepDingTalk, "corp")
	v := trialView{
		Admin: w.draft.Admin, Done: w.draft.Landed,
		Open: strings.TrimSuffix(w.draft.get(checkup.StepAddress, "public_url"), "/") + "/launch/kingdee",
	}
	w.mu.Unlock()
	if t == nil {
		return v
	}
	select {
	case <-t.ended:
		v.Failed = "?"
		if t.err != nil {
			v.Failed = t.err.Error()
		}
		return v
	default:
	}
	v.Running = true
	records, err := t.server.Attempts(ctx, attemptsShown)
	if err != nil {
		v.Failed = err.Error()
		return v
	}
	slices.SortFunc(records, func(a, b audit.Record) int { return b.At.Compare(a.At) })
	for _, record := range records[:min(len(records), attemptsShown)] {
		one := attempt{
			Time: record.At.In(time.FixedZone("UTC+8", 8*60*60)).Format(time.TimeOnly), Person: record.Actor, Action: record.Action,
			OK: record.Outcome == audit.OK, Code: identity.Code(record.Reason),
		}
		v.Attempts = append(v.Attempts, one)
		userid, ours := strings.CutPrefix(record.Actor, corp+"/")
		if ours && one.OK && record.Action == audit.ActionMint && !slices.Contains(v.Landed, userid) {
			v.Landed = append(v.Landed, userid)
		}
	}
	if len(v.Landed) > 0 {
		v.Done = true
		w.landed()
	}
	return v
}

// landed keeps that a first sign-in went through.
func (w *Wizard) landed() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.draft.Landed {
		return
	}
	w.draft.Landed = true
	if err := w.draft.save(w.draftPath()); err != nil {
		w.cfg.Logger.Warn("the draft cannot be kept", "error", err)
	}
}

// appoint makes somebody who landed the first administrator of the console.
func (w *Wizard) appoint(rw http.ResponseWriter, r *http.Request) {
	userid := r.PostFormValue("userid")
	if v := w.trialView(r.Context()); !slices.Contains(v.Landed, userid) {
		http.Error(rw, "nobody of this name has signed in here", http.StatusBadRequest)
		return
	}
	w.mu.Lock()
	w.draft.Admin = userid
	err := w.draft.save(w.draftPath())
	w.mu.Unlock()
	if err != nil {
		http.Error(rw, err.Error(), http.StatusInternalServerError)
		return
	}
	http.Redirect(rw, r, "/trial", http.StatusSeeOther)
}
