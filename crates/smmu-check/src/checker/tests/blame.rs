//! The adversary keeps every rule. A driver that keeps them too is never blamed, and one that
//! leaves commands out is: the hardware never. Where the adversary forgets nothing at all, it is.

use super::script::World;
use super::{check, legal};
use crate::Blame;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// Tags: two domains that have VMID 1 one after the other, stage 1, and both stages.
const DOMAINS: [(&str, &str, u16); 4] =
    [("a", "s2", 1), ("b", "s2", 1), ("c", "s1", 3), ("n", "nested", 4)];

#[derive(Clone, Copy, Debug)]
enum Step {
    Map { domain: usize, page: u64, to: u64 },
    Unmap { domain: usize, page: u64, second: bool, forget: u8 },
    Attach { stream: usize, domain: usize },
    Detach { stream: usize, forget: u8 },
    Dma { stream: usize, page: u64 },
    Begin { stream: usize, page: u64 },
    Deliver,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (domain, stream, page, forget) = (0..4usize, 0..3usize, 1u64..4, any::<u8>());
    let step = prop_oneof![
        3 => (domain.clone(), page.clone(), 0u64..4)
            .prop_map(|(domain, page, to)| Step::Map { domain, page, to }),
        2 => (domain.clone(), page.clone(), any::<bool>(), forget)
            .prop_map(|(domain, page, second, forget)| Step::Unmap { domain, page, second, forget }),
        3 => (stream.clone(), domain).prop_map(|(stream, domain)| Step::Attach { stream, domain }),
        1 => (stream.clone(), forget).prop_map(|(stream, forget)| Step::Detach { stream, forget }),
        6 => (stream.clone(), page.clone()).prop_map(|(stream, page)| Step::Dma { stream, page }),
        2 => (stream, page).prop_map(|(stream, page)| Step::Begin { stream, page }),
        1 => Just(Step::Deliver),
    ];
    prop::collection::vec(step, 1..60)
}

/// A driver that writes a script.
struct Driver {
    lines: Vec<String>,
    attached: [Option<usize>; 3],
    mapped: BTreeSet<(usize, u64)>,
    open: Vec<u64>,
    begun: u64,
    /// Leaves out what `forget` names.
    forgetful: bool,
}

impl Driver {
    fn write(steps: &[Step], lazy: bool, forgetful: bool) -> String {
        let mut driver = Self {
            lines: Vec::new(),
            attached: [None; 3],
            mapped: BTreeSet::new(),
            open: Vec::new(),
            begun: 0,
            forgetful,
        };
        if lazy {
            driver.line("lazy");
        }
        for (name, kind, vmid) in DOMAINS {
            driver.line(&format!("domain {name} {kind} vmid={vmid} asid=7"));
        }
        for stream in 0..3 {
            driver.line(&format!("detach {stream}"));
        }
        for &step in steps {
            driver.step(step);
        }
        driver.deliver_all();
        driver.lines.join("\n")
    }

    fn line(&mut self, line: &str) {
        self.lines.push(line.to_owned());
    }

    /// A command, unless it is forgotten.
    fn command(&mut self, line: &str, forget: u8, bit: u8) {
        if !self.forgetful || forget >> bit & 1 == 0 {
            self.line(line);
        }
    }

    fn deliver_all(&mut self) {
        while !self.open.is_empty() {
            self.step(Step::Deliver);
        }
    }

    /// A CMD_SYNC completes when the transactions before it have ended.
    fn sync(&mut self, forget: u8, bit: u8) {
        self.deliver_all();
        self.command("sync", forget, bit);
    }

    /// Every stream uses every page: what is stale is used as long as it is there.
    fn noise(&mut self) {
        for stream in 0..3 {
            for page in 1..4 {
                self.line(&format!("dma {stream} {page:#x}000 auto"));
            }
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Map { domain, page, to } => {
                if self.mapped.insert((domain, page)) {
                    let (name, kind, _) = DOMAINS[domain];
                    let pa = 0x8000_0000 + (domain as u64 * 4 + to) * 0x1000;
                    if kind == "nested" {
                        self.line(&format!("map2 {name} {page:#x}000 {pa:#x}"));
                        self.line(&format!("map {name} {page:#x}000 {page:#x}000"));
                    } else {
                        self.line(&format!("map {name} {page:#x}000 {pa:#x}"));
                    }
                }
            }
            Step::Unmap { domain, page, second, forget } => {
                if self.mapped.remove(&(domain, page)) {
                    self.unmap(domain, page, second, forget);
                }
            }
            Step::Attach { stream, domain } => {
                let vmid = DOMAINS[domain].2;
                let mut others = self.attached.iter().flatten();
                let taken = others.any(|&other| other != domain && DOMAINS[other].2 == vmid);
                if self.attached[stream].is_none() && !taken {
                    self.attached[stream] = Some(domain);
                    self.line(&format!("attach {stream} {}", DOMAINS[domain].0));
                    self.line(&format!("cmd CFGI_STE stream={stream}"));
                    self.deliver_all();
                    self.line("sync");
                }
            }
            Step::Detach { stream, forget } => {
                if let Some(domain) = self.attached[stream].take() {
                    self.detach(stream, domain, forget);
                }
            }
            Step::Dma { stream, page } => self.line(&format!("dma {stream} {page:#x}000 auto")),
            Step::Begin { stream, page } => {
                self.begun += 1;
                let id = self.begun;
                self.line(&format!("t{id}: begin {stream} {page:#x}000"));
                self.line(&format!("t{id}: latch"));
                self.open.push(id);
            }
            Step::Deliver => {
                if let Some(id) = self.open.pop() {
                    self.line(&format!("t{id}: deliver"));
                    self.line(&format!("t{id}: end"));
                }
            }
        }
    }

