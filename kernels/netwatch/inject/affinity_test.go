package inject

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"perfrun.dev/netwatch/node"
)

// group is one of version 2 as far as it is read: a folder in which a file lists its threads.
func group(t *testing.T, threads ...int) node.Group {
	t.Helper()
	folder := t.TempDir()
	text := strings.Trim(strings.Join(strings.Fields(fmt.Sprint(threads)), "\n"), "[]")
	if err := os.WriteFile(filepath.Join(folder, "cgroup.threads"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return node.Group{Path: folder, Version: 2}
}

// sleeper is a task that may run on these processors, or on all of them.
func sleeper(t *testing.T, cpus ...int) int {
	t.Helper()
	process := exec.Command("sleep", "60")
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = process.Process.Kill()
		_ = process.Wait()
	})
	var set unix.CPUSet
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	if len(cpus) > 0 {
		if err := unix.SchedSetaffinity(process.Process.Pid, &set); err != nil {
			t.Fatal(err)
		}
	}
	return process.Process.Pid
}

func TestThreadsGetTheProcessorsBackThatTheyHad(t *testing.T) {
	if runtime.NumCPU() < 2 {
		t.Skip("two processors are needed to take one away")
	}
	free, own, bound := sleeper(t), sleeper(t, 0), sleeper(t, 1)
	all := affinity(free)
	of, err := boundOf(group(t, free, own, bound), 1)
	if err != nil {
		t.Fatal(err)
	}
	late := sleeper(t)
	of.Group = group(t, free, own, bound, late)
	if err := of.bind(); err != nil {
		t.Fatal(err)
	}
	for _, each := range []int{free, own, bound, late} {
		if now := affinity(each); !slices.Equal(now, []int{1}) {
			t.Errorf("bound to 1, and may run on %v", now)
		}
	}
	if err := of.left(); err == nil || !strings.HasPrefix(err.Error(), "3 threads") {
		t.Errorf("left: %v; expected 3 threads, for one was bound before", err)
	}
	if err := of.release(); err != nil {
		t.Fatal(err)
	}
	for thread, want := range map[int][]int{free: all, own: {0}, bound: {1}, late: all} {
		if now := affinity(thread); !slices.Equal(now, want) {
			t.Errorf("may run on %v, expected %v", now, want)
		}
	}
}

func TestAGroupThatIsGoneHasNothingLeft(t *testing.T) {
	of := &Bound{Group: node.Group{Path: filepath.Join(t.TempDir(), "gone"), Version: 2}, CPU: 1, Threads: []Thread{{1, 1, []int{0, 1}}}}
	if err := of.release(); err != nil {
		t.Error(err)
	}
}
