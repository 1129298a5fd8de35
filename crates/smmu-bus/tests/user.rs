//! User memory: copies, faults, pins.

use smmu_arch::Pa;
use smmu_bus::{Faulting, Memory, Pinned, Ram, UserFault, UserMemory, UserSpace, UserSpaceError};

const PAGE: u64 = 0x1000;

fn ram() -> Ram {
    Ram::new([(Pa(0x10_0000), 64 * PAGE)]).unwrap()
}

/// Pages 0x10 and 0x11 lie in order, 0x12 lies elsewhere, 0x13 is not there, 0x14 is.
fn process(memory: &Ram) -> UserSpace<&Ram> {
    let process = UserSpace::new(memory);
    process.map(0x1_0000, Pa(0x10_0000), PAGE).unwrap();
    process.map(0x1_1000, Pa(0x10_1000), PAGE).unwrap();
    process.map(0x1_2000, Pa(0x10_8000), PAGE).unwrap();
    process.map(0x1_4000, Pa(0x10_2000), PAGE).unwrap();
    process
}

#[test]
fn copies_follow_the_mappings_across_pages() {
    let ram = ram();
    let process = process(&ram);
    let bytes: Vec<u8> = (0..=255).cycle().take(0x2100).collect();
    process.write(0x1_0f83, &bytes[..0x2000]).unwrap();
    let mut back = vec![0; 0x2000];
    process.read(0x1_0f83, &mut back).unwrap();
    assert_eq!(back, bytes[..0x2000]);
    let mut at_pa = [0; 3];
    ram.read_bytes(Pa(0x10_8000), &mut at_pa).unwrap();
    assert_eq!(at_pa, bytes[0x107d..0x1080], "the third page lies elsewhere");
}

#[test]
fn a_copy_stops_at_the_first_address_that_is_not_there() {
    let ram = ram();
    let process = process(&ram);
    assert_eq!(process.write(0x1_2ffe, &[1, 2, 3, 4]), Err(UserFault(0x1_3000)));
    let mut bytes = [9; 4];
    assert_eq!(process.read(0x1_2ffe, &mut bytes), Err(UserFault(0x1_3000)));
    assert_eq!(bytes, [1, 2, 9, 9]);
    assert_eq!(process.read(0, &mut bytes), Err(UserFault(0)));
    assert_eq!(process.read(u64::MAX, &mut bytes), Err(UserFault(u64::MAX)));
    assert_eq!(process.read(0, &mut []), Ok(()));
}

#[test]
fn a_page_whose_memory_aborts_is_a_user_fault() {
    let process = UserSpace::new(Faulting::new(ram()));
    process.map(0x1_0000, Pa(0x10_0000), PAGE).unwrap();
    process.memory().fail(Pa(0x10_0000), PAGE);
    assert_eq!(process.read(0x1_0010, &mut [0; 4]), Err(UserFault(0x1_0010)));
    assert_eq!(process.write(0x1_0010, &[0; 4]), Err(UserFault(0x1_0010)));
}

#[test]
fn the_heap_holds_what_was_placed_until_it_is_emptied() {
    let ram = ram();
    let process = process(&ram);
    let first = process.place(&[1, 2, 3]);
    let second = process.place(&[4; 16]);
    assert_eq!((first, second), (UserSpace::HEAP, UserSpace::HEAP + 8));
    process.write(second + 1, &[5, 6]).unwrap();
    let mut bytes = [0; 4];
    process.read(second, &mut bytes).unwrap();
    assert_eq!(bytes, [4, 5, 6, 4]);
    assert_eq!(process.read(second + 14, &mut bytes), Err(UserFault(second + 16)));
    assert_eq!(process.pin(first, 1), Err(UserFault(first)), "no device ever sees the heap");
    process.empty_heap();
    assert_eq!(process.read(first, &mut bytes), Err(UserFault(first)));
}

#[test]
fn a_copy_goes_on_from_the_last_page_into_the_heap() {
    let ram = ram();
    let process = UserSpace::new(&ram);
    process.map(UserSpace::HEAP - PAGE, Pa(0x10_0000), PAGE).unwrap();
    process.place(&[3, 4]);
    process.write(UserSpace::HEAP - 2, &[1, 2]).unwrap();
    let mut bytes = [0; 4];
    process.read(UserSpace::HEAP - 2, &mut bytes).unwrap();
    assert_eq!(bytes, [1, 2, 3, 4]);
}

