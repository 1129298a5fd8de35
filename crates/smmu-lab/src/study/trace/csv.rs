//! CSV: a header with any of `sid,ssid,vmid,asid,iova,size,rw`, and a line an access.
//!
//! Numbers are decimal, or hexadecimal behind `0x`. A size that is a power of two of 4096 or more
//! is that of the page; any other is the bytes of the access, which touches pages of 4 KiB. `rw`
//! is read and has no effect: look-ups are the same.

use super::{Access, PassedOver, Reading, Record, SPAN_MAX};
use crate::input::InputError;
use csv::{ReaderBuilder, StringRecord};
use std::io::BufRead;

/// Columns that are known.
const COLUMNS: [&str; 7] = ["sid", "ssid", "vmid", "asid", "iova", "size", "rw"];

pub(super) fn read(
    reading: &Reading<'_>,
    source: impl BufRead,
    mut each: impl FnMut(Record),
) -> Result<PassedOver, InputError> {
    let mut table = ReaderBuilder::new().trim(csv::Trim::All).from_reader(source);
    let wrong = |error: &csv::Error| {
        let line = error.position().map(|position| position.line() as usize);
        reading.wrong(line, error.to_string(), "give every line the columns of the header")
    };
    let places = places(reading, table.headers().map_err(|error| wrong(&error))?)?;
    let mut line = StringRecord::new();
    while table.read_record(&mut line).map_err(|error| wrong(&error))? {
        let at = line.position().map(|position| position.line() as usize);
        let number = |column: usize, most: u64| {
            let Some(text) = places[column].and_then(|place| line.get(place)) else {
                return Ok(0);
            };
            number(text).filter(|&value| value <= most).ok_or_else(|| {
                let cause = format!("`{text}` is no {} up to {most:#x}", COLUMNS[column]);
                reading.wrong(at, cause, "write a decimal number, or one behind 0x")
            })
        };
        let access = Access {
            sid: number(0, u32::MAX.into())? as u32,
            ssid: number(1, 0xf_ffff)? as u32,
            vmid: number(2, u16::MAX.into())? as u16,
            asid: number(3, u16::MAX.into())? as u16,
            ..Access::at(number(4, u64::MAX)?)
        };
        let record = sized(access, number(5, 1 << 52)?);
        if let Record::Span(_, bytes) = record
            && bytes > SPAN_MAX
        {
            let cause = format!("an access of {bytes} bytes is longer than {SPAN_MAX:#x}");
            let remedy = "give the size of the page, a power of two, or split the access";
            return Err(reading.wrong(at, cause, remedy));
        }
        each(record);
    }
    Ok(PassedOver(0))
}

fn sized(access: Access, size: u64) -> Record {
    match size {
        0..0x1000 if (access.iova & 0xfff) + size <= 0x1000 => Record::Access(access),
        page if page.is_power_of_two() && page >= 0x1000 => {
            Record::Access(Access { size_log2: page.ilog2() as u8, ..access })
        }
        bytes => Record::Span(access, bytes),
    }
}

/// Where each column stands.
fn places(reading: &Reading<'_>, header: &StringRecord) -> Result<[Option<usize>; 7], InputError> {
    let mut places = [None; 7];
    for (place, name) in header.iter().enumerate() {
        let known = COLUMNS.iter().position(|column| column.eq_ignore_ascii_case(name));
        let Some(column) = known else {
            let cause = format!("there is no column `{name}`");
            let remedy = format!("the columns are any of {}", COLUMNS.join(", "));
            return Err(reading.wrong(Some(1), cause, &remedy));
        };
        places[column] = Some(place);
    }
    if places[4].is_none() {
        let cause = "the header has no column `iova`".to_owned();
        return Err(reading.wrong(Some(1), cause, "the first line names the columns: iova,vmid"));
    }
    Ok(places)
}

pub(super) fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn records(text: &str) -> Result<Vec<Record>, String> {
        let mut records = Vec::new();
        let reading = Reading { path: Path::new("t.csv") };
        let read = read(&reading, text.as_bytes(), |record| records.push(record));
        read.map(|_| records).map_err(|error| error.to_string())
    }

    #[test]
    fn columns_come_in_any_order_and_may_be_left_out() {
        let expected = Access { vmid: 3, size_log2: 21, ..Access::at(0x20_0000) };
        let read = records("iova,rw,vmid,size\n0x200000,r,3,2097152\n");
        assert_eq!(read, Ok(vec![Record::Access(expected)]));
        assert_eq!(records("IOVA\n4096\n"), Ok(vec![Record::Access(Access::at(0x1000))]));
    }

    #[test]
    fn an_access_that_crosses_a_page_is_a_span() {
        let read = records("iova,size\n0xff8,8\n0xff8,16\n0,9000\n");
        let spans = [
            Record::Access(Access::at(0xff8)),
            Record::Span(Access::at(0xff8), 16),
            Record::Span(Access::at(0), 9000),
        ];
        assert_eq!(read, Ok(spans.to_vec()));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let check = |text: &str, parts: [&str; 2]| {
            let told = records(text).expect_err(text);
            parts.iter().for_each(|part| assert!(told.contains(part), "{told}"));
        };
        check("iova,vmid\n0,1\n0,70000\n", ["t.csv:3: `70000` is no vmid", "decimal"]);
        check("iova,vmdi\n", ["t.csv:1: there is no column `vmdi`", "vmid"]);
        check("iova,size\n0,0xffffffffffff1\n", ["t.csv:2: an access of", "power of two"]);
        check("vmid\n1\n", ["no column `iova`", "first line"]);
        check("iova,vmid\n1\n", ["t.csv:2", "columns of the header"]);
    }
}