    fn unmap(&mut self, domain: usize, page: u64, second: bool, forget: u8) {
        let (name, kind, vmid) = DOMAINS[domain];
        let address = format!("{page:#x}000");
        let by_ipa = format!("cmd S2_IPA vmid={vmid} address={address}");
        if kind == "nested" && second {
            self.line(&format!("unmap2 {name} {address}"));
            self.noise();
            self.command(&by_ipa, forget, 0);
            self.command(&format!("cmd NH_ALL vmid={vmid}"), forget, 1);
            self.sync(forget, 2);
            self.line(&format!("promise unmapped2 {name} {address}"));
        } else {
            self.line(&format!("unmap {name} {address}"));
            self.noise();
            if kind == "s2" {
                self.command(&by_ipa, forget, 0);
            } else {
                let by_va = format!("cmd NH_VA vmid={vmid} asid=7 address={address}");
                self.command(&by_va, forget, 0);
            }
            self.sync(forget, 2);
            self.line(&format!("promise unmapped {name} {address}"));
        }
        self.noise();
    }

    fn detach(&mut self, stream: usize, domain: usize, forget: u8) {
        let vmid = DOMAINS[domain].2;
        self.line(&format!("detach {stream}"));
        self.noise();
        self.command(&format!("cmd CFGI_STE stream={stream}"), forget, 0);
        self.sync(forget, 1);
        self.line(&format!("promise detached {stream}"));
        if !self.attached.contains(&Some(domain)) {
            self.command(&format!("cmd S12_VMALL vmid={vmid}"), forget, 2);
            self.sync(forget, 3);
            self.line(&format!("promise freed {vmid}"));
        }
        self.noise();
    }
}

fn blames(script: &str) -> Vec<(Blame, String)> {
    let world = World::run(script);
    let checker = world.checker.borrow();
    checker.verdicts().iter().map(|verdict| (verdict.blame, verdict.to_string())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn nobody_is_blamed_where_all_rules_are_kept(steps in steps(), lazy in any::<bool>()) {
        let script = Driver::write(&steps, lazy, false);
        let blames = blames(&script);
        prop_assert!(blames.is_empty(), "{}\n{}", blames[0].1, script);
    }

    #[test]
    fn the_hardware_is_never_blamed_for_a_forgetful_driver(
        steps in steps(),
        lazy in any::<bool>(),
    ) {
        let script = Driver::write(&steps, lazy, true);
        for (blame, text) in blames(&script) {
            prop_assert_eq!(blame, Blame::Driver, "{}\n{}", text, script);
        }
    }

    #[test]
    fn the_driver_is_never_blamed_for_deaf_hardware(steps in steps()) {
        let script = "deaf\n".to_owned() + &Driver::write(&steps, false, false);
        for (blame, text) in blames(&script) {
            prop_assert_eq!(blame, Blame::Hardware, "{}\n{}", text, script);
        }
    }
}

/// The properties would hold for a checker that is blind: these steps it must see.
#[test]
fn a_forgetful_driver_and_deaf_hardware_are_found() {
    let steps = [
        Step::Map { domain: 0, page: 1, to: 0 },
        Step::Attach { stream: 0, domain: 0 },
        Step::Dma { stream: 0, page: 1 },
        Step::Unmap { domain: 0, page: 1, second: false, forget: 1 },
    ];
    let script = Driver::write(&steps, false, true);
    let found = blames(&script);
    assert_eq!(found.len(), 1);
    assert!(found[0].1.contains("missing      CMD_TLBI_S2_IPA vmid=0x1"), "{}", found[0].1);
    let deaf = "deaf\n".to_owned() + &Driver::write(&steps, false, false);
    assert!(blames(&deaf).iter().any(|(blame, _)| *blame == Blame::Hardware));
}

/// More stores to one descriptor than are kept: what the entry was made from is forgotten, and the
/// driver that left it in the TLB is to blame all the same, not the hardware that used it.
#[test]
fn an_entry_that_outlived_many_mappings_is_judged_by_itself() {
    let script = |end: &str| {
        let remap = "map a 0x1000 0x80002000\n unmap a 0x1000\n".repeat(20);
        format!(
            "domain a s2 vmid=1
            attach 5 a
            cmd CFGI_STE stream=5
            sync
            map a 0x1000 0x80001000
            dma 5 0x1000 walk 1
            unmap a 0x1000
            {remap}
            {end}
            dma 5 0x1000 hit 1"
        )
    };
    legal(&script(""), 1);
    let missing = "CMD_TLBI_S2_IPA vmid=0x1 ipa=0x1000 leaf; CMD_SYNC";
    check(
        &script("promise unmapped a 0x1000"),
        &[&format!("Driver StaleTranslation 0x5 0x1000: {missing}")],
    );
    let kept = "cmd S2_IPA vmid=1 address=0x1000\n sync";
    check(&script(kept), &["Hardware StaleTranslation 0x5 0x1000"]);
}
