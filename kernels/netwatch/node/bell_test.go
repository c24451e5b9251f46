package node

import (
	"testing"
	"time"
)

func TestABellEndsTheWaitingAtOnceOrItsTimeDoes(t *testing.T) {
	bell, err := NewBell()
	if err != nil {
		t.Fatal(err)
	}
	defer bell.Close()
	bell.Ring()
	bell.Ring()
	const long = int64(10 * time.Second)
	began := Now()
	bell.Wait(began + long)
	if spent := Now() - began; spent > long/2 {
		t.Errorf("rung before: waited for %v", time.Duration(spent))
	}
	began = Now()
	bell.Wait(began + int64(20*time.Millisecond))
	if spent := Now() - began; spent < int64(20*time.Millisecond) {
		t.Errorf("not rung since: waited for %v", time.Duration(spent))
	}
	began = Now()
	go func() {
		Pause(began + int64(20*time.Millisecond))
		bell.Ring()
	}()
	bell.Wait(began + long)
	if spent := Now() - began; spent < int64(20*time.Millisecond) || spent > long/2 {
		t.Errorf("rung meanwhile: waited for %v", time.Duration(spent))
	}
	bell.Wait(began - 1)
}
