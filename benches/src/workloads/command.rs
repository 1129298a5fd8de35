//! Commands by the real interface: entries stored, doorbell rung, queue consumed.

use super::{AtRandom, Order};
use crate::draw::Hash;
use crate::layout::{self, IOVA, PAGE, Stages};
use crate::machine::{Machine, Plan};
use crate::measure::{Measured, Workload, timed};
use crate::peer::{Peer, PeerStream};
use smmu_arch::{
    Access, Asid, CmdSync, Command, Direction, Iova, PortId, StreamId, TlbiRange, TlbiVa,
    Transaction, Vmid,
};
use smmu_device::{Port, Progress};
use std::sync::Arc;

/// Commands of one operation: CMD_TLBI_NH_VA and CMD_SYNC.
const COMMANDS: u64 = 2;

/// CMD_TLBI_NH_VA of pages that the TLB does not hold, while it is full of others; CMD_SYNC.
pub struct Commands {
    machine: Machine,
    pages: u64,
}

impl Commands {
    /// The TLB of `plan`, filled with every page of its first stream.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let machine = Machine::new(plan);
        let mut port = Port::new(Arc::clone(&machine.smmu), PortId(0), ()).expect("a port");
        for page in 0..plan.pages {
            let transaction = Transaction {
                stream: StreamId(u32::from(layout::stream(0))),
                substream: None,
                iova: Iova(IOVA + page * PAGE),
                access: Access::data(Direction::Read),
            };
            port.translate(&machine.ram, &transaction).expect("a mapped page");
            port.end();
        }
        Self { machine, pages: plan.pages }
    }
}

/// A page behind the working set.
#[inline(always)]
fn absent(order: &mut AtRandom, pages: u64) -> u64 {
    (order.iova() + pages * PAGE) & !(PAGE - 1)
}

impl Workload for Commands {
    fn run(&mut self, operations: u64) -> Measured {
        let (machine, pages) = (&mut self.machine, self.pages);
        let mut order = AtRandom::new(0, pages);
        let id = layout::stream(0);
        timed(operations, |operations| {
            let mut hash = Hash::default();
            for _ in 0..operations {
                let range = TlbiRange::single(absent(&mut order, pages), true);
                let tlbi = TlbiVa { vmid: Vmid(id), asid: Asid(id), range };
                let commands = [Command::TlbiNhVa(tlbi), Command::Sync(CmdSync::POLLED)];
                let consumed = match machine.submit(&commands) {
                    Progress::Idle => COMMANDS,
                    Progress::Pending(_) => 0,
                };
                hash.add(consumed);
            }
            hash
        })
    }

    fn expected(&self, operations: u64) -> u64 {
        expected(operations)
    }
}

/// The same by the peer.
pub struct PeerCommands {
    peer: Peer,
    pages: u64,
}

impl PeerCommands {
    /// As [`Commands::new`].
    #[must_use]
    pub fn new(tlb_entries: usize, pages: u64) -> Self {
        let peer = Peer::new(tlb_entries, 1, Stages::One, pages);
        let stream = PeerStream::new(0);
        for page in 0..pages {
            peer.translate(&stream, IOVA + page * PAGE);
        }
        Self { peer, pages }
    }
}

impl Workload for PeerCommands {
    fn run(&mut self, operations: u64) -> Measured {
        let (peer, pages) = (&self.peer, self.pages);
        let mut order = AtRandom::new(0, pages);
        timed(operations, |operations| {
            let mut hash = Hash::default();
            for _ in 0..operations {
                hash.add(peer.invalidate_page(0, absent(&mut order, pages)));
            }
            hash
        })
    }

    fn expected(&self, operations: u64) -> u64 {
        expected(operations)
    }
}

fn expected(operations: u64) -> u64 {
    let mut hash = Hash::default();
    (0..operations).for_each(|_| hash.add(COMMANDS));
    hash.0
}
