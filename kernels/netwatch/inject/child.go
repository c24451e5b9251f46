package inject

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"perfrun.dev/netwatch/node"
)

// spinner is the parent's end of a child that keeps processors busy.
type spinner struct {
	command *exec.Cmd
	shared  *board
	cpus    int
}

const spinReady = 2 * time.Second

// startSpinner starts a child and waits until it could be let go. It ends with the thread that started it.
func startSpinner(order spinOrder) (*spinner, error) {
	text, err := json.Marshal(order)
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("perfrun-spin", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	memory := os.NewFile(uintptr(fd), "perfrun-spin")
	defer memory.Close()
	if err := memory.Truncate(int64(stride * (len(order.CPUs) + 1))); err != nil {
		return nil, err
	}
	shared, err := mapBoard(fd, len(order.CPUs))
	if err != nil {
		return nil, err
	}
	s := &spinner{exec.Command("/proc/self/exe", Spin, string(text)), shared, len(order.CPUs)}
	s.command.ExtraFiles = []*os.File{memory}
	s.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	said := new(strings.Builder)
	s.command.Stderr = said
	answers, err := s.command.StdoutPipe()
	if err == nil {
		err = s.command.Start()
	}
	if err != nil {
		shared.free()
		return nil, err
	}
	ready := make(chan bool, 1)
	go func() {
		line, _ := bufio.NewReader(answers).ReadString('\n')
		ready <- line == "ready\n"
	}()
	select {
	case good := <-ready:
		if good {
			return s, nil
		}
	case <-time.After(spinReady):
	}
	s.end()
	return nil, fmt.Errorf("the child that keeps processors busy did not get ready: %s", strings.TrimSpace(said.String()))
}

// beats are when each of the child's threads was last seen to run; 0: it has not.
func (s *spinner) beats() []int64 {
	beats := make([]int64, s.cpus)
	for index := range beats {
		beats[index] = atomic.LoadInt64(s.shared.beat(index))
	}
	return beats
}

// end ends the child. One that is held back by its control group ends as soon as it is not.
func (s *spinner) end() {
	s.shared.letGo(0)
	_ = s.command.Process.Kill()
	_ = s.command.Wait()
	s.shared.free()
}

// allowed are the processors on which a task of the target may run.
func allowed(target Target) ([]int, error) {
	for _, pid := range target.PIDs {
		if cpus := affinity(pid); len(cpus) > 0 {
			return cpus, nil
		}
	}
	return nil, refuse("NoTask", "no task of container %q is seen here", target.Container)
}

// awaitAll waits until all of the child's threads have run, or for so long.
func (s *spinner) awaitAll(long time.Duration) {
	for give := node.Now() + int64(long); node.Now() < give; node.Pause(node.Now() + int64(50*time.Microsecond)) {
		if slices.Min(s.beats()) > 0 {
			return
		}
	}
}

// awaitHold waits until the child's first thread has had its processor for so long without a break, in which others left
// no processor either, and says since when. switches is how often they have.
func (s *spinner) awaitHold(long time.Duration, switches func() uint64) (int64, bool) {
	var left uint64
	var ran int64
	looked := node.Now()
	for give := looked + int64(seen); looked < give; node.Pause(node.Now() + resolution) {
		now := node.Now()
		if times := switches(); times != left {
			left, ran = times, looked
		}
		looked = now
		held := atomic.LoadInt64(s.shared.hold(0))
		since := max(held, ran)
		if held > 0 && atomic.LoadInt64(s.shared.beat(0))-since >= int64(long) {
			return since, true
		}
	}
	return 0, false
}
