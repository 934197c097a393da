package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// naughty are texts that have broken programs elsewhere, made from their classes:
// elements that run a script, ways out of where a text stands, addresses that are
// scripts, encodings, templates, formulas, commands, and what Unicode has to
// deceive with. A script that runs calls naughty() or alert().
func naughty() []string {
	all := slices.Concat(elements(), breakouts(), addresses(), encodings(), templates(), commands(), deceptions(), words())
	slices.Sort(all)
	return slices.Compact(all)
}

// elements that load, take the focus or animate by themselves, with what then
// runs; also what changes a page without a script, and htmx, which the console uses.
func elements() (list []string) {
	for _, tag := range []string{
		`img src=x`, `img src=x:`, `svg`, `body`, `iframe`, `iframe src=//x.invalid`, `input autofocus`, `select autofocus`, `textarea autofocus`, `keygen autofocus`,
		`video src=x`, `audio src=x`, `video><source`, `details open`, `marquee`, `object data=x`, `embed src=x`, `button autofocus`, `div tabindex=1 autofocus`,
		`a href=#`, `math`, `form`, `style`, `link rel=stylesheet href=x`, `isindex type=image src=1`, `x contenteditable autofocus`, `svg><animate attributeName=x dur=1s`,
	} {
		for _, when := range []string{"onerror", "onload", "onfocus", "ontoggle", "onbegin", "onstart"} {
			list = append(list, "<"+tag+" "+when+"=naughty()>")
		}
	}
	return append(list,
		`<script>naughty()</script>`, `<script>alert(1)</script>`, `<SCRIPT SRC=//x.invalid/x.js></SCRIPT>`, `<script src="data:,naughty()"></script>`,
		`<script type=module>naughty()</script>`, `<svg><script>naughty()</script></svg>`, `<svg><script href="data:,naughty()"/></svg>`,
		`<math><mtext></form><form><mglyph><style></math><img src onerror=naughty()>`, `<noscript><p title="</noscript><img src=x onerror=naughty()>">`,
		`<template><script>naughty()</script></template>`, `<base href="//x.invalid/">`, `<meta http-equiv=refresh content="0;url=javascript:naughty()">`,
		`<meta http-equiv="Content-Security-Policy" content="script-src *">`, `<form action=//x.invalid><button>登录</button></form>`, `<plaintext>`, `<!--`, `<![CDATA[`, `<xmp>`,
		`<table><tr><td></table>`, `</td></tr></table></main>`, `</body></html>`, `<style>*{display:none}</style>`, `<style>@import'//x.invalid'</style>`,
		`<link rel=prefetch href=//x.invalid>`, `<object type="text/x-scriptlet" data=x></object>`, `<applet code=x>`, `<bgsound src=x>`, `<frameset onload=naughty()>`,
		`<img srcset=x onerror=naughty()>`, `<img/src=x/onerror=naughty()>`, "<img\nsrc=x\nonerror=naughty()>", "<img\tsrc=x\tonerror=naughty()>", `<<img src=x onerror=naughty()>`,
		`<img """><script>naughty()</script>">`, `<img src=x onerror="naughty()"//`, `<iframe srcdoc="<script>parent.naughty()</script>">`, `<a href="javascript:naughty()">x</a>`,
		`<div hx-get="/admin/leave" hx-trigger="load">`, `<div hx-post="/admin/leave" hx-trigger="load">`, `<div hx-on::load="naughty()">`, `<div data-hx-on:click="naughty()">`,
		`<div hx-get="/admin/" hx-target="body" hx-trigger="revealed">`, `<div hx-disable>`, `<div hx-vals="js:{x:naughty()}" hx-get="/admin/" hx-trigger="load">`,
		`<input name=version value=1>`, `<input form=edit name=note value=x>`, `<button formaction=//x.invalid form=edit>保存</button>`, `<label for=note>x</label>`, `<dialog open>登录</dialog>`,
		`<img id=__csp>`, `<form id=x><output id=y>`, `<a id=naughty><a id=naughty name=x>`, // names that become variables
	)
}

// breakouts end the text, attribute, comment or script they might stand in.
func breakouts() (list []string) {
	for _, end := range []string{`"`, `'`, "`", `">`, `'>`, `"/>`, `</title>`, `</textarea>`, `</script>`, `-->`, `]]>`, `</style>`, `</bdi>`, `</option></select>`, `\"`, `\u0022`, `"));`, `';`} {
		for _, then := range []string{`<img src=x onerror=naughty()>`, ` onmouseover=naughty() `, `<svg/onload=naughty()>`, ` autofocus onfocus=naughty() x=`, `;naughty()//`} {
			list = append(list, end+then)
		}
	}
	return list
}

