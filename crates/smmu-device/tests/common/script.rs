//! Tests as text.
//!
//! ```text
//! map vmid=1 asid=7 0x1000 -> 0x8000 [size=0x1000] [ro] [global] [priv]
//! unmap vmid=1 asid=7 0x1000 [size=0x1000]
//! dma vmid=1 asid=7 [write] [priv] 0x1000 => 0x8000 walk      or: hit, or the name of a fault
//! cmd TLBI_NH_ASID vmid=1 asid=7; CMD_SYNC
//! shared vmid=1 asid=7                     its CD has ASET = 0, before the first dma
//! tlbi ASIDE1IS vmid=1 asid=7; DSB         a broadcast
//! ```
//!
//! An address space is named by its kind (`s1` unless said otherwise, `s2`, `nested`, `el2`), VMID
//! and ASID. Each has a stream of its own; `s2` of a VMID is the stage 2 of `nested` as well.

use super::spaces::edit_cd;
use super::{Bench, Kind, Setup, Space, broadcast, read};
use smmu_arch::{
    Access, Asid, CfgiCd, CfgiCdAll, CfgiSte, CfgiSteRange, Command, Direction, Granule, Path,
    StreamId, SubstreamId, TlbiAsid, TlbiEl2Va, TlbiEl2Vaa, TlbiIpa, TlbiRange, TlbiVa, TlbiVaa,
    TlbiVmid, TlbiVmidAsid, Transaction, Vmid,
};
use smmu_device::Progress;
use smmu_tables::Prot;

/// Runs a script on the default bench, once each way of running transactions.
pub fn check(script: &str) {
    check_with(Setup::default(), script);
}

pub fn check_with(setup: Setup, script: &str) {
    for stepwise in [false, true] {
        let mut bench = Bench::with(Setup { stepwise, ..setup });
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            run(&mut bench, line);
        }
    }
}

fn run(bench: &mut Bench, line: &str) {
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    match verb {
        "map" => {
            let (left, right) = rest.split_once("->").expect("map FROM -> TO");
            let (from, to) = (Words::of(left), Words::of(right));
            let bytes = to.number("size").unwrap_or(0x1000);
            let prot = Prot {
                write: !to.has("ro"),
                global: to.has("global"),
                privileged: to.has("priv"),
                ..Prot::READ
            };
            bench.map(from.space(), from.address(), to.address(), bytes, prot);
        }
        "unmap" => {
            let words = Words::of(rest);
            let bytes = words.number("size").unwrap_or(0x1000);
            bench.unmap(words.space(), words.address(), bytes);
        }
        "dma" => {
            let (left, expected) = rest.split_once("=>").expect("dma WHAT => RESULT");
            assert_eq!(dma(bench, &Words::of(left)), expected.trim(), "{line}");
        }
        "cmd" => {
            for command in rest.split(';').map(str::trim) {
                let command = parse(command, bench);
                bench.issue(command.encode());
            }
            assert_eq!(bench.pump(), Progress::Idle, "{line}");
            assert_eq!(bench.command_error(), None, "{line}");
        }
        "shared" => {
            let stream = bench.stream_of(Words::of(rest).space());
            edit_cd(bench, stream, |cd| cd.aset = false);
        }
        "tlbi" => {
            for instruction in rest.split(';').map(str::trim) {
                match broadcast::parse(&Words::of(instruction)) {
                    Some(tlbi) => bench.tlbi(tlbi),
                    None => bench.dsb(),
                }
            }
        }
        other => panic!("no verb {other}"),
    }
}

fn dma(bench: &mut Bench, words: &Words<'_>) -> String {
    let stream = bench.stream_of(words.space());
    let direction = if words.has("write") { Direction::Write } else { Direction::Read };
    let access = Access { privileged: words.has("priv"), ..Access::data(direction) };
    match bench.dma(&Transaction { access, ..read(stream, words.address()) }) {
        Err(refused) => refused.fault.map_or("abort", |fault| fault.name()).to_owned(),
        Ok(granted) => {
            let how = match granted.path {
                Path::Bypass => "bypass",
                Path::Hit(_) => "hit",
                Path::Walk => "walk",
            };
            format!("{:#x} {how}", granted.output.0)
        }
    }
}

