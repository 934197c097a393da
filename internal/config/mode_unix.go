//go:build unix

package config

import "io/fs"

// openToOthers reports whether people outside owner and group may read the file.
func openToOthers(info fs.FileInfo) bool { return info.Mode().Perm()&0o007 != 0 }
