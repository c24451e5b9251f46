// Package node is the machine as its first process sees it, whatever container this program runs in: its files, its
// control groups, its clock and its real-time threads.
package node

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Path is a file of the node.
func Path(parts ...string) string { return filepath.Join(append([]string{root()}, parts...)...) }

// root is where the node's own file system is seen from a container that shares its process namespace. Outside of any
// container it is the own one: there the first process may be one that nobody may look into.
var root = sync.OnceValue(func() string {
	if own := rootMount("self"); own != "" && own == rootMount("1") {
		return "/"
	}
	return "/proc/1/root"
})

// rootMount is the number of a process's root mount, which no other mount of the machine has.
func rootMount(process string) string {
	text, err := os.ReadFile("/proc/" + process + "/mountinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 4 && fields[4] == "/" {
			return fields[0]
		}
	}
	return ""
}

// Inode is the number of a file, and of the namespace that one in /proc stands for.
func Inode(path string) (uint32, error) {
	var about unix.Stat_t
	err := unix.Stat(path, &about)
	return uint32(about.Ino), err
}

// origin is what CLOCK_MONOTONIC showed when Go's clock showed started: both go at the same pace, and Go's is read
// without a system call.
var origin, started = clocks()

func clocks() (int64, time.Time) {
	started := time.Now()
	return ahead(monotonic, func() int64 { return int64(time.Since(started)) }), started
}

func monotonic() int64 {
	var at unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &at)
	return at.Nano()
}

const tries = 100

// ahead is by how much a clock is ahead of another, from the try that took least: on a busy processor, this thread may
// have to make way for milliseconds between two readings.
func ahead(clock, other func() int64) (found int64) {
	least := int64(math.MaxInt64)
	for range tries {
		before := other()
		at := clock()
		if took := other() - before; took < least {
			least, found = took, at-before-took/2
		}
	}
	return found
}

// Now is CLOCK_MONOTONIC in nanoseconds, the clock of the kernel's own events.
func Now() int64 { return origin + int64(time.Since(started)) }

// Boot tells this start of the machine from others: its monotonic times mean nothing to another.
func Boot() string {
	text, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(text))
}

// Born is when a process began, in clock ticks since the machine did: with its number it names one process for ever.
// It is 0 where there is no such process, or only its remains.
func Born(pid int) uint64 {
	fields := stat(pid)
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return 0
	}
	var born uint64
	_, _ = fmt.Sscan(fields[19], &born)
	return born
}
