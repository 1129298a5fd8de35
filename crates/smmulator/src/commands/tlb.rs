//! `smmulator tlb`: TLBs over traces, without tables.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use smmu_lab::study::gem5::{Gem5Policy, load_rows};
use smmu_lab::study::trace::{Format, Ids};
use smmu_lab::study::workload::Stream;
use smmu_lab::study::{Geometry, Index, Options, PolicyKind, Subject, TaggedBy, study};

use crate::exit::{Error, Exit};
use crate::output;

/// Run a trace through a TLB: no tables, only what hits and what misses.
#[derive(Args, Debug)]
pub(crate) struct Tlb {
    /// The trace, plain or packed by gzip or zstd; - for stdin
    #[arg(required_unless_present_any = ["rows", "stream"])]
    trace: Option<PathBuf>,
    /// Format of the trace; without it the name tells
    #[arg(long, value_name = "FORMAT")]
    format: Option<FormatName>,
    /// VMIDs and ASIDs of the contexts of a packed trace
    #[arg(long, value_name = "IDS", default_value = "small")]
    ids: IdsName,
    /// A hierarchy instead of one TLB
    #[arg(long, value_name = "PRESET", conflicts_with_all = ["entries", "ways", "index", "tagged_by", "count", "mrc"])]
    preset: Option<Preset>,
    /// Entries, 1 to 1048576
    #[arg(long, value_name = "N", default_value = "2048")]
    entries: u32,
    /// Entries of a set; 0 for one set that holds all
    #[arg(long, value_name = "N", default_value = "4")]
    ways: u32,
    /// Which entry of a full set goes; a preset has rr, lru and rand of gem5
    #[arg(long, value_name = "POLICY", default_value = "rr")]
    policy: PolicyName,
    /// How the set of a page is found
    #[arg(long, value_name = "INDEX", default_value = "page")]
    index: IndexName,
    /// What entries are tagged with
    #[arg(long, value_name = "TAGS", default_value = "vm")]
    tagged_by: Tags,
    /// Start of random replacement
    #[arg(long, value_name = "N", default_value = "1")]
    seed: u64,
    /// Hits and misses only: their causes are not told apart
    #[arg(long)]
    count: bool,
    /// Print the misses of a fully associative LRU TLB of every size
    #[arg(long)]
    mrc: bool,
    /// Share of the pages that the curve looks at, above 0 and at most 1
    #[arg(long, value_name = "RATE", default_value = "1", requires = "mrc")]
    sample: f64,
    /// Run the streams and caches that a file of gem5's counts names, and compare
    #[arg(long, value_name = "FILE", conflicts_with = "trace")]
    rows: Option<PathBuf>,
    /// Write a stream such as zipf64k.c16 as a packed trace to stdout
    #[arg(long, value_name = "NAME", conflicts_with_all = ["trace", "rows"])]
    stream: Option<String>,
    /// How often the stream is written
    #[arg(long, value_name = "N", default_value = "1", requires = "stream")]
    repeat: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Formats by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum FormatName {
    /// A header with any of sid, ssid, vmid, asid, iova, size, rw
    Csv,
    /// 32 bits an access: context above page
    Packed,
    /// libCacheSim's oracleGeneral
    OracleGeneral,
    /// Trace events of QEMU or Linux
    Text,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum IdsName {
    /// VMID 1 to 4, ASID 1 to 4
    Small,
    /// VMID 1 to 4, ASID 0x100 to 0x4c0
    Spread,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Preset {
    /// gem5's SMMUv3 model as it is by default
    Gem5Default,
    /// The same with its SMMU TLB on
    Gem5SmmuTlb,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum PolicyName {
    /// Each set's ways in turn
    Rr,
    /// One turn for the whole TLB, as in gem5
    RrPerCache,
    /// Least recently used
    Lru,
    /// gem5's LRU: a new entry goes first until it is hit
    Gem5Lru,
    /// A tree of bits
    TreePlru,
    /// Drawn
    Rand,
    /// Drawn by the Mersenne Twister, as in gem5
    Gem5Rand,
    /// Re-reference interval prediction, two bits
    Rrip,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum IndexName {
    /// Low bits of the page number
    Page,
    /// Page number, ASID and VMID mixed
    PageXorTags,
    /// A hash of all of them
    Hash,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Tags {
    /// VMID and ASID
    Vm,
    /// StreamID and SubstreamID
    Stream,
}

impl Tlb {
    pub(crate) fn run(self) -> Result<Exit, Error> {
        if let Some(rows) = &self.rows {
            return self.compare(rows);
        }
        if let Some(name) = &self.stream {
            return self.write_stream(name);
        }
        let report = study(&self.options()?).map_err(|error| {
            let text = error.to_string();
            let (what, help) = text.split_once("\n  ").unwrap_or((&text, CHOOSE));
            Error::Typed { what: what.to_owned(), help: help.to_owned() }
        })?;
        match self.json {
            true => output::raw_json(&report.to_json())?,
            false => output::text(&report.to_string())?,
        }
        Ok(Exit::Held)
    }

    fn options(&self) -> Result<Options, Error> {
        if !(self.sample > 0.0 && self.sample <= 1.0) {
            let what = format!("a share of {} of the pages cannot be looked at", self.sample);
            let help = "choose a share above 0 and at most 1".to_owned();
            return Err(Error::Typed { what, help });
        }
        let geometry = Geometry {
            entries: self.entries,
            ways: self.ways,
            index: self.index(),
            policy: self.policy(),
            tagged_by: match self.tagged_by {
                Tags::Vm => TaggedBy::AddressSpace,
                Tags::Stream => TaggedBy::Stream,
            },
        };
        let subject = match self.preset {
            None => Subject::Tlb(geometry),
            Some(preset) => {
                let smmu_tlb = preset == Preset::Gem5SmmuTlb;
                Subject::Gem5 { policy: self.gem5_policy()?, smmu_tlb }
            }
        };
        Ok(Options {
            trace: self.trace.clone().unwrap_or_default(),
            format: self.format.map(|format| match format {
                FormatName::Csv => Format::Csv,
                FormatName::Packed => Format::Packed,
                FormatName::OracleGeneral => Format::OracleGeneral,
                FormatName::Text => Format::Text,
            }),
            ids: match self.ids {
                IdsName::Small => Ids::Small,
                IdsName::Spread => Ids::Spread,
            },
            subject,
            count: self.count,
            curve: self.mrc.then_some(self.sample),
        })
    }

    fn policy(&self) -> PolicyKind {
        let seed = self.seed;
        match self.policy {
            PolicyName::Rr => PolicyKind::RoundRobin,
            PolicyName::RrPerCache => PolicyKind::RoundRobinPerCache,
            PolicyName::Lru => PolicyKind::Lru,
            PolicyName::Gem5Lru => PolicyKind::Gem5Lru,
            PolicyName::TreePlru => PolicyKind::TreePlru,
            PolicyName::Rand => PolicyKind::Random { seed },
            PolicyName::Gem5Rand => PolicyKind::Gem5Random { seed },
            PolicyName::Rrip => PolicyKind::Rrip,
        }
    }

    fn index(&self) -> Index {
        match self.index {
            IndexName::Page => Index::Page,
            IndexName::PageXorTags => Index::PageXorTags,
            IndexName::Hash => Index::Hash,
        }
    }

    /// The policy of a preset: gem5's own, which seed themselves.
    fn gem5_policy(&self) -> Result<Gem5Policy, Error> {
        match self.policy {
            PolicyName::Rr | PolicyName::RrPerCache => Ok(Gem5Policy::RoundRobin),
            PolicyName::Lru | PolicyName::Gem5Lru => Ok(Gem5Policy::Lru),
            PolicyName::Rand | PolicyName::Gem5Rand => Ok(Gem5Policy::Random),
            PolicyName::TreePlru | PolicyName::Rrip => Err(Error::Typed {
                what: "gem5 has no such policy".to_owned(),
                help: "choose rr, lru or rand".to_owned(),
            }),
        }
    }

    fn write_stream(&self, name: &str) -> Result<Exit, Error> {
        let stream = Stream::named(name).ok_or_else(|| Error::Typed {
            what: format!("there is no stream `{name}`"),
            help: format!("choose one of {}", Stream::names().collect::<Vec<_>>().join(", ")),
        })?;
        let accesses = stream.accesses();
        let bytes: Vec<u8> = accesses.iter().flat_map(|word| word.to_le_bytes()).collect();
        // Bytes as they are: a writer that looks for colours would change them.
        let mut out = std::io::stdout().lock();
        (0..self.repeat).try_for_each(|_| out.write_all(&bytes))?;
        out.flush()?;
        Ok(Exit::Held)
    }

    /// Runs the rows of a file; they hold if every count is gem5's.
    fn compare(&self, path: &std::path::Path) -> Result<Exit, Error> {
        let typed = |error: smmu_lab::study::gem5::RowError| Error::Typed {
            what: error.to_string(),
            help: "name a file of rows: stream, cache, policy, ids, and counts".to_owned(),
        };
        let rows = load_rows(path).map_err(typed)?;
        let counted = rows.run().map_err(typed)?;
        let mut equal = 0;
        for (row, counted) in rows.rows.iter().zip(&counted) {
            let differences = row.differences(counted);
            equal += usize::from(differences.is_empty());
            for (name, theirs, ours) in differences {
                let what = format!("{} {} {} {}", row.stream, row.cache, row.policy, row.ids);
                output::text(&format!("{what}: {name} is {ours}, not {theirs}"))?;
            }
        }
        output::text(&format!("{equal} of {} rows are equal", rows.rows.len()))?;
        Ok(Exit::of(equal == rows.rows.len()))
    }
}

/// What to do about a TLB that cannot be built.
const CHOOSE: &str = "choose other --entries, --ways or --policy";
