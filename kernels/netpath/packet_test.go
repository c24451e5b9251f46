package main

import "testing"

func TestReportsAreToldOnceAtLeastAndInOrder(t *testing.T) {
	told, waiting := &reports{}, 0
	var got []uint32
	p := make(packet, leastBytes)
	for number := range uint32(7) {
		told.add(report{number: number, scheduled: 1000 + int64(number), delay: number})
	}
	for waiting = 1; waiting > 0; waiting = p.waiting() {
		p.init(answer, 42)
		told.fill(p)
		for slot := range 2 {
			if r := p.report(slot); r.scheduled != 0 {
				if r.scheduled != 1000+int64(r.number) || r.delay != r.number {
					t.Fatalf("report %+v was changed on its way", r)
				}
				got = append(got, r.number)
			}
		}
	}
	seen := map[uint32]bool{}
	for _, number := range got {
		seen[number] = true
	}
	if len(seen) != 7 {
		t.Errorf("numbers %v were told; expected 0 to 6", got)
	}
}

func TestNumbersAreCountedOnceAndInTheirOrder(t *testing.T) {
	s := &session{seen: make([]uint64, (mostPackets+63)/64), highest: -1}
	for _, number := range []uint32{0, 1, 3, 2, 2, 5, mostPackets} {
		s.count(number)
	}
	if s.received != 5 || s.duplicates != 1 || s.reordered != 1 {
		t.Errorf("received %d, duplicates %d, reordered %d; expected 5, 1 and 1", s.received, s.duplicates, s.reordered)
	}
}

func TestHalfOfThePacketsArePlainWhateverEveryWhichOneIsTaken(t *testing.T) {
	for _, step := range []uint32{1, 2, 3, 4, 7, 8, 100, 128} {
		found := 0
		for index := range uint32(4000) {
			if plain(step * index) {
				found++
			}
		}
		// Six standard deviations of as many coins.
		if found < 1810 || found > 2190 {
			t.Errorf("%d of 4000 are plain where every packet number %d is taken", found, step)
		}
	}
}

func TestAClockThatWasSetSaysNothingOfAPacket(t *testing.T) {
	left := passage{scheduled: 1000}
	good := arrived{reached: 50_000, leftAt: 60_000, back: 13_000, leftIsKnown: true}
	if trip, known := roundTrip(&left, &good); !known || trip != 2000 {
		t.Errorf("the round trip is %d, %v; expected 2000 without what the server took", trip, known)
	}
	set := good
	set.back -= 1_000_000
	if trip, known := roundTrip(&left, &set); known {
		t.Errorf("a round trip of %d ns counts; expected none", trip)
	}
}
