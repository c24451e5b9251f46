package inject

import (
	"time"

	"perfrun.dev/netwatch/node"
)

// freezer stops all tasks of the container: a packet wakes its task, which does not run.
type freezer struct{ saved Saved }

// seen is for how long an effect is waited for.
const seen = 100 * time.Millisecond

// resolution is how long to wait before it is looked for again.
const resolution = int64(100 * time.Microsecond)

func (f *freezer) prepare(target Target, record *Record) error {
	group, err := groupOf("freezer", target)
	if err != nil {
		return err
	}
	file, thawed := "freezer.state", "THAWED"
	if group.Version == 2 {
		file, thawed = "cgroup.freeze", "0"
	}
	record.Files, err = save(group, file)
	if err != nil {
		return refuse("NoFreezer", "the container's freezer cannot be read: %v", err)
	}
	if f.saved = record.Files[0]; f.saved.Value != thawed {
		return refuse("FrozenAlready", "container %s is not running: %s is %q", target.Container, group.File(file), f.saved.Value)
	}
	return nil
}

func (f *freezer) arm(Target, *Record, time.Duration) error { return nil }

func (f *freezer) do(*Record, time.Duration) (int64, error) {
	group, freeze := f.saved.Group, "FROZEN"
	if group.Version == 2 {
		freeze = "1"
	}
	if err := group.Write(f.saved.File, freeze); err != nil {
		return 0, refuse("NotFrozen", "the container was not frozen: %v", err)
	}
	// Its tasks stop one by one from now on; that all of them did is the proof, not the moment.
	at := node.Now()
	// Whoever looks goes ahead of them, and takes a lock that they need: they get their turn in between.
	for give := at + int64(seen); node.Now() < give; node.Pause(node.Now() + resolution) {
		if frozen(group) {
			return at, nil
		}
	}
	return 0, refuse("NotFrozen", "container group %s was not frozen within %v", group.Path, seen)
}

// frozen: every task of the group stands still.
func frozen(group node.Group) bool {
	if group.Version == 2 {
		return group.Counter("cgroup.events", "frozen") == 1
	}
	state, _ := group.Read("freezer.state")
	return state == "FROZEN"
}

func (f *freezer) release(record *Record) error { return restore(record.Files) }

func (f *freezer) close() {}

func groupOf(controller string, target Target) (node.Group, error) {
	groups, err := node.ReadHierarchies()
	if err != nil {
		return node.Group{}, refuse("NoCgroup", "%v", err)
	}
	if target.Cgroup == "" || target.Cgroup == "/" {
		return node.Group{}, refuse("NoCgroup", "container %q has no control group of its own that is seen here", target.Container)
	}
	group, err := groups.Group(controller, target.Cgroup)
	if err != nil {
		return group, refuse("NoCgroup", "%v", err)
	}
	return group, nil
}
