package node

import "testing"

func TestClocksAreComparedWhereNothingCameBetweenTheReadings(t *testing.T) {
	const apart, heldUp = 1_000_000_007, 3_000_000
	readings, now := 0, int64(0)
	// Each reading takes 50 ns, and after almost every one the reader is held up.
	read := func() int64 {
		now += 50
		at := now
		if readings++; readings%17 != 0 && readings%17 != 1 && readings%17 != 2 {
			now += heldUp
		}
		return at
	}
	found := ahead(func() int64 { return apart + read() }, read)
	if off := found - apart; off < -100 || off > 100 {
		t.Errorf("%d ns ahead, and said to be %d", int64(apart), found)
	}
}

func TestNowIsTheKernelsMonotonicClock(t *testing.T) {
	for range 1000 {
		before := monotonic()
		now := Now()
		// The two are compared to a few hundred nanoseconds.
		if after := monotonic(); now < before-10_000 || now > after+10_000 {
			t.Fatalf("between %d and %d it was said to be %d", before, after, now)
		}
	}
}
