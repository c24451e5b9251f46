package trace

import (
	"encoding/binary"
	"slices"
	"testing"
)

// page is one of the kernel's, as include/linux/ring_buffer.h describes them.
func page(t uint64, missed bool, words ...uint32) []byte {
	n := binary.NativeEndian
	raw := n.AppendUint64(nil, t)
	length := uint64(len(words) * 4)
	if missed {
		length |= 1 << 31
	}
	raw = n.AppendUint64(raw, length)
	for _, one := range words {
		raw = n.AppendUint32(raw, one)
	}
	return append(raw, make([]byte, 64)...)
}

func TestPageIsReadEventByEvent(t *testing.T) {
	type seen struct {
		t    int64
		word uint32
		size int
	}
	var got []seen
	decodePage(page(1000, true,
		2|5<<5, 11, 12, // two words, 5 ns later
		30|1<<5, 1, // 2^27 + 1 ns pass
		1|0<<5, 13, // one word, at once
		0|2<<5, 12, 14, 15, // a length of its own, which counts itself
		29|3<<5, 8, 0, // room left free
		31|7<<5, 2, // the time is 2^28 + 7
		1|1<<5, 16,
		29, 0, 1|1<<5, 99, // the rest is empty
	), func(t int64, data []byte) {
		got = append(got, seen{t, binary.NativeEndian.Uint32(data), len(data)})
	})
	want := []seen{{1005, 11, 8}, {1006 + 1<<27, 13, 4}, {1008 + 1<<27, 14, 8}, {1<<28 + 8, 16, 4}}
	if !slices.Equal(got, want) {
		t.Errorf("%v, expected %v", got, want)
	}
}

func TestCutPageIsNotReadBeyondItsEnd(t *testing.T) {
	whole := page(1000, false, 2|5<<5, 11, 12)
	for length := range 28 {
		decodePage(whole[:length], func(int64, []byte) { t.Errorf("an event in %d bytes", length) })
	}
}

func TestRingKeepsTheNewestAndCountsWhatItShouldHaveKept(t *testing.T) {
	r := newRing[record](100)
	for i := range mostKept + 50 {
		r.add(record{T: int64(i / 10000)})
	}
	if r.lost != 50 {
		t.Errorf("%d lost, expected 50", r.lost)
	}
	n := 0
	for range r.between(0, 1<<62) {
		n++
	}
	if n != mostKept {
		t.Errorf("%d are there, expected %d", n, mostKept)
	}
	old := newRing[record](1)
	for i := range mostKept + 50 {
		old.add(record{T: int64(i)})
	}
	if old.lost != 0 {
		t.Errorf("%d old ones were counted as lost", old.lost)
	}
}
