package main

import (
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// Distribution holds times in microseconds by the segment in which a request was intended, so that a verdict on one
// step of the load never counts another's.
type Distribution struct{ segments []*hdr.Histogram }

func newDistribution(c *Config) *Distribution {
	d := &Distribution{}
	for range c.Segments {
		d.segments = append(d.segments, newHistogram())
	}
	return d
}

// newHistogram goes up to an hour with three significant digits: 0.1 % of any value.
func newHistogram() *hdr.Histogram { return hdr.New(1, int64(time.Hour/time.Microsecond), 3) }

func (d *Distribution) record(segment int, micros int64) { _ = d.segments[segment].RecordValue(micros) }

func (d *Distribution) merge(other *Distribution) {
	for index, each := range other.segments {
		d.segments[index].Merge(each)
	}
}

// total is all segments together.
func (d *Distribution) total() *hdr.Histogram {
	whole := newHistogram()
	for _, each := range d.segments {
		whole.Merge(each)
	}
	return whole
}
