package node

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Hierarchies are the mounted control groups: version 1 has one for each controller, version 2 one for all of them.
type Hierarchies struct {
	first  map[string]string // controller of version 1 → folder
	second string            // "" where version 2 is not mounted
}

// ReadHierarchies reads the node's mounts.
var ReadHierarchies = sync.OnceValues(func() (Hierarchies, error) {
	text, err := os.ReadFile("/proc/1/mountinfo")
	if err != nil {
		return Hierarchies{}, fmt.Errorf("the node's mounts cannot be read: %w", err)
	}
	return ParseMounts(string(text)), nil
})

// ParseMounts finds the hierarchies in a process's mountinfo.
func ParseMounts(text string) Hierarchies {
	found := Hierarchies{first: map[string]string{}}
	for line := range strings.Lines(text) {
		before, after, _ := strings.Cut(line, " - ")
		mount, kind := strings.Fields(before), strings.Fields(after)
		// A control group mounted in part, as into a container, is not where the node's are.
		if len(mount) < 5 || len(kind) < 3 || mount[3] != "/" {
			continue
		}
		switch kind[0] {
		case "cgroup2":
			if found.second == "" {
				found.second = Path(mount[4])
			}
		case "cgroup":
			for _, option := range strings.Split(kind[2], ",") {
				if found.first[option] == "" {
					found.first[option] = Path(mount[4])
				}
			}
		}
	}
	return found
}

// Group is the folder of a control group for a controller.
type Group struct {
	Path    string `json:"path"`
	Version int    `json:"version"` // 1 or 2
}

// Group finds the folder in which controller rules the group at path, seen from the root of the hierarchy.
func (h Hierarchies) Group(controller, path string) (Group, error) {
	group := Group{filepath.Join(h.second, path), 2}
	if folder := h.first[controller]; folder != "" {
		group = Group{filepath.Join(folder, path), 1}
	} else if h.second == "" {
		return Group{}, fmt.Errorf("no control group of controller %s is mounted", controller)
	}
	if _, err := os.Stat(group.Path); err != nil {
		return Group{}, fmt.Errorf("control group %s for %s: %w", path, controller, err)
	}
	return group, nil
}

// Unconfined runs a function as a process that sees the hierarchies from their roots: version 2 may forbid moves over
// the border of a container's own view of them. Without the right to it runs as this container's.
func Unconfined(do func() error) error {
	done := make(chan error)
	go func() {
		// The thread is never unlocked: it ends with this goroutine.
		runtime.LockOSThread()
		if space, err := unix.Open("/proc/1/ns/cgroup", unix.O_RDONLY|unix.O_CLOEXEC, 0); err == nil {
			_ = unix.Setns(space, unix.CLONE_NEWCGROUP)
			_ = unix.Close(space)
		}
		done <- do()
	}()
	return <-done
}

// Leave moves this process to the root of every hierarchy, so that it outlives the group it was started in.
func (h Hierarchies) Leave() error { return Unconfined(h.leave) }

func (h Hierarchies) leave() error {
	roots := map[string]bool{h.second: true}
	for _, folder := range h.first {
		roots[folder] = true
	}
	delete(roots, "")
	var failed error
	for folder := range roots {
		if err := WriteFile(filepath.Join(folder, "cgroup.procs"), strconv.Itoa(os.Getpid())); err != nil {
			failed = err
		}
	}
	return failed
}

// File is one of the group's files.
func (g Group) File(name string) string { return filepath.Join(g.Path, name) }

// Read gives the text of one of the group's files, without the line's end.
func (g Group) Read(name string) (string, error) {
	text, err := os.ReadFile(g.File(name))
	return strings.TrimSpace(string(text)), err
}

// Write sets one of the group's files.
func (g Group) Write(name, value string) error { return WriteFile(g.File(name), value) }

// Counter reads one number of a file of lines "name number"; one that is not there is 0.
func (g Group) Counter(file, name string) uint64 {
	text, _ := os.ReadFile(g.File(file))
	return numbers(text, name)[0]
}

// WriteFile writes to a file that the kernel made; it never makes one.
func WriteFile(path, value string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = file.WriteString(value)
	return err
}