#[test]
fn a_mapping_that_cannot_be_is_refused() {
    use UserSpaceError::{Misaligned, OutOfRange, Overlap};
    let ram = ram();
    let process = process(&ram);
    let pa = Pa(0x10_0000);
    for (address, pa, bytes) in [(1, pa, PAGE), (0, Pa(8), PAGE), (0, pa, 8), (0, pa, 0)] {
        assert_eq!(process.map(address, pa, bytes), Err(Misaligned { address, bytes }));
    }
    for (address, bytes) in [(0xf000, 2 * PAGE), (0x1_2000, 2 * PAGE), (0, 1 << 30)] {
        assert_eq!(process.map(address, pa, bytes), Err(Overlap { address, bytes }));
    }
    for address in [UserSpace::HEAP, UserSpace::HEAP - PAGE, 0u64.wrapping_sub(PAGE)] {
        let bytes = 2 * PAGE;
        assert_eq!(process.map(address, pa, bytes), Err(OutOfRange { address, bytes }));
    }
    assert_eq!(process.map(0x1_3000, pa, PAGE), Ok(()), "a gap fits exactly");
}

#[test]
fn an_unmap_cuts_mappings_to_whole_pages() {
    let ram = ram();
    let process = UserSpace::new(&ram);
    process.map(0x1_0000, Pa(0x10_0000), 8 * PAGE).unwrap();
    process.write(0x1_5000, &[7]).unwrap();
    process.unmap(0x1_2800, 0x1000);
    process.unmap(0x1_0800, 0);
    let there: Vec<u64> =
        (0..8).filter(|page| process.read(0x1_0000 + page * PAGE, &mut [0]).is_ok()).collect();
    assert_eq!(there, [0, 1, 4, 5, 6, 7]);
    let mut byte = [0];
    process.read(0x1_5000, &mut byte).unwrap();
    assert_eq!(byte, [7], "what is left stays where it was");
    process.unmap(0, u64::MAX);
    assert_eq!(process.read(0x1_0000, &mut byte), Err(UserFault(0x1_0000)));
}

#[test]
fn a_pin_tells_the_longest_physical_runs() {
    let ram = ram();
    let process = process(&ram);
    let runs = process.pin(0x1_0000, 3 * PAGE).unwrap();
    let expected =
        [Pinned { pa: Pa(0x10_0000), bytes: 2 * PAGE }, Pinned { pa: Pa(0x10_8000), bytes: PAGE }];
    assert_eq!(runs, expected);
    assert_eq!(process.pinned_pages(), 3);
    runs.iter().for_each(|run| process.unpin(run));
    assert_eq!(process.pinned_pages(), 0);
}

#[test]
fn a_pin_of_some_bytes_pins_the_pages_that_hold_them() {
    let ram = ram();
    let process = process(&ram);
    let runs = process.pin(0x1_0fff, 2).unwrap();
    assert_eq!(runs, [Pinned { pa: Pa(0x10_0fff), bytes: 2 }]);
    assert_eq!(process.pinned_pages(), 2);
    process.unpin(&runs[0]);
    assert_eq!(process.pinned_pages(), 0);
    assert_eq!(process.pin(0x1_0000, 0), Ok(vec![]));
}

#[test]
fn pins_are_counted_and_outlive_the_mapping() {
    let ram = ram();
    let process = process(&ram);
    let once = process.pin(0x1_0000, 2 * PAGE).unwrap();
    let again = process.pin(0x1_1000, PAGE).unwrap();
    process.unmap(0x1_0000, 2 * PAGE);
    assert_eq!((process.pin_count(Pa(0x10_0000)), process.pin_count(Pa(0x10_1fff))), (1, 2));
    process.unpin(&once[0]);
    assert_eq!((process.pin_count(Pa(0x10_0000)), process.pin_count(Pa(0x10_1fff))), (0, 1));
    process.unpin(&again[0]);
    assert_eq!(process.pinned_pages(), 0);
}

#[test]
fn a_pin_that_faults_pins_nothing() {
    let ram = ram();
    let process = process(&ram);
    assert_eq!(process.pin(0x1_0000, 5 * PAGE), Err(UserFault(0x1_3000)));
    assert_eq!(process.pin(0x1_4000, u64::MAX), Err(UserFault(0x1_5000)));
    assert_eq!(process.pinned_pages(), 0);
}

#[test]
#[should_panic(expected = "the page at 0x100000 is unpinned more often than pinned")]
fn an_unpin_without_a_pin_is_a_mistake_of_the_kernel() {
    let ram = ram();
    process(&ram).unpin(&Pinned { pa: Pa(0x10_0000), bytes: PAGE });
}
