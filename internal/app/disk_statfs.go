//go:build linux || darwin

package app

import (
	"fmt"
	"syscall"
)

// diskUsed is how full the disk is that dir lies on, 0 to 1, by what is left for
// us: space kept for root is none.
func diskUsed(dir string) (float64, error) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return 0, fmt.Errorf("statfs %s: %w", dir, err)
	}
	used := fs.Blocks - fs.Bfree
	if total := used + fs.Bavail; total > 0 {
		return float64(used) / float64(total), nil
	}
	return 0, nil
}
