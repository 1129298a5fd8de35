//! The records of a driver log, as its lines hold them.

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use serde_json::Value;

/// A line of a log.
#[derive(Debug, Deserialize)]
pub struct Line {
    /// Number of the record.
    #[serde(default)]
    pub n: u64,
    /// What it says.
    #[serde(flatten)]
    pub record: Record,
}

/// What a record says.
#[derive(Debug, Deserialize)]
#[serde(tag = "k", rename_all = "lowercase")]
pub enum Record {
    /// The machine. The first record of a log.
    Init(Init),
    /// Words that a CPU had stored by now.
    Mw(Words),
    /// A register read.
    R(RegisterAccess),
    /// A register write.
    W(RegisterAccess),
    /// A command that was consumed.
    Cmd(ConsumedCommand),
    /// A write by the device.
    Dw(Words),
    /// An access of a master.
    Dma(Access),
    /// What the driver told its caller.
    Promise(Promise),
    /// Caches were filled page by page.
    Warm(Range),
    /// An interrupt line was raised.
    Irq {},
    /// All caches were compared with memory.
    Audit {},
    /// A cached entry disagreed with memory.
    Stale {},
    /// A phase of the test.
    Note {},
    /// Anything else.
    #[serde(other)]
    Unknown,
}

/// The machine of a log. RAM starts at 0.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Init {
    /// Bytes of RAM.
    pub ram_size: Number,
    /// SMMU_IDR0.
    pub idr0: Number,
    /// SMMU_IDR1.
    pub idr1: Number,
    /// SMMU_IDR3.
    #[serde(default)]
    pub idr3: Number,
    /// SMMU_IDR5.
    pub idr5: Number,
    /// SMMU_AIDR.
    #[serde(default)]
    pub aidr: Number,
}

/// Words of memory.
#[derive(Debug, Deserialize)]
pub struct Words {
    /// Address of the first.
    pub pa: Number,
    /// What they are.
    #[serde(default)]
    pub what: String,
    /// The words: of 64 bits where a CPU stored them, of 32 bits where the device did.
    pub v: Vec<Number>,
}

/// A register access.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct RegisterAccess {
    /// Offset from the base of the SMMU.
    pub off: Number,
    /// Bytes.
    pub sz: u8,
    /// Value.
    pub v: Number,
}

/// A command, as the device consumed it.
#[derive(Debug, Deserialize)]
pub struct ConsumedCommand {
    /// Address of its entry.
    pub pa: Number,
    /// Its 128 bits.
    pub d: [Number; 2],
}

/// An access of a master.
#[derive(Debug, Deserialize)]
pub struct Access {
    /// StreamID.
    pub sid: Number,
    /// SubstreamID, where there is one.
    pub ssid: Option<Number>,
    /// Through an address translation cache of its own.
    #[serde(default)]
    pub ats: Number,
    /// First byte.
    pub iova: Number,
    /// Bytes.
    pub len: Number,
    /// `r` or `w`.
    pub rw: Direction,
    /// 0, an event number, 0xff for an abort without a record, 0xfe for an address outside of RAM.
    #[serde(default)]
    pub fault: Number,
    /// Physical address of each piece of 4 KiB.
    #[serde(default)]
    pub pas: Vec<Number>,
    /// It stalled on the way.
    #[serde(default)]
    pub stalled: Number,
    /// Cache hits that no longer agreed with memory.
    #[serde(default)]
    pub stale: Number,
}

/// Read or write.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub enum Direction {
    /// Read.
    #[serde(rename = "r")]
    Read,
    /// Write.
    #[serde(rename = "w")]
    Write,
}

/// A range of I/O virtual addresses of a stream.
#[derive(Debug, Deserialize)]
pub struct Range {
    /// StreamID.
    pub sid: Number,
    /// SubstreamID, where there is one.
    pub ssid: Option<Number>,
    /// First byte.
    pub iova: Number,
    /// Bytes.
    pub len: Number,
}

/// What the driver told its caller.
#[derive(Debug, Deserialize)]
pub struct Promise {
    /// StreamID, where it concerns one.
    pub sid: Option<Number>,
    /// First byte, where it concerns a range.
    pub iova: Option<Number>,
    /// Bytes of the range.
    pub len: Option<Number>,
}

/// A number: a JSON number, or a string of digits that may begin with `0x`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Number(pub u64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = match Value::deserialize(deserializer)? {
            Value::Number(number) => number.as_u64(),
            Value::Bool(set) => Some(u64::from(set)),
            Value::String(text) => match text.strip_prefix("0x") {
                Some(digits) => u64::from_str_radix(digits, 16).ok(),
                None => text.parse().ok(),
            },
            _ => None,
        };
        number.map(Self).ok_or_else(|| {
            D::Error::custom("a number of 64 bits is expected, decimal or as \"0x...\"")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_decimal_or_hexadecimal() {
        let numbers: Vec<Number> = serde_json::from_str(r#"[7, "0x10", "8", true]"#).unwrap();
        assert_eq!(numbers.iter().map(|n| n.0).collect::<Vec<_>>(), [7, 16, 8, 1]);
        for wrong in ["-1", "1.5", "\"0x\"", "\"0x10000000000000000\"", "null", "[]"] {
            assert!(serde_json::from_str::<Number>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_kind_that_is_not_known_is_passed_over() {
        let line: Line = serde_json::from_str(r#"{"n": 3, "k": "later", "x": 1}"#).unwrap();
        assert!(matches!((line.n, line.record), (3, Record::Unknown)));
    }
}