// addresses that are scripts, also with what browsers leave out before and in the scheme.
func addresses() (list []string) {
	for c := range 0x21 {
		list = append(list, fmt.Sprintf(`<a href="%cjavascript:naughty()">`, rune(c)))
	}
	return append(list, []string{
		"javascript:naughty()", "JaVaScRiPt:naughty()", "java\tscript:naughty()", "java\nscript:naughty()", "javascript&colon;naughty()", "&#106;avascript:naughty()",
		"&#x6A;avascript:naughty()", "javascript&#58;naughty()", "javascript://%0anaughty()", "data:text/html,<script>naughty()</script>", "data:text/html;base64,PHNjcmlwdD5uYXVnaHR5KCk8L3NjcmlwdD4=",
		"vbscript:naughty()", "//x.invalid", "\\\\x.invalid", "/\\x.invalid", "https:x.invalid", "../../admin/leave", "?next=//x.invalid", "#<img src=x onerror=naughty()>", "file:///etc/passwd",
	}...)
}

// encodings of markup that somebody might undo once too often.
func encodings() []string {
	return []string{
		"&lt;img src=x onerror=naughty()&gt;", "&amp;lt;script&amp;gt;naughty()", "&#60;script&#62;naughty()", "&#x3c;script&#x3e;naughty()", "&#0000060script>", "&lt", "&amp", "&quot;", "&apos;", "&nbsp;", "&bogus;",
		"%3Cscript%3Enaughty()%3C/script%3E", "%253Cscript%253E", "%u003Cscript%u003E", "%00", "%0d%0aSet-Cookie:x=1", "%", "%%", "%zz", "\\x3cscript\\x3e", "\\u003cscript\\u003e", "\\74script\\76",
		"+ADw-script+AD4-naughty()+ADw-/script+AD4-", "PHNjcmlwdD4=", "&#8232;", "\\", "\\\\", "\\n", "\\0", "\"", "'", "`", "\"\"", "''", "'\"", "<", ">", "<>", "</", "/>", "&", "&&", "<?", "<!", "<a", "a<b>c",
	}
}

// templates of many programs, with what shows that one was filled in.
func templates() (list []string) {
	for _, form := range []string{"{{%s}}", "${%s}", "#{%s}", "<%%= %s %%>", "{%% %s %%}", "[[%s]]", "*{%s}", "@{%s}", "$(%s)", "`%s`", "{{- %s -}}", "{%s}"} {
		for _, what := range []string{"7*7", ".", "naughty()", "constructor.constructor('naughty()')()"} {
			list = append(list, fmt.Sprintf(form, what))
		}
	}
	return append(list, "{name}", "{n}", "{time}", "{{template \"person\" .}}", "{{define \"main\"}}x{{end}}", "{{.T \"app.name\"}}", "%s", "%d", "%n%n%n", "%!s(MISSING)", "$1", "\\1", "{0}")
}

// commands of databases, shells, spreadsheets and other readers.
func commands() (list []string) {
	for _, sign := range []string{"=", "+", "-", "@", "\t=", "\r=", "\n=", "＝", "＋", "－", "＠", `"=`, "';="} {
		list = append(list, sign+`cmd|' /C calc'!A0`, sign+`HYPERLINK("//x.invalid","x")`, sign+"1+1")
	}
	return append(list,
		"'; DROP TABLE mapping;--", "1' OR '1'='1", "') OR 1=1--", "%' ESCAPE '!", "_", "*", "a*b?c[d]", "1;SELECT sqlite_version()", "{\"$gt\":\"\"}", "*)(uid=*))(|(uid=*", "$(touch /tmp/x)", "`id`", "; id", "| id", "&& id",
		"<!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]><x>&e;</x>", "<xsl:value-of select=\"1\"/>", "[x](javascript:naughty())", "![x](//x.invalid)", "**x**", "\r\nSet-Cookie: x=1", "a\r\nb", "\x1b[31mred\x1b[0m", "\x1b]0;title\x07",
		"../../../etc/passwd", "..\\..\\windows", "CON", "NUL", "C:\\", "\\\\x\\y", "/dev/null", "a/b", "a?b#c", ".", "..", "...", " ", "  x  ", "a,b;c\td", "a|b", "~", "!", "#", "$", "^", "(", ")", "[", "]", "{", "}", ":", ";", ",", "/",
	)
}

