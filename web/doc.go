// Package web holds what people see of kdgate: the templates, the words in
// zh-Hans, zh-Hant and English, and the assets, all embedded.
//
// It owns rendering: escaping by html/template, the choice of a language, and
// asset addresses that carry a hash of their content so that they may be cached
// for ever. It refuses to decide anything: it knows no session, no mapping, no
// vendor, and its pages hold no inline script and no inline style.
package web
