package setup

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"kdgate/internal/app"
	"kdgate/internal/checkup"
	"kdgate/internal/config"
	"kdgate/internal/wholefile"
	"kdgate/web"
)

// sealBytes is the length of a sealing key.
const sealBytes = 32

// finishView is what the last page shows.
type finishView struct {
	Config  string // the configuration as it will be, without secrets
	Files   []string
	There   []string // files in the way
	Missing []checkup.Step
	Landed  bool
	Admin   string
	Console string
	Secret  string // file of the emergency account's one-time secret
	Problem string
	Path    string
}

// viewOf is a page without an address of its own.
func viewOf(words web.Words, page string, data any) web.View {
	return web.View{Words: words, Page: page, Data: data}
}

func isThere(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// makeKey makes a sealing key where there is none.
func makeKey(path string) error {
	key := make([]byte, sealBytes)
	if _, err := rand.Read(key); err != nil {
		return err
	}
	return create(path, key)
}

// create writes a file that is not there yet, for its owner only.
func create(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return wholefile.Create(path, content)
}

// planned are the files that the last step writes, by name, secrets first and
// the configuration last.
func (d *draft) planned(config string) (order []string, content map[string]string) {
	content = map[string]string{}
	add := func(name, text string) {
		order = append(order, name)
		content[name] = text
	}
	add(dingtalkFile, d.Values["app_secret"]+"\n")
	add(kingdeeFile, d.Values["centre_secret"]+"\n")
	if d.get(checkup.StepStore, "driver") == "redis" {
		if d.Values["redis_password"] != "" {
			add(redisFile, d.Values["redis_password"]+"\n")
		}
		add(sealFile, "")
	}
	add(config, d.yaml(form{}))
	return order, content
}

// write makes the files, all or none, and never over one that is there.
func (w *Wizard) write(d *draft) error {
	order, content := d.planned(filepath.Base(w.cfg.Path))
	var made []string
	for _, name := range order {
		path := filepath.Join(w.dir, name)
		err := func() error {
			if name == sealFile {
				return makeKey(path)
			}
			return create(path, []byte(content[name]))
		}()
		if err != nil {
			for _, done := range made {
				err = errors.Join(err, os.Remove(done))
			}
			return fmt.Errorf("setup: %s: %w", name, err)
		}
		made = append(made, path)
	}
	return nil
}

// finishView gathers what the last page says.
func (w *Wizard) finishView() finishView {
	w.mu.Lock()
	defer w.mu.Unlock()
	v := finishView{Config: w.draft.yaml(form{}), Landed: w.draft.Landed, Admin: w.draft.Admin, Path: w.cfg.Path}
	v.Files, _ = w.draft.planned(filepath.Base(w.cfg.Path))
	for _, name := range v.Files {
		if isThere(filepath.Join(w.dir, name)) {
			v.There = append(v.There, name)
		}
	}
	for _, step := range checkup.Steps() {
		if len(fields[step]) > 0 && !w.draft.has(step) {
			v.Missing = append(v.Missing, step)
		}
	}
	return v
}

// finish writes the configuration and starts the gateway.
func (w *Wizard) finish(rw http.ResponseWriter, r *http.Request) {
	v := w.view(r, checkup.StepStart, nil)
	v.Finish = w.finishView()
	if len(v.Finish.There)+len(v.Finish.Missing) > 0 {
		w.render(rw, r, http.StatusConflict, "setup/start", v)
		return
	}
	w.mu.Lock()
	entered := w.draft.copy()
	w.mu.Unlock()
	if err := w.write(entered); err != nil {
		v.Finish.Problem = err.Error()
		w.render(rw, r, http.StatusConflict, "setup/start", v)
		return
	}
	end := w.begun(context.WithoutCancel(r.Context()))
	if end.err == nil {
		v.Finish.Secret, v.Finish.Console = app.SecretFile(end.config), consoleAddress(end.config)
	} else {
		v.Finish.Problem = end.err.Error()
	}
	_ = os.Remove(w.draftPath()) // its secrets are in files of their own now; one that stays is mode 0600
	w.render(rw, r, http.StatusOK, "setup/done", v)
	w.ended <- end
}

// begun reads what was written, as serve will, and takes the gateway's ports.
func (w *Wizard) begun(ctx context.Context) outcome {
	w.stopTrial()
	cfg, err := config.Load(w.cfg.Path, w.cfg.Environ)
	if err != nil {
		return outcome{err: err}
	}
	server, err := app.NewServer(ctx, w.options(cfg))
	return outcome{server: server, config: cfg, err: err}
}

func consoleAddress(cfg *config.Config) string {
	if cfg.Console.URL != "" {
		return strings.TrimSuffix(cfg.Console.URL, "/") + "/admin/"
	}
	return strings.TrimSuffix(cfg.PublicURL, "/") + "/admin/"
}
