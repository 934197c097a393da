// Package app is the composition root: the one package that imports every room
// and joins them, for production and for the demo alike. It owns the order of
// opening and closing, the listeners with their certificate, what a reload may
// change, the operations door with its readiness, and which key the audit log
// goes on under. It refuses to decide anything a room could decide.
package app
