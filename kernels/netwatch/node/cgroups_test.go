package node

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

const first = `27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
33 31 0:30 /docker/abc /elsewhere rw,relatime - cgroup cgroup rw,freezer
34 31 0:30 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
`

func TestHierarchiesAreReadFromTheMounts(t *testing.T) {
	both := ParseMounts(first)
	for controller, folder := range map[string]string{
		"cpu": "/sys/fs/cgroup/cpu,cpuacct", "cpuacct": "/sys/fs/cgroup/cpu,cpuacct", "freezer": "/sys/fs/cgroup/freezer",
	} {
		if found := both.first[controller]; found != Path(folder) {
			t.Errorf("%s is at %q; expected %q", controller, found, Path(folder))
		}
	}
	if both.second != Path("/sys/fs/cgroup/unified") {
		t.Errorf("version 2 is at %q", both.second)
	}
	only := ParseMounts("31 22 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n")
	if len(only.first) != 0 || only.second != Path("/sys/fs/cgroup") {
		t.Errorf("version 2 alone is read as %+v", only)
	}
}

func TestAGroupIsOfTheHierarchyThatHasItsController(t *testing.T) {
	folder := t.TempDir()
	for _, each := range []string{"one/pod", "two/pod"} {
		if err := os.MkdirAll(filepath.Join(folder, each), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	h := Hierarchies{first: map[string]string{"cpu": filepath.Join(folder, "one")}, second: filepath.Join(folder, "two")}
	if group, err := h.Group("cpu", "/pod"); err != nil || group.Version != 1 {
		t.Errorf("cpu: %+v, %v", group, err)
	}
	if group, err := h.Group("freezer", "/pod"); err != nil || group.Version != 2 {
		t.Errorf("freezer: %+v, %v", group, err)
	}
	if _, err := h.Group("cpu", "/gone"); err == nil {
		t.Error("a group that is not there was found")
	}
}

func TestCountersAndWritesOfAGroup(t *testing.T) {
	group := Group{t.TempDir(), 1}
	if err := os.WriteFile(group.File("cpu.stat"), []byte("nr_periods 7\nnr_throttled 3\nthrottled_time 12\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if times := group.Counter("cpu.stat", "nr_throttled"); times != 3 {
		t.Errorf("nr_throttled is %d", times)
	}
	if nothing := group.Counter("cpu.stat", "nr"); nothing != 0 {
		t.Errorf("a part of a name was taken for it: %d", nothing)
	}
	gauge := group.Gauge("cpu.stat")
	if seen := gauge.Read("throttled_time", "nr", "nr_throttled"); !slices.Equal(seen, []uint64{12, 0, 3}) {
		t.Errorf("the gauge shows %d", seen)
	}
	if err := group.Write("cpu.stat", "nr_throttled 4\n"); err != nil {
		t.Fatal(err)
	}
	if seen := gauge.Read("nr_throttled"); seen[0] != 4 {
		t.Errorf("the gauge shows %d, and 4 is the number now", seen[0])
	}
	if seen := group.Gauge("memory.stat").Read("anon"); seen[0] != 0 {
		t.Errorf("a file that is not there shows %d", seen[0])
	}
	if err := group.Write("cpu.max", "1"); err == nil {
		t.Error("a file that the kernel does not have was made")
	}
}

func TestAProcessIsKnownByItsBeginning(t *testing.T) {
	if Born(os.Getpid()) == 0 || Born(os.Getpid()) != Born(os.Getpid()) {
		t.Error("this process has no beginning, or several")
	}
	if born := Born(1 << 30); born != 0 {
		t.Errorf("a process that is not there began at %d", born)
	}
}

func TestTheClockIsTheKernels(t *testing.T) {
	var at unix.Timespec
	for range 1000 {
		before := Now()
		_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &at)
		// Go's clock and the kernel's are read one after the other when the program starts.
		if after := Now(); at.Nano() < before-1e6 || at.Nano() > after+1e6 {
			t.Fatalf("the kernel's clock shows %d between %d and %d", at.Nano(), before, after)
		}
	}
	before := Now()
	Pause(before + 2e6)
	if Now() < before+2e6 {
		t.Error("a pause was too short")
	}
}
