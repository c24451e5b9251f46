package inject

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"perfrun.dev/netwatch/node"
)

// Spin is the subcommand of a child process that keeps processors busy.
const Spin = "spin"

// spinOrder is what the child is told.
type spinOrder struct {
	CPUs     []int    `json:"cpus"`
	RealTime bool     `json:"real_time"` // before all ordinary tasks
	Join     []string `json:"join"`      // files cgroup.procs of the groups in which the child is to be
}

// board is memory that parent and child share: in it the child is let go, and shows that it runs.
type board struct {
	memory []byte
}

const (
	boardFile = 3 // its descriptor in the child
	stride    = 64
	// broken is how long a processor is gone to somebody else for: shorter gaps are interrupts.
	broken = int64(200 * time.Microsecond)
	// forgotten is when a child that was never let go ends by itself.
	forgotten = arming + 5*time.Second
)

func mapBoard(fd, cpus int) (*board, error) {
	memory, err := unix.Mmap(fd, 0, stride*(cpus+1), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("memory that is shared with a child: %w", err)
	}
	return &board{memory}, nil
}

func (b *board) word() *uint32     { return (*uint32)(unsafe.Pointer(&b.memory[0])) }
func (b *board) until() *int64     { return (*int64)(unsafe.Pointer(&b.memory[8])) }
func (b *board) beat(n int) *int64 { return (*int64)(unsafe.Pointer(&b.memory[stride*(n+1)])) }
func (b *board) hold(n int) *int64 { return (*int64)(unsafe.Pointer(&b.memory[stride*(n+1)+8])) }

func (b *board) free() { _ = unix.Munmap(b.memory) }

const (
	futexWait = 0
	futexWake = 1
)

func (b *board) letGo(until int64) {
	atomic.StoreInt64(b.until(), until)
	atomic.StoreUint32(b.word(), 1)
	_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(b.word())), futexWake, 1<<30, 0, 0, 0)
}

func (b *board) await() {
	for atomic.LoadUint32(b.word()) == 0 {
		_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(b.word())), futexWait, 0, 0, 0, 0)
	}
}

// RunSpin is the child: a thread for each processor, which spins from when it is let go until it is to end.
func RunSpin(text string) error {
	var order spinOrder
	if err := json.Unmarshal([]byte(text), &order); err != nil {
		return fmt.Errorf("the order cannot be read: %w", err)
	}
	shared, err := mapBoard(boardFile, len(order.CPUs))
	if err != nil {
		return err
	}
	time.AfterFunc(forgotten, func() { os.Exit(1) })
	if order.RealTime {
		// The processors that this program's container may use are not the target's.
		if groups, err := node.ReadHierarchies(); err == nil {
			_ = groups.Leave()
		}
	}
	var prepared, running sync.WaitGroup
	failures := make([]error, len(order.CPUs))
	for index, cpu := range order.CPUs {
		prepared.Add(1)
		running.Go(func() {
			runtime.LockOSThread()
			failures[index] = pin(cpu, order.RealTime)
			prepared.Done()
			if failures[index] == nil {
				spin(shared, index, !order.RealTime)
			}
		})
	}
	prepared.Wait()
	for _, file := range order.Join {
		failures = append(failures, node.Unconfined(func() error { return node.WriteFile(file, fmt.Sprint(os.Getpid())) }))
	}
	if err := errors.Join(failures...); err != nil {
		return err
	}
	fmt.Println("ready")
	running.Wait()
	return nil
}

func pin(cpu int, realTime bool) error {
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("processor %d: %w", cpu, err)
	}
	if realTime {
		return node.RealTime(node.PriorityHog)
	}
	return nil
}

func spin(shared *board, index int, yield bool) {
	shared.await()
	before := int64(0)
	for now := node.Now(); now < atomic.LoadInt64(shared.until()); now = node.Now() {
		if now-before > broken {
			atomic.StoreInt64(shared.hold(index), now)
		}
		before = now
		atomic.StoreInt64(shared.beat(index), now)
		// Between two ticks the kernel counts a task's time only when there is something to schedule.
		if yield {
			_, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
		}
	}
}
