// Package app is the composition root: the one package that imports every room
// and joins them, for production and for the demo alike. It owns the order of
// opening and closing, the listeners and the operations door. It refuses to
// decide anything a room could decide.
package app
