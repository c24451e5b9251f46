package node

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The priorities of real-time threads: whoever measures runs before whoever disturbs.
const (
	PriorityProbe   = 20
	PriorityObserve = 10
	PriorityHog     = 1
)

type schedParam struct{ priority int32 }

// resetOnFork keeps threads that a real-time thread starts from being real-time threads too.
const resetOnFork = 0x40000000

// RealTime makes the calling thread, which must be locked to its goroutine, run before all ordinary ones.
//
// Where real-time threads are rationed by control group (version 1), one in a group without a ration is refused: the
// thread then moves to the root group, which has one.
func RealTime(priority int) error {
	err := fifo(priority)
	if !errors.Is(err, unix.EPERM) {
		return err
	}
	groups, missing := ReadHierarchies()
	if missing != nil || groups.first["cpu"] == "" {
		return err
	}
	if moved := WriteFile(filepath.Join(groups.first["cpu"], "tasks"), strconv.Itoa(unix.Gettid())); moved != nil {
		return fmt.Errorf("SCHED_FIFO was refused (%w), and so was the root CPU group: %w", err, moved)
	}
	return fifo(priority)
}

func fifo(priority int) error {
	param := schedParam{int32(priority)}
	_, _, errno := syscall.RawSyscall(unix.SYS_SCHED_SETSCHEDULER, 0, unix.SCHED_FIFO|resetOnFork, uintptr(unsafe.Pointer(&param)))
	if errno != 0 {
		return fmt.Errorf("SCHED_FIFO: %w", errno)
	}
	return nil
}

// Pause sleeps the calling thread until at (CLOCK_MONOTONIC) without Go's scheduler coming between.
func Pause(at int64) {
	until := unix.NsecToTimespec(at)
	for {
		err := unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &until, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}
