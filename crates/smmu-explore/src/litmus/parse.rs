//! The file: declarations, programs, outcomes.

use super::token::{Kind, Token, tokens};
use super::{
    Access, Atom, AtomEnd, Device, DmaBlock, Leaf, Litmus, Map, Page, Rule, SmmuLine, Space,
    SpareTable, SteValue, Target,
};
use smmu_arch::{Asid, Vmid};
use smmu_machine::{Diagnostic, MemoryOrder, suggest};
use std::ops::Range;

pub(super) type Parsed<T> = Result<T, Diagnostic>;

/// Reads a file word by word.
pub(super) struct Parser<'t> {
    file: &'t str,
    text: &'t str,
    tokens: Vec<Token>,
    at: usize,
    pub(super) litmus: Litmus,
    pub(super) locks: Vec<String>,
}

const ITEMS: [&str; 11] = [
    "title", "memory", "smmu", "page", "space", "table", "device", "cpu", "dma", "forbid", "allow",
];

pub(super) fn parse(file: &str, text: &str) -> Parsed<Litmus> {
    let litmus = Litmus {
        title: String::new(),
        memory: MemoryOrder::Arm,
        smmus: Vec::new(),
        pages: Vec::new(),
        spaces: Vec::new(),
        tables: Vec::new(),
        devices: Vec::new(),
        cpus: Vec::new(),
        dmas: Vec::new(),
        rules: Vec::new(),
    };
    let tokens = tokens(file, text)?;
    let mut parser = Parser { file, text, tokens, at: 0, litmus, locks: Vec::new() };
    while parser.peek() != &Kind::End {
        if !parser.take_break() {
            parser.item()?;
        }
    }
    parser.finish()
}

