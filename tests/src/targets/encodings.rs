//! Encodings: decoding is total, and what was decoded encodes to what decodes the same.

use crate::draw::Draw;
use smmu_arch::{Cd, Command, CommandError, CommandFeatures, Event, Features, IdRegisters, Ste};

/// Two words as a command: it is refused with CERROR_ILL, or means the same after encoding; what
/// it covers can be told for any implementation.
///
/// # Panics
///
/// Where that does not hold.
pub fn command_decode(bytes: &[u8]) {
    let mut draw = Draw::new(bytes);
    let words = draw.words();
    match Command::decode(&words) {
        Err(error) => assert!(matches!(error, CommandError::Illegal(_)), "{error:?}"),
        Ok(command) => {
            assert_eq!(Command::decode(&command.encode()), Ok(command));
            assert_eq!(u64::from(command.opcode()), words[0] & 0xff);
            assert!(!command.name().is_empty());
            let features = command_features(&mut draw);
            if command.check_supported(&features).is_ok() {
                let _ = command.scope(&features, draw.flag(), u16::from(draw.byte() & 15));
            }
        }
    }
    let _ = Command::fields_of(&words);
}

fn command_features(draw: &mut Draw) -> CommandFeatures {
    CommandFeatures {
        stage1: draw.flag(),
        stage2: draw.flag(),
        hyp: draw.flag(),
        ats: draw.flag(),
        pri: draw.flag(),
        stall: draw.flag(),
        vmid16: draw.flag(),
        asid16: draw.flag(),
        ril: draw.flag(),
        mpam: draw.flag(),
        dpt: draw.flag(),
        ds: draw.flag(),
    }
}

/// Four words as an event record.
///
/// # Panics
///
/// Where what was decoded does not mean the same after encoding.
pub fn event_decode(bytes: &[u8]) {
    let words: [u64; 4] = Draw::new(bytes).words();
    let Ok(event) = Event::decode(&words) else { return };
    assert_eq!(Event::decode(&event.encode()), Ok(event));
    assert_eq!(u64::from(event.id()), words[0] & 0xff);
    assert!(!event.name().is_empty() && !event.fields().is_empty());
}

/// Eight words as an STE and as a CD of an SMMU with any ID registers: both decode, a check names
/// every violation or none, and what has no effect stays away once it is taken away.
///
/// # Panics
///
/// Where that does not hold.
pub fn ste_cd_decode_check(bytes: &[u8]) {
    let mut draw = Draw::new(bytes);
    let words = draw.words();
    let features = Features::decode(&id_registers(&mut draw));

    let ste = Ste::decode(&words);
    assert_eq!(Ste::decode(&ste.encode()), ste);
    assert_eq!(ste.check(&features).is_ok(), ste.violations(&features).next().is_none());
    let effective = ste.effective(&features);
    assert_eq!(effective.effective(&features), effective);
    let world = ste.stream_world(&features, draw.flag());
    let _ = (ste.s2_input_bits(), ste.s2_output_bits(&features), ste.start_level(&features));

    let cd = Cd::decode(&words);
    assert_eq!(Cd::decode(&cd.encode()), cd);
    for half in 0..2 {
        if let Some(table) = cd.table(half, world) {
            let _ = (table.input_bits(), cd.output_bits(table, &features));
        }
    }
}

/// Known ID registers, with any bits turned over.
fn id_registers(draw: &mut Draw) -> IdRegisters {
    let known = [IdRegisters::REFERENCE, IdRegisters::QEMU_NESTED, IdRegisters::default()];
    let known = draw.pick(&known);
    let mut over = || draw.word() as u32;
    IdRegisters {
        idr0: known.idr0 ^ over(),
        idr1: known.idr1 ^ over(),
        idr3: known.idr3 ^ over(),
        idr5: known.idr5 ^ over(),
        aidr: known.aidr ^ over(),
        ..known
    }
}
