package inject

import (
	"strconv"
	"time"
)

// firm is for how long the task has to have the processor without a break before it counts as taken. Linux grants
// ordinary tasks a share beside real-time ones, some milliseconds of which may come first.
const firm = 3 * time.Millisecond

// hog takes the container's processor: its tasks may run on one only, and there a real-time task runs.
type hog struct {
	saved   Saved
	cpu     int
	spinner *spinner
}

func (h *hog) prepare(target Target, record *Record) error {
	group, err := groupOf("cpuset", target)
	if err != nil {
		return err
	}
	if record.Files, err = save(group, "cpuset.cpus"); err != nil {
		return refuse("NoCpuset", "the container's processors cannot be read: %v", err)
	}
	h.saved = record.Files[0]
	cpus, err := allowed(target)
	if err != nil {
		return err
	}
	// The first one has the node's own work more often than the others.
	h.cpu = cpus[len(cpus)-1]
	return nil
}

func (h *hog) arm(Target, *Record, time.Duration) error {
	var err error
	if h.spinner, err = startSpinner(spinOrder{CPUs: []int{h.cpu}, RealTime: true}); err != nil {
		return refuse("NoRealTime", "no real-time task can be started on processor %d: %v", h.cpu, err)
	}
	return nil
}

func (h *hog) do(record *Record, lasts time.Duration) (int64, error) {
	if err := h.saved.Group.Write(h.saved.File, strconv.Itoa(h.cpu)); err != nil {
		return 0, refuse("NoCpuset", "the container's processors cannot be set: %v", err)
	}
	h.spinner.shared.letGo(record.UndoBy - int64(overtime))
	at, holds := h.spinner.awaitHold(firm)
	if !holds {
		return 0, refuse("NoRealTime", "the real-time task did not get processor %d for itself within %v", h.cpu, seen)
	}
	return at, nil
}

// release lets the processor go before the container gets its others back, which takes the kernel longer.
func (h *hog) release(record *Record) error {
	h.spinner.shared.letGo(0)
	return restore(record.Files)
}

func (h *hog) close() {
	if h.spinner != nil {
		h.spinner.end()
	}
}
