// Package wholefile writes small files that are there whole or not at all, whatever
// dies meanwhile: the process, by kill -9, or the machine, by a power cut.
//
// It owns the order that this takes: another name, the content on the disk, the
// name on it, the folder on the disk. It refuses to widen who may read a file:
// all are mode 0600.
package wholefile