impl Parser<'_> {
    fn item(&mut self) -> Parsed<()> {
        let span = self.span();
        match self.name(&ITEMS)?.as_str() {
            "title" => self.title(),
            "memory" => self.memory(),
            "smmu" => self.smmu(),
            "page" => self.pages(),
            "space" => self.space(),
            "table" => self.table(),
            "device" => self.device(),
            "cpu" => self.cpu(),
            "dma" => self.dma(),
            "forbid" => self.rule(span, true),
            "allow" => self.rule(span, false),
            other => Err(self.unknown(span, "declaration", other, &ITEMS)),
        }
    }

    fn finish(self) -> Parsed<Litmus> {
        let end = self.text.len()..self.text.len();
        let missing = if self.litmus.cpus.is_empty() {
            Some("no CPU does anything: add `cpu { … }`")
        } else if self.litmus.dmas.is_empty() {
            Some("no device does anything: add `dma NAME DEVICE { … }`")
        } else {
            None
        };
        match missing {
            Some(help) => Err(self.error(end, "the test is not complete", help)),
            None => Ok(self.litmus),
        }
    }

    fn title(&mut self) -> Parsed<()> {
        match self.next().kind {
            Kind::Text(text) => self.litmus.title = text,
            _ => return Err(self.before("a text in quotes", "write title \"what it shows\"")),
        }
        self.end_line()
    }

    fn memory(&mut self) -> Parsed<()> {
        let names = ["sc", "tso", "arm"];
        let span = self.span();
        self.litmus.memory = match self.name(&names)?.as_str() {
            "sc" => MemoryOrder::Sc,
            "tso" => MemoryOrder::Tso,
            "arm" => MemoryOrder::Arm,
            other => return Err(self.unknown(span, "memory order", other, &names)),
        };
        self.end_line()
    }

    fn smmu(&mut self) -> Parsed<()> {
        let name = self.new_name()?;
        let broadcast = self.take_name("broadcast");
        self.litmus.smmus.push(SmmuLine { name, broadcast });
        self.end_line()
    }

    fn pages(&mut self) -> Parsed<()> {
        let first = self.litmus.pages.len();
        loop {
            let name = self.new_name()?;
            self.litmus.pages.push(Page { name, size_log2: 12 });
            if !self.take(",") {
                break;
            }
        }
        if let Kind::Number(bytes) = *self.peek() {
            if ![12, 21, 30].iter().any(|&log2| bytes == 1 << log2) {
                return Err(self.here("no leaf has this size", "write 4K, 2M or 1G"));
            }
            self.next();
            let log2 = bytes.trailing_zeros() as u8;
            self.litmus.pages[first..].iter_mut().for_each(|page| page.size_log2 = log2);
        }
        self.end_line()
    }

    fn space(&mut self) -> Parsed<()> {
        let name = self.new_name()?;
        let mut space = Space { name, asid: None, vmid: Vmid(0), over: None, maps: Vec::new() };
        let words = ["asid", "vmid", "over"];
        while let Kind::Name(_) = self.peek() {
            let span = self.span();
            match self.name(&words)?.as_str() {
                "asid" => space.asid = Some(Asid(self.number(1..=0xffff)? as u16)),
                "vmid" => space.vmid = Vmid(self.number(0..=0xffff)? as u16),
                "over" => space.over = Some(self.stage2_space()?),
                other => return Err(self.unknown(span, "property of a space", other, &words)),
            }
        }
        if let Some(over) = space.over {
            space.vmid = self.litmus.spaces[over].vmid;
            if space.asid.is_none() {
                let help = "give it an `asid`: without one it is a stage 2 itself";
                return Err(self.here("only a stage 1 lies over a stage 2", help));
            }
        }
        space.maps = self.maps(space.over.is_some())?;
        self.litmus.spaces.push(space);
        Ok(())
    }

    fn stage2_space(&mut self) -> Parsed<usize> {
        let space = self.space_name()?;
        match self.litmus.spaces[space].asid {
            None => Ok(space),
            Some(_) => Err(self.before("a space of stage 2", "name a space without `asid`")),
        }
    }

    fn table(&mut self) -> Parsed<()> {
        let name = self.new_name()?;
        self.expect_name("of")?;
        let space = self.space_name()?;
        self.expect_name("level")?;
        let level = self.number(1..=3)? as i8;
        let maps = self.maps(self.litmus.spaces[space].over.is_some())?;
        self.litmus.tables.push(SpareTable { name, space, level, maps });
        Ok(())
    }

    /// `{ map ADDRESS -> TARGET … }`.
    fn maps(&mut self, nested: bool) -> Parsed<Vec<Map>> {
        let mut maps = Vec::new();
        self.open()?;
        while !self.close()? {
            self.expect_name("map")?;
            let input = self.number(0..=(1 << 48) - 1)?;
            self.expect("->")?;
            let leaf = self.leaf(nested)?;
            let size_log2 = self.size_of(&leaf);
            if input % (1 << size_log2) != 0 {
                let what = format!("{input:#x} is not aligned to the page");
                return Err(self.before(&what, "choose a multiple of its size"));
            }
            maps.push(Map { input, leaf });
            self.end_line()?;
        }
        Ok(maps)
    }

    fn size_of(&self, leaf: &Leaf) -> u8 {
        match leaf.target {
            Target::Page(page) => self.litmus.pages[page].size_log2,
            Target::Ipa(_) => 12,
        }
    }

    /// `PAGE|ADDRESS [ro] [global]`.
    pub(super) fn leaf(&mut self, nested: bool) -> Parsed<Leaf> {
        let target = match *self.peek() {
            Kind::Number(_) if nested => Target::Ipa(self.number(0..=(1 << 48) - 1)? & !0xfff),
            _ => Target::Page(self.page_name()?),
        };
        let (mut read_only, mut global) = (false, false);
        loop {
            if self.take_name("ro") {
                read_only = true;
            } else if self.take_name("global") {
                global = true;
            } else {
                return Ok(Leaf { target, read_only, global });
            }
        }
    }

    fn device(&mut self) -> Parsed<()> {
        let name = self.new_name()?;
        let stream = self.litmus.devices.len() as u32 + 1;
        let mut device = Device { name, stream, smmu: 0, start: SteValue::Invalid, ats: false };
        let words = ["stream", "on", "ats", "invalid", "abort", "bypass", "uses"];
        while let Kind::Name(_) = self.peek() {
            let span = self.span();
            match self.name(&words)?.as_str() {
                "stream" => device.stream = self.number(0..=63)? as u32,
                "on" => device.smmu = self.smmu_name()?,
                "ats" => device.ats = true,
                "uses" => device.start = SteValue::Space(self.space_name()?),
                "invalid" => device.start = SteValue::Invalid,
                "abort" => device.start = SteValue::Abort,
                "bypass" => device.start = SteValue::Bypass,
                other => return Err(self.unknown(span, "property of a device", other, &words)),
            }
        }
        let same = |other: &Device| (other.smmu, other.stream) == (device.smmu, device.stream);
        if self.litmus.devices.iter().any(same) {
            return Err(self.before("a stream of its own", "give it another `stream`"));
        }
        self.default_smmu();
        self.litmus.devices.push(device);
        self.end_line()
    }

    fn cpu(&mut self) -> Parsed<()> {
        self.default_smmu();
        self.open()?;
        let mut program = Vec::new();
        while !self.close()? {
            program.push(self.statement()?);
            self.end_line()?;
        }
        self.litmus.cpus.push(program);
        Ok(())
    }

    fn dma(&mut self) -> Parsed<()> {
        let name = self.new_name()?;
        let device = self.device_name()?;
        let busy = self.litmus.dmas.iter().any(|block| block.device == device);
        if busy && self.litmus.devices[device].ats {
            let help = "put its accesses into one `dma`, or take another device";
            return Err(self.before("a device that makes no other DMA: it has ATS", help));
        }
        let mut accesses = Vec::new();
        self.open()?;
        let words = ["read", "write"];
        while !self.close()? {
            let span = self.span();
            let write = match self.name(&words)?.as_str() {
                "read" => false,
                "write" => true,
                other => return Err(self.unknown(span, "access", other, &words)),
            };
            accesses.push(Access { write, iova: self.number(0..=(1 << 48) - 1)? & !7 });
            self.end_line()?;
        }
        if accesses.is_empty() {
            return Err(self.before("an access", "write `read ADDRESS` or `write ADDRESS`"));
        }
        self.litmus.dmas.push(DmaBlock { name, device, accesses });
        Ok(())
    }

    fn rule(&mut self, start: Range<usize>, forbid: bool) -> Parsed<()> {
        let mut atoms = vec![self.atom()?];
        while self.take_name("and") {
            atoms.push(self.atom()?);
        }
        let end = self.tokens[self.at - 1].span.end;
        self.litmus.rules.push(Rule { forbid, atoms, span: start.start..end });
        self.end_line()
    }

    /// `DMA[.N] faults` or `DMA[.N] -> PAGE [free]`.
    fn atom(&mut self) -> Parsed<Atom> {
        let names = self.litmus.dmas.iter().map(|block| block.name.clone()).collect();
        let block = self.one_of("DMA", names)?;
        let count = self.litmus.dmas[block].accesses.len() as u64;
        let access = if self.take(".") { self.number(0..=count - 1)? as usize } else { 0 };
        let end = if self.take_name("faults") {
            AtomEnd::Faults
        } else {
            self.expect("->")?;
            let page = self.page_name()?;
            let free = self.take_name("free");
            if free { AtomEnd::ReachesFree(page) } else { AtomEnd::Reaches(page) }
        };
        Ok(Atom { access: (block, access), end })
    }

    fn default_smmu(&mut self) {
        if self.litmus.smmus.is_empty() {
            self.litmus.smmus.push(SmmuLine { name: "smmu0".to_owned(), broadcast: true });
        }
    }
}

