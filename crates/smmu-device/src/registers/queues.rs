//! Queue arithmetic. Architecture: section "Queue pointers and size".

use super::RegisterFile;
use smmu_arch::registers::{
    CmdqBase, CmdqCons, CmdqProd, EventqBase, EventqCons, EventqProd, PriqBase, PriqCons, PriqProd,
};
use smmu_arch::{Features, Pa};

/// A circular queue in memory. Indexes carry a wrap bit above the index bits; bits above are
/// ignored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Queue {
    base: Pa,
    log2size: u32,
    entry_bytes: u64,
    producer: u32,
    consumer: u32,
}

impl Queue {
    /// A Command queue as its registers describe it: base address, LOG2SIZE, PROD and CONS.
    pub(crate) fn of_commands(
        features: &Features,
        (address, log2size): (u64, u8),
        producer: u32,
        consumer: u32,
    ) -> Self {
        let log2size = u32::from(log2size.min(features.cmdq_log2_max));
        let base = Pa(features.truncated(address)).align_down((log2size + 4).max(5));
        Self { base, log2size, entry_bytes: 16, producer, consumer }
    }

    /// Consuming an entry makes room where there is none now. More entries than the queue has, of
    /// inconsistent indexes, leave it full.
    pub(crate) const fn is_about_to_have_room(self) -> bool {
        self.used() == 1 << self.log2size
    }

    /// The consumer index behind the entry that was consumed.
    pub(crate) const fn next_consumer(self) -> u32 {
        self.advanced(self.consumer)
    }

    const fn mask(self) -> u32 {
        (1 << (self.log2size + 1)) - 1
    }

    const fn entry(self, index: u32) -> Pa {
        let index = index & (self.mask() >> 1);
        self.base.offset(index as u64 * self.entry_bytes)
    }

    /// Entries between consumer and producer, modulo twice the size.
    const fn used(self) -> u32 {
        self.producer.wrapping_sub(self.consumer) & self.mask()
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.used() == 0
    }

    /// Full. Inconsistent indexes, more than the size apart, count as full.
    pub(crate) const fn is_full(self) -> bool {
        self.used() >= 1 << self.log2size
    }

    pub(crate) const fn consumer_entry(self) -> Pa {
        self.entry(self.consumer)
    }

    pub(crate) const fn producer_entry(self) -> Pa {
        self.entry(self.producer)
    }

    /// An index one further on, with its wrap bit.
    const fn advanced(self, index: u32) -> u32 {
        (index + 1) & self.mask()
    }
}

impl RegisterFile {
    pub(crate) fn command_queue(&self) -> Queue {
        let base: CmdqBase = self.get();
        let (prod, cons): (CmdqProd, CmdqCons) = (self.get(), self.get());
        let place = (base.address(), base.log2size());
        Queue::of_commands(self.features(), place, prod.wr(), cons.rd())
    }

    pub(crate) fn event_queue(&self) -> Queue {
        let base: EventqBase = self.get();
        let (prod, cons): (EventqProd, EventqCons) = (self.get(), self.get());
        let log2size = u32::from(base.log2size().min(self.features().eventq_log2_max));
        Queue {
            base: self.queue_base(base.address(), log2size + 5),
            log2size,
            entry_bytes: 32,
            producer: prod.wr(),
            consumer: cons.rd(),
        }
    }

    pub(crate) fn pri_queue(&self) -> Queue {
        let base: PriqBase = self.get();
        let (prod, cons): (PriqProd, PriqCons) = (self.get(), self.get());
        let log2size = u32::from(base.log2size().min(self.features().priq_log2_max));
        Queue {
            base: self.queue_base(base.address(), log2size + 4),
            log2size,
            entry_bytes: 16,
            producer: prod.wr(),
            consumer: cons.rd(),
        }
    }

    /// A queue is aligned to its size, and to 32 bytes at least.
    fn queue_base(&self, address: u64, bytes_log2: u32) -> Pa {
        Pa(self.physical(address)).align_down(bytes_log2.max(5))
    }

    pub(crate) fn advance_command_consumer(&mut self) {
        let queue = self.command_queue();
        let cons: CmdqCons = self.get();
        self.set(cons.with_rd(queue.next_consumer()));
    }

    pub(crate) fn set_command_error(&mut self, code: u8) {
        let cons: CmdqCons = self.get();
        self.set(cons.with_err(code));
    }

    pub(crate) fn advance_event_producer(&mut self) {
        let queue = self.event_queue();
        let prod: EventqProd = self.get();
        self.set(prod.with_wr(queue.advanced(queue.producer)));
    }

    pub(crate) fn advance_pri_producer(&mut self) {
        let queue = self.pri_queue();
        let prod: PriqProd = self.get();
        self.set(prod.with_wr(queue.advanced(queue.producer)));
    }

    /// An overflow of the PRI queue is not acknowledged.
    pub(crate) fn pri_overflow_pending(&self) -> bool {
        let (prod, cons): (PriqProd, PriqCons) = (self.get(), self.get());
        prod.ovflg() != cons.ovackflg()
    }

    /// A page request found no room: OVFLG toggles unless an overflow is pending.
    pub(crate) fn note_pri_overflow(&mut self) {
        if !self.pri_overflow_pending() {
            let prod: PriqProd = self.get();
            self.set(prod.with_ovflg(!prod.ovflg()));
        }
    }

    /// A record was lost in the enabled, full queue: OVFLG toggles unless the last overflow is
    /// still unacknowledged.
    pub(crate) fn note_event_overflow(&mut self) {
        let (prod, cons): (EventqProd, EventqCons) = (self.get(), self.get());
        if prod.ovflg() == cons.ovackflg() {
            self.set(prod.with_ovflg(!prod.ovflg()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smmu_testpoint::testpoint;

    fn queue(log2size: u32, producer: u32, consumer: u32) -> Queue {
        Queue { base: Pa(0x1000), log2size, entry_bytes: 32, producer, consumer }
    }

    #[test]
    fn eight_entries_fill_and_wrap() {
        let full = queue(3, 0xd, 5);
        assert!(full.is_full() && !full.is_empty());
        assert_eq!(full.consumer_entry(), Pa(0x1000 + 5 * 32));
        assert_eq!(full.producer_entry(), Pa(0x1000 + 5 * 32));
        assert!(queue(3, 0xd, 0xd).is_empty());
        assert_eq!(full.advanced(0xf), 0);
        testpoint!(18);
    }

    #[test]
    fn one_entry_has_its_wrap_in_bit_0() {
        assert!(queue(0, 1, 0).is_full());
        assert!(queue(0, 1, 1).is_empty());
        assert_eq!(queue(0, 1, 0).producer_entry(), Pa(0x1000));
    }

    #[test]
    fn inconsistent_indexes_count_as_full() {
        assert!(queue(2, 7, 0).is_full());
    }

    #[test]
    fn bits_above_the_wrap_are_ignored() {
        assert!(queue(2, 0xff8, 0).is_empty());
    }
}
