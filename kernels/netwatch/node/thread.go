package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
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

// unhurried is how much later than they ask to the ordinary threads may wake up.
const unhurried = 50 * time.Millisecond

// Unhurried spares the node wake-ups: those that Go's own watchman asks for, who looks every 20 µs whether a thread that
// sleeps on its own terms, as the probers' does, has been gone for too long. Each takes a processor from whoever has it.
// Real-time threads are woken in time all the same, and threads started later inherit it. Without the right to, nothing
// changes.
func Unhurried() {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return
	}
	for _, thread := range threads {
		_ = WriteFile(filepath.Join("/proc", thread.Name(), "timerslack_ns"), strconv.FormatInt(int64(unhurried), 10))
	}
}
