// Package inject makes latency spikes of six kinds, each in a part of the kernel of its own, and takes them back
// whatever happens to whoever made them.
//
// Before a spike there is a record of how to undo it, in a journal that outlives this process. A guard outside this
// container's control groups goes by it, and so does `undo`.
package inject

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"perfrun.dev/netwatch/node"
	"perfrun.dev/netwatch/topology"
)

// The kinds.
const (
	Quota   = "quota"
	Freezer = "freezer"
	Hog     = "hog"
	TBF     = "tbf"
	NFQueue = "nfqueue"
	Drop    = "drop"
)

// Kinds are all of them.
var Kinds = []string{Quota, Freezer, Hog, TBF, NFQueue, Drop}

// Target is where a spike is made.
type Target struct {
	IP        string
	Port      uint16
	Container string // its id
	Cgroup    string // its path from the hierarchies' roots
	PIDs      []int  // of the container
	Node      uint32 // the network namespace with the veth
	Space     topology.Space
	Host      bool // the pod has no network namespace of its own
}

// Record is all that undoing a spike needs: the handles, and what was there before.
type Record struct {
	Kind      string  `json:"kind"`
	Round     int     `json:"round"`
	IP        string  `json:"pod_ip"`
	Container string  `json:"container_id"`
	UndoBy    int64   `json:"undo_by"` // CLOCK_MONOTONIC, nanoseconds
	Files     []Saved `json:"files,omitempty"`
	Bound     *Bound  `json:"bound,omitempty"`
	Node      uint32  `json:"node_netns,omitempty"`
	NetNS     uint32  `json:"netns,omitempty"`
	Ifindex   int     `json:"ifindex,omitempty"`
	Device    string  `json:"device,omitempty"`
	MTU       int     `json:"mtu,omitempty"`
	Made      bool    `json:"made,omitempty"` // the classifier's place on the device was made for it
}

// Saved is a control group's file as it was; undoing writes the values back in order.
type Saved struct {
	Group node.Group `json:"group"`
	File  string     `json:"file"`
	Value string     `json:"value"`
}

// Refusal says why a spike is not made; nothing was changed, or it was taken back.
type Refusal struct{ Reason, Message string }

func (r *Refusal) Error() string { return r.Message }

func refuse(reason, format string, arguments ...any) error {
	return &Refusal{reason, fmt.Sprintf(format, arguments...)}
}

// injection is one kind of spike under way.
type injection interface {
	// prepare looks for handles and saves what is there. It changes nothing.
	prepare(target Target, record *Record) error
	// arm changes what has no effect by itself.
	arm(target Target, record *Record, lasts time.Duration) error
	// do makes the spike and returns when it took effect.
	do(record *Record, lasts time.Duration) (int64, error)
	// release ends the effect, without loss where that can be.
	release(record *Record) error
	// close lets go of what this process itself holds.
	close()
}

func begin(kind string) (injection, error) {
	switch kind {
	case Quota:
		return &quota{}, nil
	case Freezer:
		return &freezer{}, nil
	case Hog:
		return &hog{}, nil
	case TBF:
		return &tbf{}, nil
	case NFQueue:
		return &nfqueue{}, nil
	case Drop:
		return &drop{}, nil
	}
	return nil, refuse("UnknownKind", "%q is no kind of spike; the kinds are %v", kind, Kinds)
}

// Undo takes a spike back by its record alone. It may be called again and again, by several at once.
func Undo(record Record) error {
	failed := restore(record.Files)
	if record.Bound != nil {
		failed = errors.Join(failed, record.Bound.release())
	}
	switch record.Kind {
	case TBF:
		failed = errors.Join(failed, within(record.Node, func() error { return removeTBF(record) }))
	case NFQueue:
		failed = errors.Join(failed, within(record.NetNS, removeTable))
	case Drop:
		failed = errors.Join(failed, within(record.Node, func() error { return removeDrop(record.Ifindex, record.Made) }))
	}
	return failed
}

// Left is what is still there of a spike; nil when nothing is.
func Left(record Record) error {
	failed := compare(record.Files)
	if record.Bound != nil {
		failed = errors.Join(failed, record.Bound.left())
	}
	switch record.Kind {
	case TBF:
		failed = errors.Join(failed, within(record.Node, func() error { return seeTBF(record.Ifindex) }))
	case NFQueue:
		failed = errors.Join(failed, within(record.NetNS, seeTable))
	case Drop:
		failed = errors.Join(failed, within(record.Node, func() error { return seeDrop(record.Ifindex) }))
	}
	return failed
}

// save reads files of a control group as they are.
func save(group node.Group, files ...string) ([]Saved, error) {
	var saved []Saved
	for _, file := range files {
		value, err := group.Read(file)
		if err != nil {
			return nil, err
		}
		saved = append(saved, Saved{group, file, value})
	}
	return saved, nil
}

func restore(files []Saved) error {
	var failed error
	for _, each := range files {
		// The line's end makes a write of an empty value.
		if err := each.Group.Write(each.File, each.Value+"\n"); err != nil && !gone(err) {
			failed = errors.Join(failed, fmt.Errorf("%s could not be set back to %q: %w", each.Group.File(each.File), each.Value, err))
		}
	}
	return failed
}

func compare(files []Saved) error {
	var failed error
	for _, each := range files {
		value, err := each.Group.Read(each.File)
		if gone(err) || (err == nil && value == each.Value) {
			continue
		}
		failed = errors.Join(failed, fmt.Errorf("%s is %q, and was %q before (%v)", each.Group.File(each.File), value, each.Value, err))
	}
	return failed
}

// gone: the container ended, and took what was changed with it.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, errNoDevice) }

// network tells the kinds that change the pod's network.
func network(kind string) bool { return slices.Contains([]string{TBF, NFQueue, Drop}, kind) }
