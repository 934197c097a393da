//go:build !unix

package config

import "io/fs"

// openToOthers is always false: access lists, not mode bits, guard files here.
func openToOthers(fs.FileInfo) bool { return false }
