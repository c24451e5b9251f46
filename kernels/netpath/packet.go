package main

import (
	"encoding/binary"
	"math"
)

// A packet begins with 64 bytes: magic, kind, whether it is plain, how many reports wait, and the session; what follows
// is by kind. A plain one is not stamped on its way out, neither way: that takes the kernel time which an application's
// packet does not need.
// All numbers are little-endian. What is beyond the 64 bytes is padding.
//
//	request, hello, ask:  16 number
//	answer:               16 number, 24 receive stamp of the request, 32 and 48 reports
//	welcome:              24 the boot's digest, 16 whether this kernel gives stamps
//	summary:              16 received, 20 duplicates, 24 reordered, 28 overflowed, 32 and 48 reports
//
// A report says when an earlier answer left: its number, when its way out of the server began (TX_SCHED), and how
// much later the driver took it (TX_SOFTWARE), which no answer can say of itself.
const magic = 0x31504e50 // PNP1

type kind uint8

const (
	request kind = iota + 1
	answer
	hello
	welcome
	ask
	summary
)

const reportsAt = 32

type packet []byte

func (p packet) init(k kind, session uint64) {
	clear(p)
	binary.LittleEndian.PutUint32(p, magic)
	p[4] = byte(k)
	binary.LittleEndian.PutUint64(p[8:], session)
}

func (p packet) valid() bool {
	return len(p) >= leastBytes && binary.LittleEndian.Uint32(p) == magic
}

func (p packet) kind() kind      { return kind(p[4]) }
func (p packet) plain() bool     { return p[5] != 0 }
func (p packet) setPlain()       { p[5] = 1 }
func (p packet) session() uint64 { return binary.LittleEndian.Uint64(p[8:]) }

func (p packet) u32(at int) uint32           { return binary.LittleEndian.Uint32(p[at:]) }
func (p packet) i64(at int) int64            { return int64(binary.LittleEndian.Uint64(p[at:])) }
func (p packet) putU32(at int, value uint32) { binary.LittleEndian.PutUint32(p[at:], value) }
func (p packet) putI64(at int, value int64)  { binary.LittleEndian.PutUint64(p[at:], uint64(value)) }

func (p packet) number() uint32       { return p.u32(16) }
func (p packet) setNumber(n uint32)   { p.putU32(16, n) }
func (p packet) stamp() int64         { return p.i64(24) }
func (p packet) setStamp(nanos int64) { p.putI64(24, nanos) }
func (p packet) waiting() int         { return int(binary.LittleEndian.Uint16(p[6:])) }
func (p packet) setWaiting(reports int) {
	binary.LittleEndian.PutUint16(p[6:], uint16(min(reports, math.MaxUint16)))
}
func (p packet) report(slot int) report    { return readReport(p[reportsAt+16*slot:]) }
func (p packet) setReport(i int, r report) { r.write(p[reportsAt+16*i:]) }

// report is of one answer: scheduled is in nanoseconds since the epoch, 0 where there is no report.
type report struct {
	number    uint32
	delay     uint32
	scheduled int64
}

func readReport(from []byte) report {
	return report{
		number: binary.LittleEndian.Uint32(from), scheduled: int64(binary.LittleEndian.Uint64(from[4:])),
		delay: binary.LittleEndian.Uint32(from[12:]),
	}
}

func (r report) write(to []byte) {
	binary.LittleEndian.PutUint32(to, r.number)
	binary.LittleEndian.PutUint64(to[4:], uint64(r.scheduled))
	binary.LittleEndian.PutUint32(to[12:], r.delay)
}

// reports are those of a session that wait to be told. Each is told twice, in answers that follow each other, so that
// one that is lost costs nothing.
type reports struct {
	waiting []report
	last    report
}

func (r *reports) add(one report) { r.waiting = append(r.waiting, one) }

// fill writes as many as there is room for.
func (r *reports) fill(p packet) {
	first, second := r.last, report{}
	if len(r.waiting) > 0 {
		first, r.waiting = r.waiting[0], r.waiting[1:]
		second = r.last
		if len(r.waiting) > 0 {
			second, r.waiting = r.waiting[0], r.waiting[1:]
		}
		r.last = first
	}
	p.setReport(0, first)
	p.setReport(1, second)
	p.setWaiting(len(r.waiting))
}