/// Names of what was declared.
impl Parser<'_> {
    pub(super) fn smmu_name(&mut self) -> Parsed<usize> {
        self.default_smmu();
        let names = self.litmus.smmus.iter().map(|smmu| smmu.name.clone()).collect();
        self.one_of("SMMU", names)
    }

    pub(super) fn page_name(&mut self) -> Parsed<usize> {
        let names = self.litmus.pages.iter().map(|page| page.name.clone()).collect();
        self.one_of("page", names)
    }

    pub(super) fn space_name(&mut self) -> Parsed<usize> {
        let names = self.litmus.spaces.iter().map(|space| space.name.clone()).collect();
        self.one_of("space", names)
    }

    pub(super) fn table_name(&mut self) -> Parsed<usize> {
        let names = self.litmus.tables.iter().map(|table| table.name.clone()).collect();
        self.one_of("table", names)
    }

    pub(super) fn device_name(&mut self) -> Parsed<usize> {
        let names = self.litmus.devices.iter().map(|device| device.name.clone()).collect();
        self.one_of("device", names)
    }

    fn one_of(&mut self, what: &str, names: Vec<String>) -> Parsed<usize> {
        let span = self.span();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let name = self.name(&names)?;
        let found = names.iter().position(|known| *known == name);
        found.ok_or_else(|| self.unknown(span, what, &name, &names))
    }

    fn new_name(&mut self) -> Parsed<String> {
        let span = self.span();
        let name = self.name(&[])?;
        let litmus = &self.litmus;
        let mut taken = (litmus.pages.iter().map(|page| &page.name))
            .chain(litmus.spaces.iter().map(|space| &space.name))
            .chain(litmus.tables.iter().map(|table| &table.name))
            .chain(litmus.devices.iter().map(|device| &device.name))
            .chain(litmus.smmus.iter().map(|smmu| &smmu.name))
            .chain(litmus.dmas.iter().map(|block| &block.name));
        if taken.any(|known| *known == name) {
            let what = format!("`{name}` is the name of something else");
            return Err(self.error(span, &what, "choose another name"));
        }
        Ok(name)
    }
}

