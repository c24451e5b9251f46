package inject

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"perfrun.dev/netwatch/internal/bed"
	"perfrun.dev/netwatch/node"
	"perfrun.dev/netwatch/topology"
)

const makeSpike = "make-spike"

// TestMain lets the test's own program be the server, the guard, the child that spins, and a watch that is killed.
func TestMain(m *testing.M) {
	bed.Adopt()
	if len(os.Args) > 2 || (len(os.Args) == 2 && os.Args[1] == bed.Serve) {
		switch os.Args[1] {
		case bed.Serve:
			bed.RunServer()
		case "guard":
			exit(RunGuard(os.Args[2]))
		case Spin:
			exit(RunSpin(os.Args[2]))
		case makeSpike:
			exit(spikeOf(os.Args[2]))
		}
	}
	os.Exit(m.Run())
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// around lets a test look while a spike lasts.
type around struct {
	told   []Told
	during func()
}

func (a *around) Quiet(context.Context) (func(), error) { return func() {}, nil }
func (a *around) Calm(context.Context) error            { return nil }
func (a *around) Tell(told Told) {
	a.told = append(a.told, told)
	if told.Type == "inject" && a.during != nil {
		a.during()
	}
}

func targetOf(t *testing.T, b *bed.Bed) Target {
	seen, err := topology.Read(nil)
	if err != nil {
		t.Fatal(err)
	}
	space, found := seen.Find(bed.IP)
	if !found {
		t.Fatalf("the pod is not seen among %d namespaces", len(seen.Spaces))
	}
	return Target{
		IP: bed.IP, Port: bed.Port, Container: b.Container, Cgroup: b.Cgroup, PIDs: []int{b.PID}, Node: b.Node, Space: space,
	}
}

func faultOf(kind string) string { return fmt.Sprintf("test-%d-%s", os.Getpid(), kind) }

// held is for how long a spike has to keep an answer back to be one.
const held = 15 * time.Millisecond

// gentle is within what an answer comes after the end of a spike in which nothing was lost: what was lost is sent again
// 200 ms after the first time.
const gentle = 100 * time.Millisecond

func TestEachKindHoldsAnswersUpAndIsTakenBack(t *testing.T) {
	for _, kind := range Kinds {
		t.Run(kind, func(t *testing.T) { holdsUpAndIsTakenBack(t, kind) })
	}
}

func holdsUpAndIsTakenBack(t *testing.T, kind string) {
	b := bed.New(t)
	_ = node.RealTime(node.PriorityObserve)
	if !b.Answers(time.Second) {
		t.Fatal("the server does not answer to begin with")
	}
	var record Record
	var pending *bed.Pending
	looks := 0
	look := &around{}
	runner, err := NewRunner(faultOf(kind), look)
	if err != nil {
		t.Fatal(err)
	}
	look.during = func() {
		journal, err := ReadJournal(runner.path)
		if err != nil || len(journal.Open) != 1 {
			t.Errorf("the spike is not in the journal: %+v, %v", journal, err)
			return
		}
		record = journal.Open[0]
		looks++
		// The quota's container gets a millisecond in each period, and may answer then.
		within := held
		if kind == Quota {
			within = 5 * time.Millisecond
		}
		pending = b.Held(within)
	}
	for round := range 4 {
		look.told, looks = nil, 0
		if err := runner.Make(context.Background(), kind, round, targetOf(t, b), 60*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if kind != Hog && kind != Quota || pending != nil {
			break
		}
		// Once a second Linux lets ordinary tasks go before real-time ones, for up to 50 ms, and a quota lets a task run
		// for a while: either may have been now.
		time.Sleep(300 * time.Millisecond)
	}
	if looks != 1 || pending == nil {
		t.Fatalf("answers came all the same: %+v", look.told)
	}
	if len(look.told) != 2 || look.told[1].Type != "undo" {
		t.Fatalf("told %+v; expected inject, then undo", look.told)
	}
	inject, undo := look.told[0], look.told[1]
	if inject.At < inject.Ordered || undo.At-inject.At < int64(60*time.Millisecond) {
		t.Errorf("ordered, in effect and undone at %d, %d, %d", inject.Ordered, inject.At, undo.At)
	}
	if err := Left(record); err != nil {
		t.Error(err)
	}
	took, err := pending.Awaited(3 * time.Second)
	if err != nil || (took > gentle && kind != Drop) {
		t.Errorf("what was held up was answered %v after the end (%v): it was lost, and sent again", took, err)
	}
	if !b.Answers(time.Second) {
		t.Error("the server does not answer afterwards")
	}
	if err := runner.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(runner.path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the journal is still there: %v", err)
	}
}

// order is what a watch that is to be killed is told.
type order struct {
	Kind   string
	Target Target
}

// spikeOf is that watch: it makes a spike and says when it is in effect.
func spikeOf(text string) error {
	var given order
	if err := json.Unmarshal([]byte(text), &given); err != nil {
		return err
	}
	runtime.LockOSThread()
	_ = node.RealTime(node.PriorityObserve)
	told := &around{during: func() { fmt.Println("inject") }}
	runner, err := NewRunner(faultOf(given.Kind), told)
	if err != nil {
		return err
	}
	err = runner.Make(context.Background(), given.Kind, 0, given.Target, 400*time.Millisecond)
	return errors.Join(err, fmt.Errorf("not killed: %+v", told.told))
}

// killed starts a watch that makes a spike, and does to it and its guard what is asked while the spike lasts. The
// record is the journal's.
func killed(t *testing.T, kind string, target Target, end func(watch, guard int)) (Record, string) {
	t.Helper()
	text, err := json.Marshal(order{kind, target})
	if err != nil {
		t.Fatal(err)
	}
	watch := exec.Command("/proc/self/exe", makeSpike, string(text))
	watch.Stderr = os.Stderr
	out, err := watch.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = watch.Process.Kill()
		_ = watch.Wait()
	}()
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "inject\n" {
		t.Fatalf("the spike was not made: %q", line)
	}
	path, err := JournalPath(fmt.Sprintf("test-%d-%s", watch.Process.Pid, kind))
	if err != nil {
		t.Fatal(err)
	}
	journal, err := ReadJournal(path)
	if err != nil || len(journal.Open) != 1 {
		t.Fatalf("the spike is not in the journal: %+v, %v", journal, err)
	}
	end(journal.Watch.PID, journal.Guard.PID)
	return journal.Open[0], path
}

func eventually(t *testing.T, what string, long time.Duration, is func() bool) {
	t.Helper()
	for give := time.Now().Add(long); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(give) {
			t.Fatalf("not within %v: %s", long, what)
		}
	}
}

