package inject

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"

	"perfrun.dev/netwatch/node"
)

// look is how often the guard looks at the journal.
const look = 10 * time.Millisecond

// patience is for how long the guard tries again what did not succeed.
const patience = 30 * time.Second

// Guard is the child process that undoes what is left when this one cannot.
type Guard struct {
	Process Process
	line    interface{ Close() error }
	ended   chan struct{}
}

// StartGuard starts it and waits until it stands outside of this container's control groups.
func StartGuard(journal string) (*Guard, error) {
	command := exec.Command("/proc/self/exe", "guard", journal)
	// The guard learns of this process's end by the end of its input.
	line, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	answers, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	command.Stderr = os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("the guard did not start: %w", err)
	}
	g := &Guard{Process{command.Process.Pid, node.Born(command.Process.Pid)}, line, make(chan struct{})}
	answer, err := bufio.NewReader(answers).ReadString('\n')
	go func() {
		_ = command.Wait()
		close(g.ended)
	}()
	if err != nil || answer != "ready\n" {
		g.Close()
		return nil, fmt.Errorf("the guard did not get ready: %q", answer)
	}
	return g, nil
}

// Alive tells whether the guard still stands by.
func (g *Guard) Alive() bool {
	select {
	case <-g.ended:
		return false
	default:
		return true
	}
}

// Close lets the guard go, and waits for its end.
func (g *Guard) Close() {
	_ = g.line.Close()
	<-g.ended
}

// RunGuard stands by a journal: what is still open when the watch is gone, or at a record's time, is undone.
func RunGuard(path string) error {
	groups, err := node.ReadHierarchies()
	if err == nil {
		err = groups.Leave()
	}
	if err != nil {
		return fmt.Errorf("the guard cannot leave the container's control groups, and would end with it: %w", err)
	}
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE)
	runtime.LockOSThread()
	// Without it a processor that a spike keeps busy delays the guard, but does not stop it.
	_ = node.RealTime(node.PriorityObserve)
	var gone sync.WaitGroup
	ended := make(chan struct{})
	gone.Go(func() {
		_, _ = os.Stdin.Read(make([]byte, 1))
		close(ended)
	})
	fmt.Println("ready")
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for {
		select {
		case <-ended:
			return clear(path, patience)
		case <-ticker.C:
			undoOverdue(path)
		}
	}
}

// undoOverdue undoes what should be over by now, of a watch that lives but is held up.
func undoOverdue(path string) {
	journal, err := ReadJournal(path)
	if err != nil {
		return
	}
	for _, record := range journal.Open {
		if node.Now() > record.UndoBy {
			_ = Undo(record)
		}
	}
}

// clear undoes all that a journal holds and removes it, and tries again for so long.
func clear(path string, patience time.Duration) error {
	for give := time.Now().Add(patience); ; time.Sleep(look) {
		left, err := undoJournal(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && left == nil {
			return RemoveJournal(path)
		}
		if time.Now().After(give) {
			// The journal stays, for whoever looks next.
			return errors.Join(err, left)
		}
	}
}

func undoJournal(path string) (left, err error) {
	journal, err := ReadJournal(path)
	if err != nil {
		return nil, err
	}
	if journal.Boot != node.Boot() {
		return nil, nil
	}
	for _, record := range journal.Open {
		if failed := Undo(record); failed != nil {
			left = errors.Join(left, failed)
		}
		if still := Left(record); still != nil {
			left = errors.Join(left, still)
		}
	}
	return left, nil
}
