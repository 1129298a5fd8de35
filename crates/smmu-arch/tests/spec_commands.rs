//! Holds the commands against `spec/commands.toml`: every opcode, field position, `illegal` row
//! and `match` row. What is not held is listed with its reason.

use proptest::prelude::*;
use serde::Deserialize;
use smmu_arch::{
    Asid, AsidMatch, Command, CommandError, CommandFeatures, IllegalCommand, Invalidation, Stages,
    TlbScope, Vmid, VmidMatch, Worlds,
};
use smmu_testpoint::testpoint;

#[derive(Deserialize)]
struct Sheet {
    command: Vec<Row>,
    cerror: Vec<Cerror>,
}

#[derive(Deserialize)]
struct Row {
    name: String,
    opcode: u8,
    fields: Vec<FieldRow>,
    illegal: Vec<String>,
    r#match: Option<MatchRow>,
}

#[derive(Deserialize)]
struct FieldRow {
    name: String,
    msb: u16,
    lsb: u16,
}

#[derive(Deserialize)]
struct MatchRow {
    world: Vec<String>,
    stage: String,
    vmid: String,
    asid: String,
    va: String,
}

#[derive(Deserialize)]
struct Cerror {
    code: u8,
    name: String,
}

const SSEC: u128 = 1 << 10;
const SSV: u128 = 1 << 11;

fn sheet() -> Sheet {
    toml::from_str(include_str!("../../../spec/commands.toml")).expect("the sheet parses")
}

impl Row {
    fn is_secure_only(&self) -> bool {
        self.illegal.iter().any(|condition| condition == "not the Secure queue")
    }

    /// The command with every optional field 0.
    fn words(&self) -> u128 {
        let range = if self.name == "CMD_CFGI_ALL" { 31 } else { 0 };
        u128::from(self.opcode) | range << 64
    }

    fn field(&self, name: &str) -> Option<&FieldRow> {
        self.fields.iter().find(|field| field.name == name)
    }
}

fn words(entry: u128) -> [u64; 2] {
    [entry as u64, (entry >> 64) as u64]
}

fn decode(entry: u128) -> Result<Command, CommandError> {
    Command::decode(&words(entry))
}

fn legal(entry: u128) -> Command {
    decode(entry).unwrap_or_else(|error| panic!("{entry:#034x}: {error}"))
}

fn illegal(reason: IllegalCommand) -> Result<Command, CommandError> {
    Err(CommandError::Illegal(reason))
}

fn non_secure(sheet: &Sheet) -> impl Iterator<Item = &Row> {
    sheet.command.iter().filter(|row| !row.is_secure_only())
}

/// Field rows that a command does not carry, with the reason.
fn not_carried(command: &str, field: &str) -> Option<&'static str> {
    match (command, field) {
        ("CMD_SYNC", "MSI_NS") => Some("Realm queue only"),
        _ => None,
    }
}

#[test]
fn every_opcode_has_its_name() {
    for row in &sheet().command {
        if row.is_secure_only() {
            let error = decode(row.words()).unwrap_err();
            assert!(error.to_string().contains(&row.name), "{}: {error}", row.name);
        } else {
            let command = legal(row.words());
            assert_eq!((command.name(), command.opcode()), (row.name.as_str(), row.opcode));
        }
    }
}

#[test]
fn an_opcode_that_no_row_has_is_illegal() {
    let sheet = sheet();
    for opcode in (0..=255).filter(|opcode| sheet.command.iter().all(|r| r.opcode != *opcode)) {
        assert_eq!(
            decode(u128::from(opcode)),
            illegal(IllegalCommand::UnknownOpcode(opcode)),
            "{opcode:#x}"
        );
    }
}

#[test]
fn every_field_is_shown_where_the_sheet_has_it() {
    let sheet = sheet();
    // CMD_CFGI_ALL ignores the StreamID of the opcode that it shares.
    for row in non_secure(&sheet).filter(|row| row.name != "CMD_CFGI_ALL") {
        let shown: Vec<_> = Command::fields_of(&words(row.words()))
            .into_iter()
            .map(|(field, _)| (field.name.to_owned(), field.msb, field.lsb))
            .collect();
        let listed: Vec<_> = row
            .fields
            .iter()
            .filter(|field| not_carried(&row.name, &field.name).is_none())
            .map(|field| (field.name.clone(), field.msb, field.lsb))
            .collect();
        assert_eq!(shown, listed, "{}", row.name);
    }
}

