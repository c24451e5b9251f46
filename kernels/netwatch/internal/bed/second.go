package bed

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"perfrun.dev/netwatch/node"
)

// second names, for a test's child processes, the mount that Second made.
const second = "NETWATCH_TEST_SECOND"

// Second has control groups of version 2 be the only ones that are seen until the test ends, by this process and by
// those that it starts: on a mount of its own, as many nodes have those of version 1 beside it. What version 1 has taken
// is then missing; the freezer is always there.
func Second(t *testing.T) node.Group {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting control groups needs root")
	}
	folder := t.TempDir()
	if err := unix.Mount("none", folder, "cgroup2", 0, ""); err != nil {
		t.Skipf("this kernel has no control groups of version 2: %v", err)
	}
	before := node.ReadHierarchies
	t.Cleanup(func() {
		node.ReadHierarchies = before
		if err := unix.Unmount(folder, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	t.Setenv(second, folder)
	Adopt()
	root, err := node.ReadHierarchies()
	if err != nil {
		t.Fatal(err)
	}
	group, err := root.Group("freezer", "/")
	if err != nil || group.Version != 2 {
		t.Fatalf("%+v, %v", group, err)
	}
	return group
}

// Adopt is for the beginning of a test's child process: it sees the control groups that the test does.
func Adopt() {
	folder := os.Getenv(second)
	if folder == "" {
		return
	}
	node.ReadHierarchies = func() (node.Hierarchies, error) {
		return node.ParseMounts(fmt.Sprintf("31 22 0:28 / %s rw - cgroup2 cgroup2 rw\n", folder)), nil
	}
}

// Offers says whether a group of version 2 has a controller for its children.
func Offers(root node.Group, controller string) bool {
	text, _ := root.Read("cgroup.controllers")
	for _, each := range strings.Fields(text) {
		if each == controller {
			return true
		}
	}
	return false
}
