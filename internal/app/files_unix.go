//go:build unix

package app

import "syscall"

// openFiles is how many files the process may have open at once.
func openFiles() int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil || limit.Cur > 1<<30 {
		return 0
	}
	return int(limit.Cur)
}

// NoCore keeps the kernel from writing the process's memory into a file when it
// dies: there are secrets in it (T29). It is for main, which owns the process.
func NoCore() error { return syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}) }
