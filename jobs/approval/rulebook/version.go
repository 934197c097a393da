package rulebook

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"

	"kdgate/identity"
	"kdgate/internal/lazyregexp"
	"kdgate/jobs/approval"
	"kdgate/store"
)

// printPattern is what names a version.
var printPattern = lazyregexp.New(`^[0-9a-f]{12,64}$`)

// Keep implements approval.Versions: a version is stored once, by its print, and
// stays.
func (b *Book) Keep(ctx context.Context, v approval.Version) error {
	if _, err := b.Version(ctx, v.Print); identity.KindOf(err) != identity.NotFound || err == nil {
		return err
	}
	v.Kept = b.cfg.Now().UTC()
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("rulebook: version %s: %w", v.Print, err)
	}
	key := Key{v.Corp, v.Rule.Name}
	place := fmt.Sprintf("%s%s/%016d/%s", prefixVersions, key.path(), v.Kept.UnixMicro(), v.Print)
	err = b.cfg.Store.Commit(ctx, store.Create(prefixVersion+v.Print, text), store.Put(place, nil))
	if errors.Is(err, store.ErrConflict) { // another replica was quicker
		return nil
	}
	return storeError(err, "keep version %s", v.Print)
}

// Version reads a version by its print. Kind NotFound: there is none.
func (b *Book) Version(ctx context.Context, print string) (approval.Version, error) {
	var v approval.Version
	if !printPattern().MatchString(print) {
		return v, identity.Fail(identity.NotFound, identity.CodeNotFound, "rulebook: %q is no version", print)
	}
	entry, err := b.cfg.Store.Get(ctx, prefixVersion+print)
	if err != nil {
		return v, storeError(err, "version %s", print)
	}
	if err := json.Unmarshal(entry.Value, &v); err != nil {
		return v, fmt.Errorf("rulebook: version %s: %w", print, err)
	}
	return v, nil
}

// mostVersions bounds what is shown of one rule.
const mostVersions = 200

// Versions are those of a rule that are kept, the newest first.
func (b *Book) Versions(ctx context.Context, key Key) ([]approval.Version, error) {
	var prints []string
	err := each(ctx, b.cfg.Store, prefixVersions+key.path()+"/", func(e store.Entry) error {
		prints = append(prints, e.Key[strings.LastIndexByte(e.Key, '/')+1:])
		return nil
	})
	if err != nil {
		return nil, err
	}
	var out []approval.Version
	for i := len(prints) - 1; i >= 0 && len(out) < mostVersions; i-- {
		v, err := b.Version(ctx, prints[i])
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}