// deceptions of Unicode: directions, nothing that is something, letters upon
// letters, other forms of the same, and what is no letter at all.
func deceptions() (list []string) {
	for _, turn := range []rune{0x061c, 0x200e, 0x200f, 0x202a, 0x202b, 0x202c, 0x202d, 0x202e, 0x2066, 0x2067, 0x2068, 0x2069} {
		list = append(list, fmt.Sprintf("%cnimda", turn), fmt.Sprintf("gpj%c.exe", turn))
	}
	for _, nothing := range []rune{0x00a0, 0x00ad, 0x034f, 0x115f, 0x180e, 0x200b, 0x200c, 0x200d, 0x2028, 0x2029, 0x2060, 0x2061, 0x2800, 0x3000, 0x3164, 0xfe0f, 0xfeff, 0xffa0, 0xfff9, 0xfffd, 0xfffe, 0xffff, 0xe0001, 0xe0041, 0x1d173, 0x10ffff, 0xe000} {
		list = append(list, fmt.Sprintf("ad%cmin", nothing))
	}
	for c := rune(1); c < 0x20; c++ {
		list = append(list, fmt.Sprintf("c%ctrl", c))
	}
	return append(list,
		"\x7fdel", "\u0080c1", "\u0085nel", "\u009bcsi", "Z̡̢a̡͢l̴̕g̨͜o̸͝", strings.Repeat("\u0301", 30)+"x", "ａｄｍｉｎ", "аdmin", "αdmin", "ﬁle", "ﷺ", "﷽", "İi", "ıI", "ß", "ẞ", "ſcript", "＜script＞naughty()＜/script＞", "‹script›", "﹤img﹥", "ʺʹ", "「」", "“”", "𝒜𝒹𝓂𝒾𝓃", "👩‍👩‍👧‍👦", "🏳️‍🌈", "👍🏿", "🇨🇳🇭🇰",
		"田中さん", "사회과학원", "ثم نفس", "מַה־נִּשְׁתַּנָּה", "नमस्ते", "ภาษาไทย", "𠜎𠜱𠝹", "𡃁", "㐀", "\U0001f1e6", "１２３", "١٢٣", "½", "∞", "№", "Ω≈ç√", "¯\\_(ツ)_/¯", "(╯°□°)╯︵ ┻━┻", "ᚠᛇᚻ", "⠠⠃", "\u0f04༼", "ᓚᘏᗢ", "꧁꧂", "꙰x", "ก็็็็็็", "å̲",
	)
}

// words that programs take for something else.
func words() []string {
	return []string{
		"null", "NULL", "(null)", "nil", "undefined", "undef", "None", "NaN", "Infinity", "-Infinity", "true", "false", "TRUE", "0", "-0", "00", "1", "-1", "1.0", "1e309", "0x10", "0b1", "1,000", "1_000", "９", "١", "999999999999999999999", "1/0", "-", "--", "#N/A", "#REF!", "hasOwnProperty", "__proto__", "constructor", "prototype", "toString", "then", "length",
		"system", "admin", "Administrator", "root", "cli:root", "break-glass", "KD-201", "dingcorp1/manager01", "zhangsan", "你好", "林管理", "<nil>", "[object Object]", "map[]", "2026-01-01", "1970-01-01T00:00:00Z", "12:30", "Scunthorpe", "电脑", "a@b", "a b", "x'y", "O'Brien", "d’Artagnan", "Jean-Luc", "van der", "Dr.", "Jr.",
	}
}

// packs are the texts in as few names as they fit in: DingTalk's names are short,
// and ours are cut at 200 bytes.
func packs() (names []string) {
	const most, between = 190, " ¦ "
	var name string
	for _, text := range naughty() {
		if name != "" && len(name)+len(between)+len(text) > most {
			names = append(names, name)
			name = ""
		}
		if name != "" {
			name += between
		}
		name += text
	}
	return append(names, name)
}

// TestNaughtyIsEnough holds the list to what T102 asks for.
func TestNaughtyIsEnough(t *testing.T) {
	if n := len(naughty()); n < 515 {
		t.Errorf("%d texts, at least 515", n)
	}
	all := strings.Join(packs(), "\n")
	for _, text := range naughty() {
		if len(text) > 190 || !strings.Contains(all, text) {
			t.Errorf("%q is in no name", text)
		}
	}
	t.Logf("%d texts in %d names", len(naughty()), len(packs()))
}
