package setup

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kdgate/internal/app"
	"kdgate/internal/checkup"
	"kdgate/internal/config"
)

// view is what a page of a step shows.
type view struct {
	Step     checkup.Step
	N, Of    int
	Steps    []stepLink
	Fields   []shownField
	Mistakes []mistake // that belong to no field
	Items    []checkup.Told
	Standing checkup.Status // of the tests, empty: not tested
	Next     checkup.Step

	Callback, Home string // addresses to enter at DingTalk
	Trial          trialView
	Finish         finishView
}

// stepLink is a step in the list of all.
type stepLink struct {
	Step    checkup.Step
	N       int
	Mark    string // ok, warn, bad, or empty: not yet
	Word    string // of the mark
	Current bool
}

// shownField is a field with what was entered. A secret is never shown, only
// that there is one.
type shownField struct {
	field
	Value   string
	Kept    bool // a secret is there already
	Mistake mistake
}

// begin goes to the first step that is not yet entered.
func (w *Wizard) begin(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	to := checkup.StepStart
	for _, step := range checkup.Steps() {
		if !w.passed(step) {
			to = step
			break
		}
	}
	w.mu.Unlock()
	http.Redirect(rw, r, "/step/"+string(to), http.StatusSeeOther)
}

// passed reports whether nothing more is asked for a step.
func (w *Wizard) passed(step checkup.Step) bool {
	switch step {
	case checkup.StepLogin:
		return w.draft.Landed
	case checkup.StepStart:
		return false
	default:
		return w.draft.has(step)
	}
}

// stepOf reads the step of an address; false when there is no such.
func stepOf(r *http.Request) (checkup.Step, bool) {
	step := checkup.Step(r.PathValue("step"))
	return step, slices.Contains(checkup.Steps(), step)
}

func (w *Wizard) show(rw http.ResponseWriter, r *http.Request) {
	step, ok := stepOf(r)
	if !ok {
		http.NotFound(rw, r)
		return
	}
	switch step {
	case checkup.StepLogin:
		http.Redirect(rw, r, "/trial", http.StatusSeeOther)
	case checkup.StepStart:
		v := w.view(r, step, nil)
		v.Finish = w.finishView()
		w.render(rw, r, http.StatusOK, "setup/start", v)
	default:
		w.render(rw, r, http.StatusOK, "setup/step", w.view(r, step, nil))
	}
}

// view gathers what a step's page shows.
func (w *Wizard) view(r *http.Request, step checkup.Step, mistakes config.Mistakes) view {
	words := w.pages.Catalogue().For(r)
	w.mu.Lock()
	defer w.mu.Unlock()
	all := checkup.Steps()
	at := slices.Index(all, step)
	v := view{Step: step, N: at + 1, Of: len(all), Items: checkup.Tell(w.results[step], words), Standing: checkup.Standing(step, w.results[step])}
	if at+1 < len(all) {
		v.Next = all[at+1]
	}
	for i, other := range all {
		link := stepLink{Step: other, N: i + 1, Current: other == step}
		if standing := checkup.Standing(other, w.results[other]); standing != "" {
			link.Mark, link.Word = standing.Mark(), words.Word("checkup", standing)
		} else if other == checkup.StepLogin && w.draft.Landed {
			link.Mark, link.Word = checkup.OK.Mark(), words.Word("checkup", checkup.OK)
		} else if w.passed(other) {
			link.Mark, link.Word = "ok", words.Word("setup-state", "entered")
		}
		v.Steps = append(v.Steps, link)
	}
	v.Fields, v.Mistakes = w.shownFields(step, mistakes)
	public := strings.TrimSuffix(w.draft.get(checkup.StepAddress, "public_url"), "/")
	v.Home, v.Callback = public+"/launch/kingdee?corpId=$CORPID$", public+"/signin/dingtalk/callback"
	return v
}

// shownFields puts each mistake to its field.
func (w *Wizard) shownFields(step checkup.Step, mistakes config.Mistakes) ([]shownField, []mistake) {
	byField, rest := placed(fields[step], mistakes)
	var list []shownField
	for _, f := range fields[step] {
		shown := shownField{field: f, Value: w.draft.value(f), Mistake: byField[f.Name]}
		if f.Kind == secret {
			shown.Value, shown.Kept = "", shown.Value != ""
		}
		list = append(list, shown)
	}
	return list, rest
}