#[test]
fn every_bit_of_every_field_is_decoded_and_encoded_in_its_place() {
    let sheet = sheet();
    for row in non_secure(&sheet).filter(|row| row.name != "CMD_CFGI_ALL") {
        for field in row.fields.iter().filter(|f| f.name != "SSec") {
            for bit in field.lsb..=field.msb {
                let needs_ssv = field.name == "SubstreamID" && row.field("SSV").is_some();
                let entry = row.words() | 1 << bit | if needs_ssv { SSV } else { 0 };
                let dropped = not_carried(&row.name, &field.name).is_some()
                    || (field.name == "MSH" && bit == field.lsb); // MSH = 1 is reserved, as 0
                let kept = if dropped { entry & !(1 << bit) } else { entry };
                let at = format!("{} {} bit {bit}", row.name, field.name);
                assert_eq!(legal(entry).encode(), words(kept), "{at}");
            }
        }
    }
}

#[test]
fn reserved_bits_are_ignored() {
    let sheet = sheet();
    for row in non_secure(&sheet) {
        let covered = |bit: u16| row.fields.iter().any(|f| (f.lsb..=f.msb).contains(&bit));
        let shared_stream = |bit| row.name == "CMD_CFGI_ALL" && (32..64).contains(&bit);
        for bit in (8..128).filter(|&bit| !covered(bit) || shared_stream(bit)) {
            assert_eq!(legal(row.words() | 1 << bit), legal(row.words()), "{} {bit}", row.name);
        }
    }
}

#[test]
fn every_illegal_row_is_illegal() {
    for row in &sheet().command {
        for condition in &row.illegal {
            check_illegal(row, condition);
        }
    }
    testpoint!(21, 22, 23, 24, 25, 26, 27, 31, 32, 33, 34);
}

/// Rows that are not held, with the reason.
fn not_held(condition: &str) -> Option<&'static str> {
    match condition {
        "S_IDR1.SEL2=0" | "IDR0.RME_IMPL=1" => Some("Secure only: the opcode is refused before"),
        "issued on the Realm queue" => Some("the Realm queue is not modelled"),
        _ => None,
    }
}

fn check_illegal(row: &Row, condition: &str) {
    let name = &row.name;
    let entry = row.words();
    let without = |field: &'static str, missing: CommandFeatures| {
        let command = legal(entry);
        assert_eq!(command.check_supported(&CommandFeatures::ALL), Ok(()), "{name}");
        let refused = Err(IllegalCommand::Feature(field));
        assert_eq!(command.check_supported(&missing), refused, "{name}: {condition}");
    };
    let all = CommandFeatures::ALL;
    match condition {
        _ if not_held(condition).is_some() => (),
        "not the Secure queue" => {
            assert!(matches!(
                decode(entry),
                Err(CommandError::Illegal(IllegalCommand::SecureOnly(_)))
            ));
        }
        "SSec=1 on a Non-secure queue" => {
            assert_eq!(decode(entry | SSEC), illegal(IllegalCommand::Ssec), "{name}");
        }
        // This model's choice: the bit is reserved in these two commands, so it is ignored.
        "SSec=1 (optional: current text defines no SSec here, bit 10 is RES0)" => {
            assert_eq!(legal(entry | SSEC), legal(entry), "{name}");
        }
        // This model's choice: the optional check is made.
        "Size > 52 (optional check)" => {
            assert!(decode(entry | 52 << 64).is_ok());
            assert_eq!(decode(entry | 53 << 64), illegal(IllegalCommand::AtcSize(53)));
        }
        "Resp=3" => {
            assert_eq!(decode(entry | 3 << 76), illegal(IllegalCommand::PriResponse));
        }
        "CS=3" => assert_eq!(decode(entry | 3 << 12), illegal(IllegalCommand::SyncSignal)),
        "IDR0.S1P=0" => without("IDR0.S1P", CommandFeatures { stage1: false, ..all }),
        "IDR0.S2P=0" => without("IDR0.S2P", CommandFeatures { stage2: false, ..all }),
        "IDR0.HYP=0" => without("IDR0.HYP", CommandFeatures { hyp: false, ..all }),
        "IDR0.ATS=0" => without("IDR0.ATS", CommandFeatures { ats: false, ..all }),
        "IDR0.PRI=0" => without("IDR0.PRI", CommandFeatures { pri: false, ..all }),
        "IDR3.DPT=0" => without("IDR3.DPT", CommandFeatures { dpt: false, ..all }),
        "MPAM not supported (IDR3.MPAM=0 for the queue's Security state)" => {
            without("IDR3.MPAM", CommandFeatures { mpam: false, ..all });
        }
        "effective STALL_MODEL=1" => {
            without("IDR0.STALL_MODEL", CommandFeatures { stall: false, ..all });
        }
        "range rule" | "range rule: TG!=0 with NUM=SCALE=TTL=0" if row.is_secure_only() => (),
        "range rule" | "range rule: TG!=0 with NUM=SCALE=TTL=0" => check_range_rule(row),
        other => panic!("{name}: nothing holds the condition '{other}'"),
    }
}

