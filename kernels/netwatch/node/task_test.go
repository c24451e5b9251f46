package node

import (
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// confined starts a process on one CPU, which ends with the test.
func confined(t *testing.T, command ...string) int {
	t.Helper()
	process := exec.Command(command[0], command[1:]...)
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = process.Process.Kill()
		_ = process.Wait()
	})
	var first unix.CPUSet
	first.Set(0)
	if err := unix.SchedSetaffinity(process.Process.Pid, &first); err != nil {
		t.Fatal(err)
	}
	return process.Process.Pid
}

// seen looks until a thread is in a state, for it takes its time to get there.
func seen(t *testing.T, thread int, state string, ran *bool) Task {
	t.Helper()
	var task Task
	for range 200 {
		task, _ = LookAt(thread)
		if task.State == state && (ran == nil || task.Ran != nil && *task.Ran == *ran) {
			return task
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("%+v, expected to be in state %s", task, state)
	return task
}

func TestAThreadThatSleepsIsSeenToSleep(t *testing.T) {
	thread := confined(t, "sleep", "60")
	var task Task
	// The kernel may leave one that has just fallen asleep on its CPU's queue for a while.
	for range 200 {
		if task = seen(t, thread, "S", nil); task.Where != "" {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if task.Ran != nil || task.Where == "" {
		t.Errorf("%+v", task)
	}
}

func TestAThreadThatWaitsForItsCPUIsToldFromOneThatHasIt(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("real-time threads need root")
	}
	yes, no := true, false
	busy := confined(t, "sh", "-c", "while :; do :; done")
	seen(t, busy, "R", &yes)
	hog := confined(t, "chrt", "--fifo", "1", "sh", "-c", "while :; do :; done")
	task := seen(t, busy, "R", &no)
	if task.CPU != 0 {
		t.Errorf("waits for CPU %d", task.CPU)
	}
	if task := seen(t, hog, "R", &yes); task.PID != hog {
		t.Errorf("%+v", task)
	}
}

func TestAThreadThatIsGoneIsToldSo(t *testing.T) {
	process := exec.Command("true")
	if err := process.Run(); err != nil {
		t.Fatal(err)
	}
	if task, there := LookAt(process.Process.Pid); there {
		t.Errorf("%s: %+v", strconv.Itoa(process.Process.Pid), task)
	}
}
