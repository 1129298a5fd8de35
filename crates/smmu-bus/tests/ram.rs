//! Physical memory: the map, words, bytes.

use proptest::prelude::*;
use smmu_arch::Pa;
use smmu_bus::{Aborted, Memory, MemoryMapError, Ram};
use std::sync::Arc;

const PAGE: u64 = 0x1000;

/// Three regions: a small one, the largest, and one that follows it without a gap.
fn three() -> Ram {
    Ram::new([(Pa(0x9000), 3 * PAGE), (Pa(0x1000), PAGE), (Pa(0x4000), 5 * PAGE)]).unwrap()
}

fn refused(regions: &[(Pa, u64)]) -> MemoryMapError {
    Ram::new(regions.iter().copied()).unwrap_err()
}

#[test]
fn memory_answers_from_the_first_to_the_last_byte_of_a_region() {
    let ram = three();
    assert_eq!(ram.regions(), [(Pa(0x1000), PAGE), (Pa(0x4000), 5 * PAGE), (Pa(0x9000), 3 * PAGE)]);
    for (outside, inside) in [(0xff8, 0x1000), (0x2000, 0x1ff8), (0x3ff8, 0x4000), (0xc000, 0xbff8)]
    {
        ram.write_word(Pa(inside), inside).unwrap();
        assert_eq!(ram.read_word(Pa(inside)), Ok(inside));
        assert_eq!(ram.read_word(Pa(outside)), Err(Aborted(Pa(outside))));
        assert_eq!(ram.write_word(Pa(outside), 1), Err(Aborted(Pa(outside))));
        assert_eq!(ram.compare_and_swap(Pa(outside), 0, 1), Err(Aborted(Pa(outside))));
    }
    assert!(ram.read_word(Pa(0)).is_err());
    assert!(ram.read_word(Pa(u64::MAX)).is_err());
}

#[test]
fn a_memory_without_regions_answers_nowhere() {
    let ram = Ram::new([]).unwrap();
    assert_eq!(ram.regions(), []);
    for pa in [0, 1, 0x1000, u64::MAX] {
        assert_eq!(ram.read_word(Pa(pa)), Err(Aborted(Pa(pa))));
    }
}

#[test]
fn memory_is_zero_at_first_and_the_low_three_address_bits_are_ignored() {
    let ram = three();
    assert_eq!(ram.read_word(Pa(0x4008)), Ok(0));
    ram.write_word(Pa(0x400f), 0x1122_3344_5566_7788).unwrap();
    assert_eq!(ram.read_word(Pa(0x4009)), Ok(0x1122_3344_5566_7788));
    assert_eq!(ram.read_word(Pa(0x4010)), Ok(0));
}

#[test]
fn compare_and_swap_stores_only_where_it_finds_the_old_value() {
    let ram = three();
    assert_eq!(ram.compare_and_swap(Pa(0x1000), 1, 2), Ok(0));
    assert_eq!(ram.read_word(Pa(0x1000)), Ok(0));
    assert_eq!(ram.compare_and_swap(Pa(0x1000), 0, 2), Ok(0));
    assert_eq!(ram.read_word(Pa(0x1000)), Ok(2));
}

#[test]
fn words_cross_from_one_region_into_the_next() {
    let ram = three();
    ram.write_words(Pa(0x8ff0), &[1, 2, 3, 4]).unwrap();
    assert_eq!(ram.read_words::<4>(Pa(0x8ff0)), Ok([1, 2, 3, 4]));
    assert_eq!(ram.read_words::<2>(Pa(0x8ff0)), Ok([1, 2]));
    assert_eq!(ram.read_words::<2>(Pa(0x9000)), Ok([3, 4]));
    assert_eq!(ram.read_words::<2>(Pa(0xbff8)), Err(Aborted(Pa(0xc000))));
    assert_eq!(ram.read_words::<1>(Pa(0x3ff8)), Err(Aborted(Pa(0x3ff8))));
}

#[test]
fn words_before_an_abort_are_written() {
    let ram = three();
    assert_eq!(ram.write_words(Pa(0xbff8), &[7, 8]), Err(Aborted(Pa(0xc000))));
    assert_eq!(ram.read_word(Pa(0xbff8)), Ok(7));
}

#[test]
fn a_masked_write_keeps_all_other_bits() {
    let ram = three();
    ram.write_word(Pa(0x1000), 0xaaaa_aaaa_aaaa_aaaa).unwrap();
    ram.write_masked(Pa(0x1000), 0x1234_5678_9abc_def0, 0x0000_ffff_0000_00ff).unwrap();
    assert_eq!(ram.read_word(Pa(0x1000)), Ok(0xaaaa_5678_aaaa_aaf0));
    ram.write_masked(Pa(0x1000), 5, u64::MAX).unwrap();
    assert_eq!(ram.read_word(Pa(0x1000)), Ok(5));
    ram.write_masked(Pa(0x1000), 9, 0).unwrap();
    assert_eq!(ram.read_word(Pa(0x1000)), Ok(5));
}

#[test]
fn masked_writes_of_two_threads_lose_nothing() {
    let ram = three();
    std::thread::scope(|threads| {
        for shift in [0, 32] {
            let ram = &ram;
            threads.spawn(move || {
                for value in 1..=20_000 {
                    ram.write_masked(Pa(0x4000), value << shift, 0xffff_ffff << shift).unwrap();
                }
            });
        }
    });
    assert_eq!(ram.read_word(Pa(0x4000)), Ok(20_000 << 32 | 20_000));
}