fn check_range_rule(row: &Row) {
    let name = &row.name;
    let no_ds = CommandFeatures { ds: false, ..CommandFeatures::ALL };
    let with = |num: u128, scale: u128, ttl: u128, tg: u128| {
        legal(row.words() | num << 12 | scale << 20 | ttl << 72 | tg << 74)
    };
    let refused = Err(IllegalCommand::RangeRule);
    for tg in 1..=3 {
        assert_eq!(with(0, 0, 0, tg).check_supported(&no_ds), refused, "{name} TG={tg}");
        assert_eq!(with(1, 0, 0, tg).check_supported(&no_ds), Ok(()), "{name} TG={tg}");
        assert_eq!(with(0, 1, 0, tg).check_supported(&no_ds), Ok(()), "{name} TG={tg}");
        assert_eq!(with(0, 0, 2, tg).check_supported(&no_ds), Ok(()), "{name} TG={tg}");
    }
    // Without TG the other fields are ignored; without RIL all of them are.
    assert_eq!(with(0, 0, 0, 0).check_supported(&no_ds), Ok(()), "{name}");
    let no_ril = CommandFeatures { ril: false, ..no_ds };
    assert_eq!(with(0, 0, 0, 1).check_supported(&no_ril), Ok(()), "{name}");
    // A level 1 hint is reserved with the 16K granule, unless IDR5.DS = 1.
    assert_eq!(with(0, 0, 1, 2).check_supported(&no_ds), refused, "{name}");
    assert_eq!(with(0, 0, 1, 2).check_supported(&CommandFeatures::ALL), Ok(()), "{name}");
    // SCALE[5] is reserved without IDR5.DS.
    assert_eq!(with(0, 32, 0, 1).check_supported(&no_ds), refused, "{name}");
    assert_eq!(with(0, 32, 0, 1).check_supported(&CommandFeatures::ALL), Ok(()), "{name}");
}

