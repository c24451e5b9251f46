package inject

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"perfrun.dev/netwatch/node"
)

// Bound is where the threads of a control group could run before they were bound to one processor. It is done by their
// affinity, thread by thread: version 2 takes no processors back that a group which holds tasks was once given.
type Bound struct {
	Group   node.Group `json:"group"`
	CPU     int        `json:"cpu"`
	Threads []Thread   `json:"threads"`
}

// Thread is one of them, and on which processors it could run.
type Thread struct {
	ID   int    `json:"id"`
	Born uint64 `json:"born"`
	CPUs []int  `json:"cpus"`
}

// passes are how often threads are looked for that began while others were let go.
const passes = 10

// boundOf notes where the threads of a group may run now.
func boundOf(group node.Group, cpu int) (*Bound, error) {
	bound := &Bound{Group: group, CPU: cpu}
	ids, err := threadsOf(group)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if cpus := affinity(id); len(cpus) > 0 {
			bound.Threads = append(bound.Threads, Thread{id, node.Born(id), cpus})
		}
	}
	if len(bound.Threads) == 0 {
		return nil, fmt.Errorf("control group %s holds no task", group.Path)
	}
	return bound, nil
}

// bind takes all other processors from the group's threads. Those that they start get no more.
func (b *Bound) bind() error {
	var only unix.CPUSet
	only.Set(b.CPU)
	ids, err := threadsOf(b.Group)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := unix.SchedSetaffinity(id, &only); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}

// switches is how often those threads have left a processor that were there at first.
func (b *Bound) switches() (times uint64) {
	for _, thread := range b.Threads {
		times += node.Switches(thread.ID)
	}
	return times
}

// release gives the processors back. A thread that began meanwhile gets those of the first one, as it would have.
func (b *Bound) release() error {
	for range passes {
		narrow, err := b.narrow()
		if err != nil || len(narrow) == 0 {
			return err
		}
		for id, cpus := range narrow {
			if err := allow(id, cpus); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("thread %d could not be let run on processors %v again: %w", id, cpus, err)
			}
		}
	}
	return b.left()
}

// left tells of threads that are still bound, nil when none is.
func (b *Bound) left() error {
	narrow, err := b.narrow()
	if err != nil || len(narrow) == 0 {
		return err
	}
	return fmt.Errorf("%d threads of %s may run on processor %d only, and could on others before", len(narrow), b.Group.Path, b.CPU)
}

// narrow are the threads that are bound and were not before, with the processors that they are to get.
func (b *Bound) narrow() (map[int][]int, error) {
	ids, err := threadsOf(b.Group)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	found, only := map[int][]int{}, []int{b.CPU}
	for _, id := range ids {
		if !slices.Equal(affinity(id), only) {
			continue
		}
		if before := b.before(id); !slices.Equal(before, only) {
			found[id] = before
		}
	}
	return found, nil
}

func (b *Bound) before(id int) []int {
	born := node.Born(id)
	for _, each := range b.Threads {
		if each.ID == id && each.Born == born {
			return each.CPUs
		}
	}
	return b.Threads[0].CPUs
}

// allow lets a thread run on some processors: where these are all that it can get, on any, for others may come.
func allow(id int, cpus []int) error {
	var any, these unix.CPUSet
	for cpu := range 64 * len(any) {
		any.Set(cpu)
	}
	for _, cpu := range cpus {
		these.Set(cpu)
	}
	if err := unix.SchedSetaffinity(id, &any); err != nil {
		return err
	}
	if slices.Equal(affinity(id), cpus) {
		return nil
	}
	return unix.SchedSetaffinity(id, &these)
}

// affinity are the processors on which a thread may run; none where it is gone.
func affinity(id int) (cpus []int) {
	var set unix.CPUSet
	if unix.SchedGetaffinity(id, &set) != nil {
		return nil
	}
	for cpu := range 64 * len(set) {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus
}

// threadsOf lists the threads of a control group and of those below it.
func threadsOf(group node.Group) (ids []int, err error) {
	name := map[int]string{1: "tasks", 2: "cgroup.threads"}[group.Version]
	err = filepath.WalkDir(group.Path, func(path string, entry fs.DirEntry, failed error) error {
		if failed != nil || entry.Name() != name {
			return failed
		}
		text, failed := os.ReadFile(path)
		for _, word := range strings.Fields(string(text)) {
			if id, err := strconv.Atoi(word); err == nil {
				ids = append(ids, id)
			}
		}
		return failed
	})
	return ids, err
}