func TestTheGuardUndoesWhatAKilledWatchLeft(t *testing.T) {
	for _, kind := range Kinds {
		t.Run(kind, func(t *testing.T) {
			b := bed.New(t)
			record, path := killed(t, kind, targetOf(t, b), func(watch, _ int) { _ = syscall.Kill(watch, syscall.SIGKILL) })
			eventually(t, "the guard has undone the spike", 5*time.Second, func() bool {
				_, err := os.Stat(path)
				return errors.Is(err, fs.ErrNotExist) && Left(record) == nil
			})
			eventually(t, "the server answers", 5*time.Second, func() bool { return b.Answers(time.Second) })
		})
	}
}

func TestTheGuardUndoesAtTheTimeOfTheRecordWhereTheWatchIsHeldUp(t *testing.T) {
	b := bed.New(t)
	var stopped int
	record, path := killed(t, Freezer, targetOf(t, b), func(watch, _ int) {
		stopped = watch
		_ = syscall.Kill(watch, syscall.SIGSTOP)
		eventually(t, "the container runs again", 5*time.Second, func() bool {
			return !frozen(b.Group("freezer"))
		})
	})
	if Left(record) != nil || !b.Answers(time.Second) {
		t.Errorf("the container does not run again: %v", Left(record))
	}
	if node.Now() < record.UndoBy {
		t.Errorf("undone %v before its time", time.Duration(record.UndoBy-node.Now()))
	}
	eventually(t, fmt.Sprintf("the guard of the watch %d has ended", stopped), 5*time.Second, func() bool {
		_, err := os.Stat(path)
		return errors.Is(err, fs.ErrNotExist)
	})
}

