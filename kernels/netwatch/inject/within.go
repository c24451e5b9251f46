package inject

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"perfrun.dev/netwatch/node"
)

var errNoDevice = unix.ENODEV

const ownNetNS = "/proc/thread-self/ns/net"

// within runs a function in the network namespace of that inode number. One that no process is in any more is gone
// with all that was in it: then there is nothing to do.
func within(space uint32, do func() error) error {
	done := make(chan error)
	go func() {
		// The thread ends with this goroutine, so that no other one gets to run in that namespace.
		runtime.LockOSThread()
		done <- enter(space, do)
	}()
	return <-done
}

func enter(space uint32, do func() error) error {
	if number(ownNetNS) == space {
		return do()
	}
	inside, err := find(space)
	if err != nil {
		return err
	}
	if inside < 0 {
		return nil
	}
	defer inside.Close()
	if err := netns.Set(inside); err != nil {
		return fmt.Errorf("network namespace %d cannot be entered: %w", space, err)
	}
	return do()
}

// find opens a network namespace; it is negative where no process is in it.
func find(space uint32) (netns.NsHandle, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return -1, err
	}
	for _, entry := range entries {
		path := "/proc/" + entry.Name() + "/ns/net"
		if _, err := strconv.Atoi(entry.Name()); err != nil || number(path) != space {
			continue
		}
		inside, err := netns.GetFromPath(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		return inside, err
	}
	return -1, nil
}

func number(path string) uint32 {
	found, _ := node.Inode(path)
	return found
}
