package main

import (
	"syscall"
	"unsafe"
)

// sysEpollPwait2 waits with a time limit in nanoseconds; epoll_wait rounds to milliseconds, which is a lateness of
// its own. The number is the same on every architecture of Linux.
const sysEpollPwait2 = 441

const (
	readable = syscall.EPOLLIN | syscall.EPOLLRDHUP | syscall.EPOLLHUP | syscall.EPOLLERR
	edges    = syscall.EPOLLIN | syscall.EPOLLOUT | syscall.EPOLLRDHUP | 1<<31 // EPOLLET
)

func wait(epoll int, events []syscall.EpollEvent, nanos int64) int {
	limit := syscall.NsecToTimespec(max(nanos, 0))
	at, size := unsafe.Pointer(&events[0]), uintptr(len(events))
	var n uintptr
	var errno syscall.Errno
	if nanos <= 0 {
		// Nothing to wait for, so that the scheduler need not be told.
		n, _, errno = syscall.RawSyscall6(sysEpollPwait2, uintptr(epoll), uintptr(at), size, uintptr(unsafe.Pointer(&limit)), 0, 0)
	} else {
		n, _, errno = syscall.Syscall6(sysEpollPwait2, uintptr(epoll), uintptr(at), size, uintptr(unsafe.Pointer(&limit)), 0, 0)
	}
	if errno != 0 {
		return 0
	}
	return int(n)
}

// rest sleeps without being woken by answers.
func rest(nanos int64) {
	limit := syscall.NsecToTimespec(nanos)
	_, _, _ = syscall.Syscall(syscall.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&limit)), 0, 0)
}

// read and write never block, so that they pass by Go's scheduler; those of sockets cost less than those of files.
func read(fd int, into []byte) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&into[0])), uintptr(len(into)), 0, 0, 0)
		if errno != syscall.EINTR {
			return int(n), errno
		}
	}
}

func write(fd int, from []byte) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&from[0])), uintptr(len(from)), syscall.MSG_NOSIGNAL, 0, 0)
		if errno != syscall.EINTR {
			return int(n), errno
		}
	}
}

// sharpTimers asks the kernel to end waits at their time rather than up to 50 µs later.
func sharpTimers() {
	const setTimerSlack = 29
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, setTimerSlack, 1, 0)
}