fn parse(text: &str, bench: &mut Bench) -> Command {
    let words = Words::of(text);
    let vmid = Vmid(words.number("vmid").unwrap_or(0) as u16);
    let asid = Asid(words.number("asid").unwrap_or(0) as u16);
    let range = words.range();
    // The stream of an address space, or one by number.
    let mut stream = || match words.number("sid") {
        Some(sid) => StreamId(sid as u32),
        None => StreamId(bench.stream_of(words.space())),
    };
    let substream = SubstreamId(words.number("ssid").unwrap_or(0) as u32);
    match words.0[0] {
        "TLBI_NH_ALL" => Command::TlbiNhAll(TlbiVmid { vmid }),
        "TLBI_NH_ASID" => Command::TlbiNhAsid(TlbiVmidAsid { vmid, asid }),
        "TLBI_NH_VA" => Command::TlbiNhVa(TlbiVa { vmid, asid, range }),
        "TLBI_NH_VAA" => Command::TlbiNhVaa(TlbiVaa { vmid, range }),
        "TLBI_EL2_ALL" => Command::TlbiEl2All,
        "TLBI_EL2_ASID" => Command::TlbiEl2Asid(TlbiAsid { asid }),
        "TLBI_EL2_VA" => Command::TlbiEl2Va(TlbiEl2Va { asid, range }),
        "TLBI_EL2_VAA" => Command::TlbiEl2Vaa(TlbiEl2Vaa { range }),
        "TLBI_S12_VMALL" => Command::TlbiS12Vmall(TlbiVmid { vmid }),
        "TLBI_S2_IPA" => Command::TlbiS2Ipa(TlbiIpa { vmid, range }),
        "TLBI_NSNH_ALL" => Command::TlbiNsnhAll,
        "CFGI_STE" => Command::CfgiSte(CfgiSte { stream: stream(), leaf: true }),
        "CFGI_STE_RANGE" => {
            let range = words.number("range").expect("range=") as u8;
            Command::CfgiSteRange(CfgiSteRange { stream: stream(), range })
        }
        "CFGI_ALL" => Command::CfgiAll,
        "CFGI_CD" => Command::CfgiCd(CfgiCd { stream: stream(), substream, leaf: true }),
        "CFGI_CD_ALL" => Command::CfgiCdAll(CfgiCdAll { stream: stream() }),
        "CMD_SYNC" => Command::decode(&[0x46, 0]).expect("CMD_SYNC with SIG_NONE"),
        other => panic!("no command {other}"),
    }
}

/// The words of a line: `name=value` pairs, an address, flags.
pub struct Words<'a>(pub Vec<&'a str>);

impl<'a> Words<'a> {
    fn of(text: &'a str) -> Self {
        Self(text.split_whitespace().collect())
    }

    fn has(&self, flag: &str) -> bool {
        self.0.contains(&flag)
    }

    pub fn number(&self, name: &str) -> Option<u64> {
        let pairs = self.0.iter().filter_map(|word| word.split_once('='));
        pairs.filter(|(key, _)| *key == name).map(|(_, value)| number(value)).next()
    }

    fn address(&self) -> u64 {
        let mut plain = self.0.iter().filter(|w| w.starts_with("0x"));
        number(plain.next().expect("an address"))
    }

    fn space(&self) -> Space {
        let kind = match () {
            () if self.has("s2") => Kind::Stage2,
            () if self.has("nested") => Kind::Nested,
            () if self.has("el2") => Kind::El2,
            () => Kind::Stage1,
        };
        let of = |name| self.number(name).unwrap_or(0) as u16;
        Space { kind, vmid: of("vmid"), asid: of("asid") }
    }

    /// A single address; with `tg=4` a range of `num` and `scale`, with a `ttl`.
    pub fn range(&self) -> TlbiRange {
        let of = |name| self.number(name).unwrap_or(0);
        TlbiRange {
            address: self.0.iter().find(|w| w.starts_with("0x")).map_or(0, |w| number(w)),
            leaf: self.has("leaf"),
            granule: self.number("tg").map(|kib| match kib {
                4 => Granule::K4,
                16 => Granule::K16,
                _ => Granule::K64,
            }),
            level: of("ttl") as u8,
            level_128: false,
            num: of("num") as u8,
            scale: of("scale") as u8,
        }
    }
}

fn number(text: &str) -> u64 {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(&hex.replace('_', ""), 16),
        None => text.parse(),
    };
    parsed.unwrap_or_else(|_| panic!("no number: {text}"))
}
