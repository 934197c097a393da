package proxy

import (
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/text/unicode/norm"
)

// Patterns are lower case, below /K3Cloud/, and * stands for any text.
var (
	// neverOpen is closed whatever the configuration says (T56): the management
	// centre, and every way to log in that is not this gateway.
	neverOpen = []string{
		"manager", "manager/*", "managesite", "managesite/*",
		"*.authservice.*", "*logoutbyothersystem*", "*userservice.validatelogin*", "*.loginby*",
	}
	// closedAtFirst may be opened: the Web API for programs, which no page needs;
	// the list of data centres, answered without login; uploads beside the pages'
	// own; and a report service known for reading objects out of requests.
	closedAtFirst = []string{
		"kingdee.bos.webapi.*", "*getdatacenterlist*", "*devreportservice.*",
		"*fileservice*upload*", "fileuploadservices/upload*", "*scpsupreghandler*",
	}
	// stillOpen is inside neverOpen and harmless: a session may end itself. Whole
	// names only: IIS takes what stands behind a page's or a service's name for
	// the path info of that one.
	stillOpen = []string{
		"kingdee.bos.webapi.servicesstub.authservice.logout.common.kdsvc",
		"kingdee.bos.webapi.servicesstub.authservice.logout,kingdee.bos.webapi.servicesstub.common.kdsvc",
	}
	// entrances are Kingdee's own ways in: its login page, and every page that
	// redeems a link. Nobody needs them here; who comes to one is launched.
	entrances = []string{
		"", "index.*", "default.*", "login.*", "html5", "html5/", "html5/index.*", "html5/login.*", "html5/lightstartapp.*",
		"silverlight/index*", "mobile/k3cloudforphone.*",
	}
)

type policy struct {
	never, still, deny, allow, entrances []string

	known *verdicts
}

const (
	maxVerdicts = 1024 // paths in memory; past it the memory starts anew
	maxJudged   = 256  // bytes of a path that is worth remembering
)

// verdicts remembers what was judged of paths: a page asks for the same few
// hundred again and again, and there are many patterns.
type verdicts struct {
	paths sync.Map // string: verdict
	count atomic.Int64
}

// recall gives the verdict on a path, judged now or earlier.
func (v *verdicts) recall(path string, judge func(path string) verdict) verdict {
	if found, ok := v.paths.Load(path); ok {
		return found.(verdict) //nolint:forcetypeassert // nothing else is stored
	}
	found := judge(path)
	if len(path) > maxJudged {
		return found
	}
	if v.count.Add(1) >= maxVerdicts {
		v.paths.Clear()
		v.count.Store(1)
	}
	v.paths.Store(strings.Clone(path), found)
	return found
}

func newPolicy(deny, allow []string) policy {
	return policy{
		never: neverOpen, still: stillOpen, entrances: entrances,
		deny: append(lowered(deny), closedAtFirst...), allow: lowered(allow), known: &verdicts{},
	}
}

func lowered(patterns []string) []string {
	out := make([]string, 0, len(patterns)+len(closedAtFirst))
	for _, pattern := range patterns {
		out = append(out, strings.TrimPrefix(strings.ToLower(pattern), strings.ToLower(basePath)))
	}
	return out
}

// verdicts on a path.
type verdict int

const (
	open verdict = iota
	closed
	entrance
	malformed
)

// judge reads the decoded path, the one that routing saw, and the query.
func (p *policy) judge(path, query string) verdict {
	if found := p.known.recall(path, p.judgePath); found != open {
		return found
	}
	return judgeQuery(query, strings.Contains(strings.ToLower(path), serviceSuffix))
}

func (p *policy) judgePath(path string) verdict {
	place, ok := placeOf(path)
	switch {
	case !ok:
		return malformed
	case matches(p.never, place) && !matches(p.still, place),
		matches(p.deny, place) && !matches(p.allow, place):
		return closed
	case matches(p.entrances, place):
		return entrance
	default:
		return open
	}
}

// judgeQuery closes the binary message format, which makes the server build
// objects that the sender describes (T56), and turns a link that somebody
// brought along into a launch of the person's own.
// Elsewhere than at a service, format is a word of many meanings.
func judgeQuery(query string, service bool) verdict {
	found := open
	if query == "" {
		return found
	}
	eachParameter(query, func(name, value string) {
		switch {
		case strings.EqualFold(name, formatName) && asksBinary(value, service):
			found = closed
		case strings.EqualFold(name, "ud") && found == open:
			found = entrance
		}
	})
	return found
}

func asksBinary(value string, service bool) bool {
	value = strings.ToLower(strings.TrimSpace(value))
	return value == "3" || value == "binary" || service && !isOtherFormat([]byte(value))
}

// placeOf is the path below /K3Cloud/ as a Windows server would understand it:
// no letter case, and no dots or spaces at the end of a segment. It is not ok
// where IIS, NTFS or ASP.NET are known to read something else than they say:
// a stream behind a colon, a short name with a tilde, a cookieless session in
// parentheses, the characters that ASP.NET itself refuses, a character that
// unfolds to a slash, or a segment that nothing is left of, such as ".. ".
func placeOf(path string) (string, bool) {
	if len(path) < len(basePath) {
		return "", strings.EqualFold(path+"/", basePath)
	}
	place := path[len(basePath):]
	if plain(place) {
		return place, true
	}
	if strings.ContainsAny(place, `:*<>|"\%&?`) {
		return "", false
	}
	folded := strings.ToLower(norm.NFKC.String(place))
	if strings.Count(folded, "/") != strings.Count(place, "/") {
		return "", false
	}
	segments := strings.Split(folded, "/")
	for i, segment := range segments {
		kept := strings.TrimRight(segment, ". \u00a0")
		vanished := kept == "" && segment != ""
		if vanished || strings.HasPrefix(kept, "(") || shortName(kept) || strings.ContainsAny(kept, `:*<>|"\%&?`) {
			return "", false
		}
		segments[i] = kept
	}
	return strings.Join(segments, "/"), true
}

// plain reports text that needs no second look, which is most of it.
func plain(place string) bool {
	for i := range len(place) {
		switch b := place[i]; {
		case b >= 'a' && b <= 'z', b >= '0' && b <= '9', b == '-', b == '_':
		case b == '/' || b == '.':
			if i > 0 && place[i-1] == '.' || b == '.' && i == len(place)-1 {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// shortName is NAME~1, by which NTFS also knows a longer name.
func shortName(segment string) bool {
	_, rest, found := strings.Cut(segment, "~")
	return found && rest != "" && rest[0] >= '0' && rest[0] <= '9'
}

func matches(patterns []string, place string) bool {
	for _, pattern := range patterns {
		if glob(pattern, place) {
			return true
		}
	}
	return false
}

// glob reports whether text is pattern, with * for any text. It looks at each
// byte of text at most once for each star.
func glob(pattern, text string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !star {
		return text == pattern
	}
	if !strings.HasPrefix(text, head) {
		return false
	}
	text = text[len(head):]
	for {
		part, next, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(text, part)
		}
		i := strings.Index(text, part)
		if i < 0 {
			return false
		}
		text, rest = text[i+len(part):], next
	}
}
