package node

import (
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// glance is for how long a thread that is ready is looked at, to see whether it has a CPU.
const glance = int64(20 * time.Microsecond)

// Task is what a thread was doing when it was looked at.
type Task struct {
	PID   int    `json:"pid"`
	State string `json:"state"` // one letter, as /proc has it; R is of one that runs, and of one that waits for a CPU
	CPU   int    `json:"cpu"`   // where it ran last, or waits
	Ran   *bool  `json:"ran"`   // of one that is ready: whether it had a CPU; nil: not known
	Where string `json:"where"` // of one that sleeps: the kernel's function in which it does; empty: not known
}

// LookAt says what a thread is doing; false: there is no such thread.
func LookAt(thread int) (Task, bool) {
	fields := stat(thread)
	if len(fields) < 37 {
		return Task{}, false
	}
	task := Task{PID: thread, State: fields[0]}
	task.CPU, _ = strconv.Atoi(fields[36])
	if task.State == "R" {
		task.Ran = ran(thread)
	} else {
		task.Where = where(thread)
	}
	return task, true
}

// ran says whether a thread has a CPU now. /proc adds a thread's time up only now and then; the kernel's own clock of the
// task goes while it runs, and stands while it waits.
func ran(thread int) *bool {
	clock := unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_TASK_CLOCK}
	file, err := unix.PerfEventOpen(&clock, thread, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return nil
	}
	defer unix.Close(file)
	for until := Now() + glance; Now() < until; {
	}
	var count [8]byte
	if n, err := unix.Read(file, count[:]); err != nil || n != len(count) {
		return nil
	}
	had := binary.NativeEndian.Uint64(count[:]) > 0
	return &had
}

// where is the function of the kernel in which a thread sleeps. The kernel says 0 of one that is on a CPU's queue again.
func where(thread int) string {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/wchan", thread))
	if err != nil || string(name) == "0" {
		return ""
	}
	return string(name)
}

// Switches is how often a thread has left a CPU; of one that is not running, whether it grew says whether it ran.
func Switches(thread int) (times uint64) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", thread))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if name, value, _ := strings.Cut(line, ":"); strings.HasSuffix(name, "_ctxt_switches") {
			count, _ := strconv.ParseUint(strings.TrimSpace(value), 10, 64)
			times += count
		}
	}
	return times
}

// stat is what /proc says of a thread, from its state on; empty where there is none.
func stat(thread int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", thread))
	if err != nil {
		return nil
	}
	// The name, in parentheses, may hold spaces and parentheses itself.
	return strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
}
