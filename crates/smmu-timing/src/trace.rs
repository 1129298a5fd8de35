//! What happened when, for the Perfetto UI: tracks with slices and counters.
//!
//! The file is a protocol buffer, `perfetto.protos.Trace`, made of `TrackEvent`s. Its clock counts
//! nanoseconds; what is shorter is shown as nothing.

use crate::Moment;
use crate::account::Part;
use crate::actors::Transaction;
use std::collections::BTreeMap;

/// A trace under way.
#[derive(Clone, Default, Debug)]
pub struct Trace {
    tracks: BTreeMap<Track, u64>,
    events: Vec<Event>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Track {
    /// Slices, by name and number.
    Slices(String, usize),
    Counter(String),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Kind {
    // Of one moment, ends come before begins.
    End,
    Count(u64),
    Begin(&'static str),
}

#[derive(Clone, Copy, Debug)]
struct Event {
    ns: u64,
    track: u64,
    kind: Kind,
}

impl Trace {
    fn track(&mut self, track: Track) -> u64 {
        let next = self.tracks.len() as u64 + 1;
        *self.tracks.entry(track).or_insert(next)
    }

    /// Something took from one moment to another.
    pub(crate) fn slice(
        &mut self,
        track: &str,
        number: usize,
        name: &'static str,
        from: Moment,
        to: Moment,
    ) {
        let track = self.track(Track::Slices(track.to_owned(), number));
        self.push_slice(track, name, from.ns(), to.ns());
    }

    fn push_slice(&mut self, track: u64, name: &'static str, from: u64, to: u64) {
        if from < to {
            self.events.push(Event { ns: from, track, kind: Kind::Begin(name) });
            self.events.push(Event { ns: to, track, kind: Kind::End });
        }
    }

    /// A number changed.
    pub(crate) fn count(&mut self, track: &str, value: u64, now: Moment) {
        let track = self.track(Track::Counter(track.to_owned()));
        self.events.push(Event { ns: now.ns(), track, kind: Kind::Count(value) });
    }

    /// A transaction ended: how long each part of it was, one after the other.
    pub(crate) fn transaction(
        &mut self,
        track: &str,
        lane: usize,
        ended: &Transaction,
        now: Moment,
    ) {
        let track = self.track(Track::Slices(track.to_owned(), lane));
        let mut from = ended.begun;
        for part in Part::ALL {
            let to = from + ended.split.of(part);
            self.push_slice(track, part.name(), from.ns(), to.ns().min(now.ns()));
            from = to;
        }
    }

    /// The file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut file = Vec::new();
        for (track, &uuid) in &self.tracks {
            let mut descriptor = Vec::new();
            field(&mut descriptor, 1, uuid);
            match track {
                Track::Slices(name, number) => {
                    text(&mut descriptor, 2, &format!("{name} {number}"))
                }
                Track::Counter(name) => {
                    text(&mut descriptor, 2, name);
                    message(&mut descriptor, 8, &[]);
                }
            }
            packet(&mut file, None, 60, &descriptor);
        }
        let mut events: Vec<&Event> = self.events.iter().collect();
        events.sort_by_key(|event| (event.ns, event.kind));
        for event in events {
            packet(&mut file, Some(event.ns), 11, &track_event(event));
        }
        file
    }
}

fn track_event(event: &Event) -> Vec<u8> {
    let mut out = Vec::new();
    let kind = match event.kind {
        Kind::Begin(_) => 1,
        Kind::End => 2,
        Kind::Count(_) => 4,
    };
    field(&mut out, 9, kind);
    field(&mut out, 11, event.track);
    match event.kind {
        Kind::Begin(name) => text(&mut out, 23, name),
        Kind::Count(value) => field(&mut out, 30, value),
        Kind::End => {}
    }
    out
}

/// Field 1 of a `Trace`: a `TracePacket`.
fn packet(file: &mut Vec<u8>, ns: Option<u64>, number: u64, content: &[u8]) {
    let mut packet = Vec::new();
    if let Some(ns) = ns {
        field(&mut packet, 8, ns);
    }
    field(&mut packet, 10, 1);
    message(&mut packet, number, content);
    message(file, 1, &packet);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn field(out: &mut Vec<u8>, number: u64, value: u64) {
    varint(out, number << 3);
    varint(out, value);
}

fn message(out: &mut Vec<u8>, number: u64, content: &[u8]) {
    varint(out, number << 3 | 2);
    varint(out, content.len() as u64);
    out.extend_from_slice(content);
}

fn text(out: &mut Vec<u8>, number: u64, text: &str) {
    message(out, number, text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes by hand, from the field numbers of Perfetto's published definitions.
    #[test]
    fn a_slice_is_a_track_a_begin_and_an_end() {
        let mut trace = Trace::default();
        trace.slice("a", 0, "walk", Moment::from_ns(3), Moment::from_ns(300));
        let expected: &[u8] = &[
            0x0a, 12, 0x50, 1, 0xe2, 0x03, 7, 0x08, 1, 0x12, 3, b'a', b' ', b'0', //
            0x0a, 17, 0x40, 3, 0x50, 1, 0x5a, 11, 0x48, 1, 0x58, 1, 0xba, 0x01, 4, b'w', b'a',
            b'l', b'k', //
            0x0a, 11, 0x40, 0xac, 0x02, 0x50, 1, 0x5a, 4, 0x48, 2, 0x58, 1,
        ];
        assert_eq!(trace.encode(), expected);
    }

    #[test]
    fn what_is_shorter_than_the_clock_is_left_out() {
        let mut trace = Trace::default();
        trace.slice("a", 0, "walk", Moment(3000), Moment(3999));
        trace.count("b", 2, Moment::from_ns(1));
        assert_eq!(trace.events.len(), 1);
    }
}