func TestUndoRemovesWhatIsLeftWhenWatchAndGuardAreKilled(t *testing.T) {
	for _, kind := range Kinds {
		t.Run(kind, func(t *testing.T) {
			b := bed.New(t)
			record, path := killed(t, kind, targetOf(t, b), func(watch, guard int) {
				_ = syscall.Kill(guard, syscall.SIGKILL)
				_ = syscall.Kill(watch, syscall.SIGKILL)
			})
			swept, err := Sweep("")
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, each := range swept.Found {
				found = found || each.Kind == kind
			}
			if !found || len(swept.Left) > 0 || Left(record) != nil {
				t.Errorf("%+v, left %v", swept, Left(record))
			}
			if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the journal is still there: %v", err)
			}
			eventually(t, "the server answers", 5*time.Second, func() bool { return b.Answers(time.Second) })
		})
	}
}

func TestUndoFindsWhatIsInNoJournal(t *testing.T) {
	for _, kind := range []string{TBF, NFQueue, Drop} {
		t.Run(kind, func(t *testing.T) {
			b := bed.New(t)
			_, path := killed(t, kind, targetOf(t, b), func(watch, guard int) {
				_ = syscall.Kill(guard, syscall.SIGKILL)
				_ = syscall.Kill(watch, syscall.SIGKILL)
			})
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			found := false
			for _, each := range sweep(t).Found {
				found = found || each.Kind == kind
			}
			if again := sweep(t); !found || len(again.Found) > 0 || len(again.Left) > 0 {
				t.Errorf("found %v, and again %+v", found, again)
			}
			eventually(t, "the server answers", 5*time.Second, func() bool { return b.Answers(time.Second) })
		})
	}
}

func sweep(t *testing.T) Swept {
	t.Helper()
	swept, err := Sweep("")
	if err != nil {
		t.Fatal(err)
	}
	return swept
}

func TestUndoLeavesAWatchAloneThatRuns(t *testing.T) {
	b := bed.New(t)
	_, _ = killed(t, Freezer, targetOf(t, b), func(watch, _ int) {
		fault := "test-" + strconv.Itoa(watch) + "-" + Freezer
		if swept := sweep(t); len(swept.Busy) == 0 || len(swept.Found) > 0 {
			t.Errorf("%+v", swept)
		}
		swept, err := Sweep(fault)
		if err != nil || len(swept.Left) > 0 {
			t.Errorf("%+v, %v", swept, err)
		}
		if !b.Answers(time.Second) {
			t.Error("the container does not run again")
		}
	})
}

func TestASpikeIsRefusedWhereItCannotBe(t *testing.T) {
	b := bed.New(t)
	whole := targetOf(t, b)
	host, bare, nowhere := whole, whole, whole
	host.Host, bare.Cgroup, nowhere.Space.Ifindex = true, "/", 0
	cases := []struct {
		kind, reason string
		target       Target
	}{
		{TBF, "HostNetwork", host},
		{NFQueue, "HostNetwork", host},
		{Drop, "HostNetwork", host},
		{TBF, "NoVeth", nowhere},
		{Quota, "NoCgroup", bare},
		{Freezer, "NoCgroup", bare},
		{Hog, "NoCgroup", bare},
	}
	look := &around{}
	runner, err := NewRunner(faultOf("refused"), look)
	if err != nil {
		t.Fatal(err)
	}
	for _, each := range cases {
		if err := runner.Make(context.Background(), each.kind, 0, each.target, 50*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if last := look.told[len(look.told)-1]; last.Type != "refused" || last.Reason != each.reason {
			t.Errorf("%s: told %+v, expected %s", each.kind, last, each.reason)
		}
	}
	if err := runner.Close(); err != nil {
		t.Error(err)
	}
}
