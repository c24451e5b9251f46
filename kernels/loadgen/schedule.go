package main

import (
	"math"
	"math/rand/v2"
)

// Schedule says when requests are due. It is settled before the first one is sent and depends on nothing that the
// server does: that is what open loop means.
//
// Time is rescaled: in units of expected arrivals every schedule has rate 1, so that one stream of arrivals (evenly
// spaced, or a Poisson process) serves any sequence of segments, and the steps between them are exact.
type Schedule struct {
	segments []Segment
	total    float64 // expected arrivals of all shards together
}

func newSchedule(segments []Segment) *Schedule {
	s := &Schedule{segments: segments}
	for _, segment := range segments {
		s.total += segment.Seconds * segment.Rate
	}
	return s
}

// Stream is the part of a schedule that one loop of one shard sends.
//
// Poisson processes add up: each stream draws its own, from its own seed, at its share of the rate. Evenly spaced
// arrivals are dealt out in turn.
type Stream struct {
	schedule *Schedule
	random   *rand.Rand // nil for evenly spaced arrivals
	share    float64
	at       float64 // position in expected arrivals of all streams
	segment  int
	before   float64 // expected arrivals before the segment
	begun    float64 // seconds before the segment
}

func (s *Schedule) stream(poisson bool, seed uint64, index, streams int) *Stream {
	stream := &Stream{schedule: s, share: float64(streams)}
	if poisson {
		stream.random = rand.New(rand.NewPCG(seed, uint64(index)))
		stream.at = stream.random.ExpFloat64() * stream.share
	} else {
		stream.at = float64(index)
	}
	return stream
}

// next returns the intended time of the next request in nanoseconds after the start, and false after the last.
func (s *Stream) next() (int64, bool) {
	if s.at >= s.schedule.total*(1-1e-12) {
		return 0, false
	}
	for {
		segment := s.schedule.segments[s.segment]
		expected := segment.Seconds * segment.Rate
		if s.at < s.before+expected {
			seconds := s.begun + (s.at-s.before)/segment.Rate
			s.advance()
			return int64(math.Round(seconds * 1e9)), true
		}
		if s.segment+1 == len(s.schedule.segments) {
			return 0, false
		}
		s.before += expected
		s.begun += segment.Seconds
		s.segment++
	}
}

// gap is the mean time between requests, in nanoseconds, where the stream has come to.
func (s *Stream) gap() float64 {
	return 1e9 * s.share / s.schedule.segments[s.segment].Rate
}

func (s *Stream) advance() {
	if s.random == nil {
		s.at += s.share
	} else {
		s.at += s.random.ExpFloat64() * s.share
	}
}
