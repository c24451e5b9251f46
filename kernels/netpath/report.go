package main

import (
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// SendReport is what `send` leaves behind. Distributions are of nanoseconds; RoundTrips are those of single packets
// through both kernels, in order of sending. Half of the packets are plain: those give the programs' round trip
// (rtt.application), the others all that is of kernels.
type SendReport struct {
	path
	SameKernel bool              `json:"same_kernel"`
	StartedAt  float64           `json:"started_at"`
	FinishedAt float64           `json:"finished_at"`
	Scheduled  int               `json:"scheduled"`
	Sent       int               `json:"sent"`
	Refused    int               `json:"refused"`
	Unsent     int               `json:"unsent"`
	Answered   int               `json:"answered"`
	Marked     int               `json:"marked"` // how many of those sent were to be stamped on their way
	Overflowed uint32            `json:"answers_overflowed"`
	Server     Summary           `json:"server"`
	Rate       float64           `json:"rate"`
	CPU        float64           `json:"cpu_seconds"`
	Histograms map[string]string `json:"histograms"`
	RoundTrips []int64           `json:"round_trips"`
}

// shortestNanos is what a distribution shows of less: HdrHistogram has no zero, and no use for one here.
const shortestNanos = 1

func (s *sender) report(cpu float64) (*SendReport, error) {
	way, err := s.socket.path()
	if err != nil {
		return nil, err
	}
	heard := s.receiver.heard()
	report := &SendReport{
		path: way, SameKernel: heard.sameKernel, StartedAt: float64(s.epoch) / 1e9, Scheduled: len(s.packets), Sent: s.sent,
		Refused: s.refused, Unsent: len(s.packets) - s.sent - s.refused, Answered: heard.answered, Marked: s.marking,
		Overflowed: heard.dropped - s.droppedWas, Server: *heard.summary, CPU: cpu, RoundTrips: []int64{},
		FinishedAt: float64(s.epoch+s.ended) / 1e9,
		Rate:       float64(s.sent) / max(s.config.Seconds, float64(s.ended)/1e9),
	}
	distributions := map[string]*hdr.Histogram{}
	for _, name := range []string{"rtt.kernel", "rtt.application", "qdisc.client", "qdisc.server", "server", "lateness"} {
		distributions[name] = hdr.New(shortestNanos, int64(time.Minute), 3)
	}
	note := func(name string, nanos int64) { _ = distributions[name].RecordValue(max(nanos, shortestNanos)) }
	for _, late := range s.lateness {
		note("lateness", late)
	}
	for index := range s.packets {
		p, a := &s.packets[index], &s.receiver.answers[index]
		if a.got != 0 && plain(uint32(index)) {
			note("rtt.application", a.got-p.sent)
		}
		if p.taken != 0 {
			note("qdisc.client", p.taken-p.scheduled)
		}
		if a.leftIsKnown {
			note("qdisc.server", int64(a.leftDelay))
		}
		if trip, known := roundTrip(p, a); known {
			note("rtt.kernel", trip)
			note("server", a.leftAt-a.reached)
			report.RoundTrips = append(report.RoundTrips, trip)
		}
	}
	report.Histograms, err = encode(distributions)
	return report, err
}

// roundTrip is the time between both kernels' queueing disciplines and receive paths, there and back. What the server
// took is left out by its own clock, so that the two clocks need not agree. A clock that was set meanwhile shows in a
// time that is not positive: such a packet says nothing.
func roundTrip(p *passage, a *arrived) (int64, bool) {
	if p.scheduled == 0 || a.reached == 0 || !a.leftIsKnown || a.back == 0 {
		return 0, false
	}
	trip := (a.back - p.scheduled) - (a.leftAt - a.reached)
	return trip, trip > 0
}

func encode(distributions map[string]*hdr.Histogram) (map[string]string, error) {
	encoded := map[string]string{}
	for name, each := range distributions {
		text, err := each.Encode(hdr.V2CompressedEncodingCookieBase)
		if err != nil {
			return nil, err
		}
		encoded[name] = string(text)
	}
	return encoded, nil
}