#[test]
fn bytes_are_little_endian_within_words() {
    let ram = three();
    ram.write_bytes(Pa(0x1006), &[1, 2, 3, 4]).unwrap();
    assert_eq!(ram.read_words::<2>(Pa(0x1000)), Ok([0x0201_0000_0000_0000, 0x0403]));
    let mut bytes = [0; 3];
    ram.read_bytes(Pa(0x1007), &mut bytes).unwrap();
    assert_eq!(bytes, [2, 3, 4]);
    assert_eq!(ram.read_bytes(Pa(0), &mut []), Ok(()), "no byte, no abort");
}

#[test]
fn a_memory_map_is_refused_with_its_reason() {
    use MemoryMapError::{AddressOverflow, Empty, Misaligned, Overlap, TooLarge};
    assert_eq!(refused(&[(Pa(0x1000), 0)]), Empty { first: Pa(0x1000) });
    for (first, bytes) in [(Pa(0x1008), PAGE), (Pa(0x1000), 0x800)] {
        assert_eq!(refused(&[(first, bytes)]), Misaligned { first, bytes });
    }
    let (first, bytes) = (Pa(0u64.wrapping_sub(PAGE)), 2 * PAGE);
    assert_eq!(refused(&[(first, bytes)]), AddressOverflow { first, bytes });
    let overlap = Overlap { lower: Pa(0x1000), upper: Pa(0x2000) };
    assert_eq!(refused(&[(Pa(0x2000), PAGE), (Pa(0x1000), 2 * PAGE)]), overlap);
    let twice = Overlap { lower: Pa(0x1000), upper: Pa(0x1000) };
    assert_eq!(refused(&[(Pa(0x1000), PAGE), (Pa(0x1000), PAGE)]), twice);
    let (first, bytes) = (Pa(0), 1 << 60);
    assert_eq!(refused(&[(first, bytes)]), TooLarge { first, bytes });
    assert_eq!(overlap.to_string(), "the regions at 0x1000 and 0x2000 overlap");
}

#[test]
fn the_last_page_of_the_address_space_is_usable() {
    let first = Pa(0u64.wrapping_sub(PAGE));
    let ram = Ram::new([(first, PAGE)]).unwrap();
    ram.write_word(Pa(u64::MAX), 3).unwrap();
    assert_eq!(ram.read_word(first.offset(PAGE - 8)), Ok(3));
    assert_eq!(ram.read_words::<2>(first.offset(PAGE - 8)), Err(Aborted(Pa(0))));
}

#[test]
fn eight_gibibytes_cost_nothing_until_touched() {
    let ram = Ram::new([(Pa(0x8000_0000), 8 << 30), (Pa(0x1000), PAGE)]).unwrap();
    let last = Pa(0x8000_0000 + (8 << 30) - 8);
    ram.write_word(last, 1).unwrap();
    assert_eq!(ram.read_word(last), Ok(1));
    assert_eq!(ram.read_word(Pa(0x8000_0000)), Ok(0));
}

#[test]
fn a_clone_holds_the_content_and_goes_its_own_way() {
    let ram = three();
    ram.write_word(Pa(0x4010), 1).unwrap();
    ram.write_word(Pa(0x9010), 2).unwrap();
    let copy = ram.clone();
    ram.write_word(Pa(0x4010), 3).unwrap();
    assert_eq!(copy.regions(), ram.regions());
    assert_eq!(copy.read_word(Pa(0x4010)), Ok(1));
    assert_eq!(copy.read_word(Pa(0x9010)), Ok(2));
}

#[test]
fn memory_is_shared_through_pointers_and_between_threads() {
    fn shared<M: Memory + Send + Sync>(memory: M) -> u64 {
        memory.write_word(Pa(0x1000), 6).unwrap();
        memory.read_words::<1>(Pa(0x1000)).unwrap()[0]
    }
    let ram = three();
    assert_eq!(shared(&ram), 6);
    assert_eq!(ram.read_word(Pa(0x1000)), Ok(6));
    assert_eq!(shared(Arc::new(three())), 6);
    assert_eq!(shared(Box::new(three()) as Box<dyn Memory + Send + Sync>), 6);
}

proptest! {
    /// Spans of bytes against a plain vector: what was written is read, and nothing else changed.
    #[test]
    fn bytes_read_are_the_bytes_written(
        spans in prop::collection::vec(
            (0..8 * PAGE as usize, prop::collection::vec(any::<u8>(), 0..200)),
            1..20,
        ),
    ) {
        let ram = three();
        let base = Pa(0x4000);
        let mut model = vec![0u8; 8 * PAGE as usize];
        for (at, bytes) in spans {
            let bytes = &bytes[..bytes.len().min(model.len() - at)];
            ram.write_bytes(base.offset(at as u64), bytes).unwrap();
            model[at..at + bytes.len()].copy_from_slice(bytes);
            let mut back = vec![0; bytes.len()];
            ram.read_bytes(base.offset(at as u64), &mut back).unwrap();
            prop_assert_eq!(&back, bytes);
        }
        let mut all = vec![0; model.len()];
        ram.read_bytes(base, &mut all).unwrap();
        prop_assert!(all == model);
    }
}