/// Words.
impl Parser<'_> {
    pub(super) fn peek(&self) -> &Kind {
        &self.tokens[self.at].kind
    }

    pub(super) fn span(&self) -> Range<usize> {
        self.tokens[self.at].span.clone()
    }

    /// Where the word before ends.
    pub(super) fn end_of_last(&self) -> usize {
        self.tokens[self.at.saturating_sub(1)].span.end
    }

    fn next(&mut self) -> Token {
        let token = self.tokens[self.at].clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    /// A name; `meant` are those that fit, for the remedy.
    pub(super) fn name(&mut self, meant: &[&str]) -> Parsed<String> {
        match self.peek().clone() {
            Kind::Name(name) => {
                self.next();
                Ok(name)
            }
            _ if meant.is_empty() => Err(self.here("a name is missing", "write one here")),
            _ => {
                Err(self.here("a word is missing", &format!("write one of: {}", meant.join(", "))))
            }
        }
    }

    pub(super) fn take_name(&mut self, name: &str) -> bool {
        let is_it = matches!(self.peek(), Kind::Name(found) if found == name);
        if is_it {
            self.next();
        }
        is_it
    }

    pub(super) fn expect_name(&mut self, name: &str) -> Parsed<()> {
        if self.take_name(name) {
            return Ok(());
        }
        Err(self.here(&format!("`{name}` is missing"), &format!("write `{name}` here")))
    }

    pub(super) fn take(&mut self, symbol: &str) -> bool {
        let is_it = matches!(self.peek(), Kind::Symbol(found) if *found == symbol);
        if is_it {
            self.next();
        }
        is_it
    }

    pub(super) fn expect(&mut self, symbol: &str) -> Parsed<()> {
        if self.take(symbol) {
            return Ok(());
        }
        Err(self.here(&format!("`{symbol}` is missing"), &format!("write `{symbol}` here")))
    }

    pub(super) fn number(&mut self, range: std::ops::RangeInclusive<u64>) -> Parsed<u64> {
        let (first, last) = (range.start(), range.end());
        let help = format!("write a number from {first:#x} to {last:#x}");
        match *self.peek() {
            Kind::Number(number) if range.contains(&number) => {
                self.next();
                Ok(number)
            }
            Kind::Number(_) => Err(self.here("this number is out of range", &help)),
            _ => Err(self.here("a number is missing", &help)),
        }
    }

    fn take_break(&mut self) -> bool {
        let is_it = *self.peek() == Kind::Break;
        if is_it {
            self.next();
        }
        is_it
    }

    fn open(&mut self) -> Parsed<()> {
        self.expect("{")?;
        self.take_break();
        Ok(())
    }

    fn close(&mut self) -> Parsed<bool> {
        self.take_break();
        if *self.peek() == Kind::End {
            return Err(self.here("`}` is missing", "close the block"));
        }
        Ok(self.take("}"))
    }

    fn end_line(&mut self) -> Parsed<()> {
        if self.take_break() || matches!(self.peek(), Kind::Symbol("}")) {
            return Ok(());
        }
        let help = "begin a new line, or put a semicolon here";
        Err(self.here("the line goes on where it should end", help))
    }

    pub(super) fn here(&self, what: &str, help: &str) -> Diagnostic {
        self.error(self.span(), what, help)
    }

    /// The word before this place is not what was wanted.
    pub(super) fn before(&self, wanted: &str, help: &str) -> Diagnostic {
        let span = self.tokens[self.at.saturating_sub(1)].span.clone();
        self.error(span, &format!("wanted: {wanted}"), help)
    }

    pub(super) fn unknown(
        &self,
        span: Range<usize>,
        what: &str,
        name: &str,
        known: &[&str],
    ) -> Diagnostic {
        let help = suggest::remedy(name, known.iter().copied());
        self.error(span, &format!("no {what} is named `{name}`"), &help)
    }

    fn error(&self, span: Range<usize>, what: &str, help: &str) -> Diagnostic {
        Diagnostic::at(self.file, self.text, span, what.to_owned(), Some(help.to_owned()))
    }
}