#[test]
fn every_match_row_is_the_scope() {
    let sheet = sheet();
    let rows = non_secure(&sheet).filter(|row| row.r#match.is_some());
    assert_eq!(rows.map(check_match).count(), 11);
}

fn check_match(row: &Row) {
    let expected = row.r#match.as_ref().expect("only rows with a match are checked");
    // VMID 0x1234, ASID 0x5678, address 0x1000: where the row has no such field the bits are
    // reserved and change nothing.
    let command = legal(row.words() | 0x5678_1234 << 32 | 1 << 76);
    for e2h in [false, true] {
        let Some(Invalidation::Translations(scope)) = command.scope(&CommandFeatures::ALL, e2h, 0)
        else {
            panic!("{}: no translations in scope", row.name)
        };
        assert_eq!(scope.worlds, worlds(&expected.world, e2h), "{}", row.name);
        assert_eq!(scope.stages, stages(&expected.stage), "{}", row.name);
        let vmid = VmidMatch::Like { vmid: Vmid(0x1234), ignore: 0 };
        let vmid = if expected.vmid == "match" { vmid } else { VmidMatch::Any };
        assert_eq!(scope.vmid, vmid, "{}", row.name);
        assert_eq!(scope.asid, asid(&expected.asid, scope.worlds), "{}", row.name);
        match expected.va.as_str() {
            "any" => assert_eq!(scope.address, None, "{}", row.name),
            "match" | "IPA match" => {
                let address = scope.address.expect("a command by address");
                assert_eq!((address.first, address.last), (0x1000, 0x1000), "{}", row.name);
            }
            other => panic!("{}: va = '{other}'", row.name),
        }
    }
}

fn worlds(names: &[String], e2h: bool) -> Worlds {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    match *names.as_slice() {
        ["NS-EL1"] => Worlds::NsEl1,
        ["EL2", "EL2-E2H"] => Worlds::AnyEl2,
        ["EL2-E2H"] => Worlds::El2E2h,
        [with, without]
            if with.starts_with("EL2-E2H when CR2.E2H=1")
                && without.starts_with("EL2 when CR2.E2H=0") =>
        {
            if e2h {
                Worlds::El2E2h
            } else {
                Worlds::El2
            }
        }
        _ => panic!("worlds {names:?}"),
    }
}

fn stages(text: &str) -> Stages {
    match text {
        "1" | "1 (and combined)" | "1 (and combined 1+2)" => Stages::Stage1,
        "2 only" => Stages::Stage2,
        "1, 2 and combined" => Stages::Both,
        _ => panic!("stage '{text}'"),
    }
}

fn asid(text: &str, worlds: Worlds) -> AsidMatch {
    match text {
        "any, including global" | "n/a" => AsidMatch::Any,
        "match, non-global only" => AsidMatch::NonGlobal(Asid(0x5678)),
        "match-or-global" if worlds == Worlds::El2 => AsidMatch::Any, // it has no ASID
        "match-or-global" => AsidMatch::OrGlobal(Asid(0x5678)),
        _ => panic!("asid '{text}'"),
    }
}

#[test]
fn commands_without_a_match_row_touch_no_translation() {
    let sheet = sheet();
    for row in non_secure(&sheet).filter(|row| row.r#match.is_none()) {
        let scope = legal(row.words()).scope(&CommandFeatures::ALL, false, 0);
        assert!(!matches!(scope, Some(Invalidation::Translations(_))), "{}", row.name);
        let configuration = matches!(scope, Some(Invalidation::Configuration(_)));
        let cached = row.name.starts_with("CMD_CFGI") && row.name != "CMD_CFGI_VMS_PIDM";
        assert_eq!(configuration, cached, "{}", row.name);
    }
}

#[test]
fn every_error_code_is_the_one_of_the_sheet() {
    let errors = [
        CommandError::Illegal(IllegalCommand::Ssec),
        CommandError::Abort,
        CommandError::AtcInvSync,
    ];
    for row in sheet().cerror.iter().filter(|row| row.name != "CERROR_NONE") {
        let error = errors.iter().find(|error| error.code() == row.code);
        let text = error.expect("every code has an error").to_string();
        assert_eq!(text.split(':').next(), Some(row.name.as_str()));
    }
}

fn any_command() -> impl Strategy<Value = Command> {
    let opcodes: Vec<u8> = non_secure(&sheet()).map(|row| row.opcode).collect();
    (prop::sample::select(opcodes), any::<u128>()).prop_filter_map("illegal", |(opcode, bits)| {
        decode(bits & !0xff & !SSEC | u128::from(opcode)).ok()
    })
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded_again(command in any_command()) {
        prop_assert_eq!(Command::decode(&command.encode()), Ok(command));
    }

    #[test]
    fn no_entry_makes_the_decoder_panic(entry in any::<[u64; 2]>(), e2h: bool, ds: bool) {
        let _ = Command::fields_of(&entry);
        if let Ok(command) = Command::decode(&entry) {
            let features = CommandFeatures { ds, ..CommandFeatures::ALL };
            let _ = command.check_supported(&features);
            let _ = command.scope(&features, e2h, 0);
            prop_assert!(command.to_string().starts_with(command.name()));
        }
    }

    #[test]
    fn a_range_begins_at_its_address_and_never_wraps(command in any_command(), ds: bool) {
        let features = CommandFeatures { ds, ..CommandFeatures::ALL };
        if let Some(Invalidation::Translations(TlbScope { address: Some(range), .. })) =
            command.scope(&features, false, 0)
        {
            prop_assert!(range.first <= range.last);
        }
    }
}
