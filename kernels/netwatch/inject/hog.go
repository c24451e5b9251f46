package inject

import "time"

// firm is for how long the task has to have the processor without a break before it counts as taken: within that a spike
// is to be noticed. Linux grants ordinary tasks a share beside real-time ones, some milliseconds of which may come first,
// and some microseconds are enough for the container to answer a probe.
const firm = 5 * time.Millisecond

// hog takes the container's processor: its tasks may run on one only, and there a real-time task runs.
type hog struct {
	bound   *Bound
	spinner *spinner
}

func (h *hog) prepare(target Target, record *Record) error {
	group, err := groupOf("freezer", target)
	if err != nil {
		return err
	}
	cpus, err := allowed(target)
	if err != nil {
		return err
	}
	// The first one has the node's own work more often than the others.
	if h.bound, err = boundOf(group, cpus[len(cpus)-1]); err != nil {
		return refuse("NoAffinity", "where the container's tasks may run cannot be read: %v", err)
	}
	record.Bound = h.bound
	return nil
}

func (h *hog) arm(Target, *Record, time.Duration) error {
	var err error
	if h.spinner, err = startSpinner(spinOrder{CPUs: []int{h.bound.CPU}, RealTime: true}); err != nil {
		return refuse("NoRealTime", "no real-time task can be started on processor %d: %v", h.bound.CPU, err)
	}
	return nil
}

func (h *hog) do(record *Record, lasts time.Duration) (int64, error) {
	if err := h.bound.bind(); err != nil {
		return 0, refuse("NoAffinity", "the container's tasks cannot be bound to processor %d: %v", h.bound.CPU, err)
	}
	h.spinner.shared.letGo(record.UndoBy - int64(overtime))
	at, holds := h.spinner.awaitHold(firm, h.bound.switches)
	if !holds {
		return 0, refuse("NoRealTime", "the real-time task did not get processor %d for itself within %v", h.bound.CPU, seen)
	}
	return at, nil
}

// release lets the processor go before the container gets its others back, which takes the kernel longer.
func (h *hog) release(record *Record) error {
	h.spinner.shared.letGo(0)
	return record.Bound.release()
}

func (h *hog) close() {
	if h.spinner != nil {
		h.spinner.end()
	}
}
