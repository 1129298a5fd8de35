//! Full functional translation: begin, configuration, TLB or walk and fill, permissions, end.

use super::Order;
use crate::draw::Hash;
use crate::layout::{self, IOVA, PAGE, Stages};
use crate::machine::{Machine, Plan};
use crate::measure::{Measured, Workload, joined, timed_on_threads};
use crate::peer::{Peer, PeerStream};
use smmu_arch::{Access, Direction, Iova, PortId, StreamId, Transaction};
use smmu_bus::{Observer, Ram};
use smmu_device::Port;
use std::marker::PhantomData;
use std::sync::Arc;

/// Translations by Smmulator, one port a thread.
pub struct Translate<R, O: Observer> {
    machine: Machine,
    ports: Vec<Port<O>>,
    pages: u64,
    order: PhantomData<fn() -> R>,
}

impl<R: Order, O: Observer + Default + Send> Translate<R, O> {
    /// The streams of `plan`, each translated for every page once before it is measured.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let machine = Machine::new(plan);
        let port = |thread: usize| {
            let smmu = Arc::clone(&machine.smmu);
            let mut port =
                Port::new(smmu, PortId(thread as u16), O::default()).expect("a port a stream");
            for page in 0..plan.pages {
                translate(&mut port, &machine.ram, thread, IOVA + page * PAGE);
            }
            port
        };
        let ports = (0..plan.streams).map(port).collect();
        Self { machine, ports, pages: plan.pages, order: PhantomData }
    }

    /// What the observer of a thread's port came to.
    pub fn observer(&mut self, thread: usize) -> &mut O {
        self.ports[thread].observer()
    }
}

#[inline(always)]
fn translate<O: Observer>(port: &mut Port<O>, ram: &Ram, thread: usize, iova: u64) -> u64 {
    let transaction = Transaction {
        stream: StreamId(u32::from(layout::stream(thread))),
        substream: None,
        iova: Iova(iova),
        access: Access::data(Direction::Read),
    };
    let outcome = port.translate(ram, &transaction);
    port.end();
    outcome.expect("a mapped page").output.0
}

impl<R: Order, O: Observer + Send> Workload for Translate<R, O> {
    fn run(&mut self, operations: u64) -> Measured {
        let (ram, pages) = (&self.machine.ram, self.pages);
        timed_on_threads(&mut self.ports, operations, |port, thread, share| {
            let (mut order, mut hash) = (R::new(thread, pages), Hash::default());
            (0..share).for_each(|_| hash.add(translate(port, ram, thread, order.iova())));
            hash
        })
    }

    fn expected(&self, operations: u64) -> u64 {
        expected::<R>(self.ports.len(), self.pages, operations)
    }
}

/// Translations by the peer, one stream a thread.
pub struct PeerTranslate<R> {
    peer: Peer,
    streams: Vec<PeerStream>,
    pages: u64,
    order: PhantomData<fn() -> R>,
}

impl<R: Order> PeerTranslate<R> {
    /// As [`Translate::new`].
    #[must_use]
    pub fn new(tlb_entries: usize, streams: usize, stages: Stages, pages: u64) -> Self {
        let peer = Peer::new(tlb_entries, streams, stages, pages);
        let streams: Vec<_> = (0..streams).map(PeerStream::new).collect();
        for stream in &streams {
            for page in 0..pages {
                peer.translate(stream, IOVA + page * PAGE);
            }
        }
        Self { peer, streams, pages, order: PhantomData }
    }
}

impl<R: Order> Workload for PeerTranslate<R> {
    fn run(&mut self, operations: u64) -> Measured {
        let (peer, pages) = (&self.peer, self.pages);
        timed_on_threads(&mut self.streams, operations, |stream, thread, share| {
            let (mut order, mut hash) = (R::new(thread, pages), Hash::default());
            (0..share).for_each(|_| hash.add(peer.translate(stream, order.iova())));
            hash
        })
    }

    fn expected(&self, operations: u64) -> u64 {
        expected::<R>(self.streams.len(), self.pages, operations)
    }
}

/// What the mappings call for.
fn expected<R: Order>(threads: usize, pages: u64, operations: u64) -> u64 {
    let share = operations.div_ceil(threads as u64);
    joined((0..threads).map(|thread| {
        let (mut order, mut hash) = (R::new(thread, pages), Hash::default());
        (0..share).for_each(|_| hash.add(super::output_of(order.next(), pages)));
        hash
    }))
}
