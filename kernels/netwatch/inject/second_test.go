package inject

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"perfrun.dev/netwatch/internal/bed"
	"perfrun.dev/netwatch/node"
)

func TestTheFreezerOfVersion2HoldsAnswersUpAndIsTakenBack(t *testing.T) {
	bed.Second(t)
	holdsUpAndIsTakenBack(t, Freezer)
}

func TestTheGuardThawsAGroupOfVersion2(t *testing.T) {
	bed.Second(t)
	b := bed.New(t)
	record, path := killed(t, Freezer, targetOf(t, b), func(watch, _ int) {
		if group := b.Group("freezer"); group.Version != 2 || !frozen(group) {
			t.Errorf("%+v is not frozen", group)
		}
		_ = syscall.Kill(watch, syscall.SIGKILL)
	})
	if len(record.Files) != 1 || record.Files[0].File != "cgroup.freeze" {
		t.Errorf("%+v", record)
	}
	eventually(t, "the guard has thawed the container", 5*time.Second, func() bool {
		_, err := os.Stat(path)
		return errors.Is(err, fs.ErrNotExist) && Left(record) == nil && !frozen(b.Group("freezer"))
	})
	eventually(t, "the server answers", 5*time.Second, func() bool { return b.Answers(time.Second) })
}

func TestAHogNeedsNoControllerOfVersion2(t *testing.T) {
	bed.Second(t)
	holdsUpAndIsTakenBack(t, Hog)
}

func TestAQuotaOfVersion2IsRefusedOrHoldsUp(t *testing.T) {
	if bed.Offers(bed.Second(t), "cpu") {
		holdsUpAndIsTakenBack(t, Quota)
		return
	}
	b := bed.New(t)
	look := &around{}
	runner, err := NewRunner(faultOf("second"), look)
	if err != nil {
		t.Fatal(err)
	}
	if err := runner.Make(context.Background(), Quota, 0, targetOf(t, b), 50*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if len(look.told) != 1 || look.told[0].Type != "refused" || look.told[0].Reason != "NoQuota" {
		t.Errorf("told %+v, expected NoQuota", look.told)
	}
	if err := runner.Close(); err != nil {
		t.Error(err)
	}
}

// The kernel's own answer to these writes needs a controller that version 1 may have taken: here is what is written.
func TestAQuotaOfVersion2IsWrittenAndWrittenBack(t *testing.T) {
	for before, want := range map[string][3]string{
		"max 100000":   {"400000 20000", "1000", "max 100000"},
		"50000 100000": {"50000 100000", "1000", "50000 100000"},
	} {
		group := node.Group{Path: t.TempDir(), Version: 2}
		if err := os.WriteFile(filepath.Join(group.Path, "cpu.max"), []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		q, record := quota{group: group}, Record{}
		var err error
		if record.Files, err = save(group, "cpu.max"); err != nil {
			t.Fatal(err)
		}
		for step, do := range []func() error{
			func() error { return q.shorten(&record, mostPeriod, 2) },
			func() error { return q.limit(quotaMicros) },
			func() error { return q.release(&record) },
		} {
			if err := do(); err != nil {
				t.Fatal(err)
			}
			if now, _ := group.Read("cpu.max"); now != want[step] {
				t.Errorf("%s, step %d: %q, expected %q", before, step, now, want[step])
			}
		}
	}
}
