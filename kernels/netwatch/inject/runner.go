package inject

import (
	"context"
	"errors"
	"fmt"
	"time"

	"perfrun.dev/netwatch/node"
)

// Limits of a spike.
const (
	// arming is what it may take from the journal's first line to the effect.
	arming = 20 * time.Second
	// overtime is what the watch gets to undo a spike by itself, before the guard does.
	overtime = 300 * time.Millisecond
)

// Surroundings are what a runner needs of whoever watches.
type Surroundings interface {
	// Quiet keeps probes from being sent until the returned function is called: to put a queue on a device loses what
	// passes at that moment.
	Quiet(ctx context.Context) (resume func(), err error)
	// Calm returns when all pods have answered in time for a while.
	Calm(ctx context.Context) error
	// Tell writes down what happened.
	Tell(Told)
}

// Told is one thing that a runner did, in the words of the watch's lines.
type Told struct {
	Type      string `json:"type"` // inject, undo, refused or left
	Kind      string `json:"kind"`
	Round     int    `json:"round"`
	Ordered   int64  `json:"ordered_ns,omitempty"`
	At        int64  `json:"at_ns,omitempty"`
	IP        string `json:"pod_ip"`
	Container string `json:"container_id"`
	Reason    string `json:"reason,omitempty"`
	Message   string `json:"message,omitempty"`
}

// Runner makes one spike after the other, with a guard by its side.
type Runner struct {
	journal Journal
	path    string
	guard   *Guard
	around  Surroundings
}

// NewRunner writes the journal and starts the guard.
func NewRunner(fault string, around Surroundings) (*Runner, error) {
	path, err := JournalPath(fault)
	if err != nil {
		return nil, err
	}
	if old, err := ReadJournal(path); err == nil && old.Watch.Alive() {
		return nil, fmt.Errorf("process %d already makes the spikes of fault %s", old.Watch.PID, fault)
	} else if err == nil {
		if err := clear(path, 0); err != nil {
			return nil, fmt.Errorf("an earlier watch of this fault left something: %w", err)
		}
	}
	r := &Runner{journal: Journal{Fault: fault, Boot: node.Boot(), Node: number(ownNetNS), Watch: Self(), Open: []Record{}}, path: path, around: around}
	if err := r.journal.Write(path); err != nil {
		return nil, err
	}
	if r.guard, err = StartGuard(path); err != nil {
		_ = RemoveJournal(path)
		return nil, err
	}
	r.journal.Guard = r.guard.Process
	return r, r.journal.Write(path)
}

// Close ends the guard. What is still open stays in the journal, and the guard tries on.
func (r *Runner) Close() error {
	if len(r.journal.Open) > 0 {
		_ = r.guard.line.Close()
		return fmt.Errorf("something is left, see %s", r.path)
	}
	if err := RemoveJournal(r.path); err != nil {
		return err
	}
	r.guard.Close()
	return nil
}

// Make makes one spike and takes it back. The calling thread is locked and, where it may be, a real-time one.
func (r *Runner) Make(ctx context.Context, kind string, round int, target Target, lasts time.Duration) error {
	told := Told{Kind: kind, Round: round, IP: target.IP, Container: target.Container}
	err := r.make(ctx, told, target, lasts)
	var refusal *Refusal
	switch {
	case errors.As(err, &refusal):
		told.Type, told.Reason, told.Message = "refused", refusal.Reason, refusal.Message
		r.around.Tell(told)
		return nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		told.Type, told.Reason, told.Message = "refused", "NotCalm", "the pods' answers were not calm for long enough before the watch was over"
		r.around.Tell(told)
		return nil
	}
	return err
}

func (r *Runner) make(ctx context.Context, told Told, target Target, lasts time.Duration) (failed error) {
	if !r.guard.Alive() {
		return errors.New("the guard has ended: without it no spike is made")
	}
	spike, err := begin(told.Kind)
	if err != nil {
		return err
	}
	defer spike.close()
	record := Record{Kind: told.Kind, Round: told.Round, IP: told.IP, Container: told.Container, UndoBy: node.Now() + int64(arming)}
	if err := spike.prepare(target, &record); err != nil {
		return err
	}
	if err := r.open(record); err != nil {
		return err
	}
	released := false
	defer func() {
		failed = errors.Join(failed, r.undo(record, told, released))
	}()
	if err := r.quietly(ctx, told.Kind, func() error { return spike.arm(target, &record, lasts) }); err != nil {
		return err
	}
	if err := r.around.Calm(ctx); err != nil {
		return err
	}
	told.Ordered = node.Now()
	record.UndoBy = told.Ordered + int64(seen+lasts+overtime)
	if err := r.open(record); err != nil {
		return err
	}
	at, err := spike.do(&record, lasts)
	if err != nil {
		return err
	}
	inject := told
	inject.Type, inject.At = "inject", at
	r.around.Tell(inject)
	r.wait(ctx, at+int64(lasts))
	err = spike.release(&record)
	undo := told
	undo.Type, undo.Ordered, undo.At = "undo", 0, node.Now()
	r.around.Tell(undo)
	released = err == nil
	return nil
}

// wait ends early when the watch is to end.
func (r *Runner) wait(ctx context.Context, until int64) {
	for now := node.Now(); now < until && ctx.Err() == nil; now = node.Now() {
		node.Pause(min(until, now+int64(5*time.Millisecond)))
	}
}

// quietly does what would lose packets that pass at that moment.
func (r *Runner) quietly(ctx context.Context, kind string, do func() error) error {
	if !network(kind) {
		return do()
	}
	resume, err := r.around.Quiet(ctx)
	if err != nil {
		return err
	}
	defer resume()
	return do()
}

// open writes the record down before anything is changed.
func (r *Runner) open(record Record) error {
	r.journal.Open = []Record{record}
	return r.journal.Write(r.path)
}

// undo takes back what is left of a spike. Nothing that still holds packets up waits for probes to be quiet: they are
// only where the effect is over.
func (r *Runner) undo(record Record, told Told, released bool) error {
	err := errors.New("not yet")
	if released {
		limit, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		err = r.quietly(limit, told.Kind, func() error { return Undo(record) })
	}
	if err != nil {
		err = Undo(record)
	}
	if left := errors.Join(err, Left(record)); left != nil {
		told.Type, told.Reason, told.Message = "left", "Left", left.Error()
		r.around.Tell(told)
		return fmt.Errorf("a spike of kind %s is not undone: %w", told.Kind, left)
	}
	r.journal.Open = []Record{}
	return r.journal.Write(r.path)
}
