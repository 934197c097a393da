package setup

import (
	"slices"
	"strings"

	"kdgate/internal/config"
)

// mistake is what the configuration says of something that was entered. It speaks
// English; Words names what a person reads in their own language before it,
// word.setup-mistake.WORDS, and is empty where there is nothing better to read.
type mistake struct{ Words, Text string }

// readable are the mistakes that people make: by the key of the configuration,
// empty for every key, and where one key has several by a part of what is said. The
// first that fits counts. A text that changes falls back to its key's words.
var readable = []struct{ key, part, words string }{
	{"", "missing;", "missing"},
	{"", "still holds a placeholder", "placeholder"},
	{"public_url", "must begin with https", "https"},
	{"public_url", "", "public_url"},
	{"listen", "belong together", "pair"},
	{"listen", "plain HTTP off loopback", "plain"},
	{"listen.address", "", "listen"},
	{"listen.cert", "", "cert"},
	{"listen.trusted_proxies", "trusts everybody", "everybody"},
	{"listen.trusted_proxies", "", "proxies"},
	{"store.url", "a password does not belong", "redis_password"},
	{"store.url", "needs TLS", "redis_tls"},
	{"store.url", "", "redis_url"},
	{"store.username", "", "redis_user"},
	{"corps[0].id", "", "corp"},
	{"data_centres[0].url", "must begin with https", "url_https"},
	{"data_centres[0].url", "", "url"},
}

// split parts a mistake into the key it is about and what is said of it. A secret's
// file and an entry of a list are their key's.
func split(text string) (key, said string) {
	key, said, found := strings.Cut(text, ": ")
	if !found {
		return "", text
	}
	if stem, entry := strings.CutSuffix(key, "]"); entry {
		if at := strings.LastIndexByte(stem, '['); strings.Trim(stem[at+1:], "0123456789") == "" {
			key = stem[:at]
		}
	}
	return strings.TrimSuffix(key, "_file"), said
}

func mistakeOf(text string) mistake {
	key, said := split(text)
	for _, one := range readable {
		if (one.key == "" || one.key == key) && strings.Contains(said, one.part) {
			return mistake{one.words, text}
		}
	}
	return mistake{Text: text}
}

// placed puts the first mistake of each field to it; rest are all the others.
func placed(list []field, mistakes config.Mistakes) (byField map[string]mistake, rest []mistake) {
	byField = map[string]mistake{}
	for _, text := range mistakes {
		key, said := split(text)
		at := slices.IndexFunc(list, func(f field) bool { return f.Key == key })
		if at < 0 || byField[list[at].Name].Text != "" {
			rest = append(rest, mistakeOf(text))
			continue
		}
		byField[list[at].Name] = mistake{mistakeOf(text).Words, said}
	}
	return byField, rest
}