// enter takes the form of a step, holds it to the configuration's rules and
// tests the peer.
func (w *Wizard) enter(rw http.ResponseWriter, r *http.Request) {
	step, ok := stepOf(r)
	if !ok || len(fields[step]) == 0 {
		http.NotFound(rw, r)
		return
	}
	if err := r.ParseForm(); err != nil {
		http.Error(rw, "the form cannot be read", http.StatusBadRequest)
		return
	}
	values := map[string]string{}
	for name, given := range r.PostForm {
		if len(given) != 1 || !slices.Contains(names(step), name) {
			http.Error(rw, "the form is not of this page", http.StatusBadRequest)
			return
		}
		values[name] = given[0]
	}
	w.stopTrial() // it runs with what was entered before
	mistakes, err := w.take(r.Context(), step, values)
	if err != nil {
		w.cfg.Logger.Error("set-up", "step", string(step), "error", err)
		mistakes = append(mistakes, err.Error())
	}
	if len(mistakes) > 0 {
		w.render(rw, r, http.StatusBadRequest, "setup/step", w.view(r, step, mistakes))
		return
	}
	http.Redirect(rw, r, "/step/"+string(step)+"#result", http.StatusSeeOther)
}

// take keeps what was entered, and tests it where it has no mistakes.
func (w *Wizard) take(ctx context.Context, step checkup.Step, values map[string]string) (config.Mistakes, error) {
	w.mu.Lock()
	w.draft.enter(step, values)
	delete(w.results, step)
	err := w.draft.save(w.draftPath())
	entered := w.draft.copy()
	w.mu.Unlock()
	if err != nil {
		return nil, err
	}
	items, mistakes, err := w.test(ctx, entered, step)
	if err != nil || len(mistakes) > 0 {
		return mistakes, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.results[step] = items
	if !w.draft.has(step) {
		w.draft.Entered = append(w.draft.Entered, step)
	}
	return nil, w.draft.save(w.draftPath())
}

// test holds one step to the rules and asks its peer.
func (w *Wizard) test(ctx context.Context, d *draft, step checkup.Step) ([]checkup.Item, config.Mistakes, error) {
	scratch, err := os.MkdirTemp("", "kdgate-setup-")
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = os.RemoveAll(scratch) }() // holds a key of no value
	if err := makeKey(filepath.Join(scratch, "seal.key")); err != nil {
		return nil, nil, err
	}
	cfg, mistakes, err := w.read(d, form{Trial: scratch, Only: step}, step)
	if err != nil || len(mistakes) > 0 {
		return nil, mistakes, err
	}
	kinds := map[checkup.Step][]string{
		checkup.StepAddress: {"host"}, checkup.StepStore: {"store", "host"}, checkup.StepDingTalk: {"dingtalk"}, checkup.StepKingdee: {"kingdee"},
	}
	var items []checkup.Item
	for _, kind := range kinds[step] {
		result, err := app.Preflight(ctx, w.options(cfg), kind)
		if err != nil {
			return nil, config.Mistakes{err.Error()}, nil
		}
		for _, item := range result.Items {
			if checkup.StepOf(item) == step {
				items = append(items, item)
			}
		}
	}
	return items, nil, nil
}

// read makes a configuration of a draft, with the mistakes that belong to one
// step, or all of them.
func (w *Wizard) read(d *draft, f form, step checkup.Step) (*config.Config, config.Mistakes, error) {
	cfg, err := config.Parse([]byte(d.yaml(f)), w.dir, slices.Concat(w.cfg.Environ, d.environ(f)))
	found, mistaken := errors.AsType[config.Mistakes](err)
	if !mistaken {
		return cfg, nil, err
	}
	var ours config.Mistakes
	for _, m := range found {
		if step == "" || slices.ContainsFunc(sections[step], func(section string) bool { return strings.HasPrefix(m, section) }) {
			ours = append(ours, m)
		}
	}
	if len(ours) == 0 { // of a section that this step does not write: the environment's
		ours = found
	}
	return nil, ours, nil
}

// options are those of a gateway of this configuration.
func (w *Wizard) options(cfg *config.Config) app.Options {
	return app.Options{Config: cfg, Replica: w.cfg.Replica, Version: w.cfg.Version, Logger: w.cfg.Logger, Egress: w.cfg.Egress, Now: w.cfg.Now}
}
