//! Trace events that other tools print: QEMU's SMMUv3 and VT-d models, and Linux's `iommu` events.
//!
//! | event | is |
//! |---|---|
//! | `smmu_iotlb_lookup_hit`, `_miss` | an access of ASID and VMID |
//! | `smmu_iotlb_inv_all`, `_inv_vmid`, `_inv_asid_vmid`, `_inv_asid`, `_inv_iova`, `smmuv3_range_inval` | an invalidation |
//! | `vtd_iotlb_page_hit`, `vtd_iotlb_page_update` | an access of the source; the domain is the VMID |
//! | `vtd_inv_desc_iotlb_global`, `_domain`, `vtd_iotlb_reset` | an invalidation |
//! | `map: IOMMU` | an access to each page of what is mapped: a device is told of it next |
//! | `unmap: IOMMU` | an invalidation of the range |
//!
//! Other lines are passed over, and counted.

use super::csv::number;
use super::{Access, Forget, PassedOver, Reading, Record, SPAN_MAX};
use crate::input::InputError;
use std::io::BufRead;

pub(super) fn read(
    reading: &Reading<'_>,
    mut source: impl BufRead,
    mut each: impl FnMut(Record),
) -> Result<PassedOver, InputError> {
    let (mut passed, mut known) = (0, false);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = source.read_until(b'\n', &mut line).map_err(|error| reading.damaged(&error))?;
        if read == 0 {
            break;
        }
        match record(&String::from_utf8_lossy(&line)) {
            Some(record) => {
                known = true;
                each(record);
            }
            None => passed += 1,
        }
    }
    if !known && passed > 0 {
        let cause = "no line is a trace event that is known".to_owned();
        let remedy = "give events smmu_iotlb_*, vtd_iotlb_* of QEMU, or iommu:map of Linux";
        return Err(reading.wrong(None, cause, remedy));
    }
    Ok(PassedOver(passed))
}

/// The record of a line, if it is one.
fn record(line: &str) -> Option<Record> {
    if let Some((_, mapped)) = line.split_once("unmap: IOMMU:") {
        let range = linux_range(mapped)?;
        return Some(Record::Forget(Forget { range: Some(range), ..Forget::default() }));
    }
    if let Some((_, mapped)) = line.split_once("map: IOMMU:") {
        let (first, last) = linux_range(mapped)?;
        let bytes = (last - first).checked_add(1).filter(|&bytes| bytes <= SPAN_MAX)?;
        return Some(Record::Span(Access::at(first), bytes));
    }
    let (event, operands) = event(line)?;
    let value = |name: &str| value_of(operands, name);
    let small = |name: &str| value(name).map(|value| value as u16);
    let forget = |forget| Some(Record::Forget(forget));
    match event {
        "smmu_iotlb_lookup_hit" | "smmu_iotlb_lookup_miss" => Some(Record::Access(Access {
            asid: small("asid")?,
            vmid: small("vmid").unwrap_or(0),
            ..Access::at(value("addr")?)
        })),
        "smmu_iotlb_inv_all" | "vtd_inv_desc_iotlb_global" | "vtd_iotlb_reset" => {
            forget(Forget::default())
        }
        "smmu_iotlb_inv_vmid" | "smmu_iotlb_inv_vmid_s1" => {
            forget(Forget { vmid: Some(small("vmid")?), ..Forget::default() })
        }
        "smmu_iotlb_inv_asid" | "smmu_iotlb_inv_asid_vmid" => {
            forget(Forget { asid: Some(small("asid")?), vmid: small("vmid"), ..Forget::default() })
        }
        "smmu_iotlb_inv_iova" => {
            let first = value("addr")?;
            let range = Some((first, first | 0xfff));
            forget(Forget { asid: small("asid"), vmid: None, range })
        }
        "smmuv3_range_inval" => {
            let granule = 10 + 2 * value("tg").filter(|tg| (1..=3).contains(tg)).unwrap_or(1);
            let bytes = value("num_pages")?.checked_mul(1 << granule)?;
            let first = value("addr")?;
            let range = Some((first, first.saturating_add(bytes.max(1) - 1)));
            forget(Forget { vmid: small("vmid"), asid: asid_of_range(operands), range })
        }
        "vtd_iotlb_page_hit" | "vtd_iotlb_page_update" => Some(Record::Access(Access {
            sid: value("sid")? as u32,
            vmid: small("domain")?,
            ..Access::at(value("iova")?)
        })),
        "vtd_inv_desc_iotlb_domain" => {
            forget(Forget { vmid: Some(small("domain")?), ..Forget::default() })
        }
        _ => None,
    }
}

/// An ASID of a range; QEMU prints -1 for every one.
fn asid_of_range(operands: &str) -> Option<u16> {
    value_of(operands, "asid").filter(|asid| *asid <= u16::MAX.into()).map(|asid| asid as u16)
}

/// The event of a line of QEMU and what follows it, whatever the log puts in front.
fn event(line: &str) -> Option<(&str, &str)> {
    let begin = ["smmu_", "smmuv3_", "vtd_"].iter().filter_map(|name| line.find(name)).min()?;
    let line = line[begin..].trim_end();
    Some(line.split_once(char::is_whitespace).unwrap_or((line, "")))
}

/// The number behind `name=`, `name:` or the word `name`.
fn value_of(operands: &str, name: &str) -> Option<u64> {
    let mut words = operands.split(|c: char| c.is_whitespace() || "=:,".contains(c));
    words.by_ref().find(|word| *word == name)?;
    words.find(|word| !word.is_empty()).and_then(number)
}

/// `iova=FIRST - END ...`: the first and last address of something that is not empty.
fn linux_range(text: &str) -> Option<(u64, u64)> {
    let (_, text) = text.split_once("iova=")?;
    let mut ends = text.split_whitespace().filter(|word| *word != "-").map(number);
    let (first, end) = (ends.next()??, ends.next()??);
    (end > first).then(|| (first, end - 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn forget(vmid: Option<u16>, asid: Option<u16>, range: Option<(u64, u64)>) -> Option<Record> {
        Some(Record::Forget(Forget { vmid, asid, range }))
    }

    #[test]
    fn qemus_smmu_events() {
        let miss =
            "1@2.3:smmu_iotlb_lookup_miss IOTLB cache MISS asid=7 vmid=1 addr=0x80000000 hit=0";
        let access = Access { asid: 7, vmid: 1, ..Access::at(0x8000_0000) };
        assert_eq!(record(miss), Some(Record::Access(access)));
        let asid = "smmu_iotlb_inv_asid_vmid IOTLB invalidate asid=7 vmid=1";
        assert_eq!(record(asid), forget(Some(1), Some(7), None));
        let range = "smmuv3_range_inval vmid=1 asid=7 addr=0x80000000 tg=1 num_pages=0x200 ttl=3";
        let whole = Some((0x8000_0000, 0x801f_ffff));
        assert_eq!(record(range), forget(Some(1), Some(7), whole));
        let any = "smmuv3_range_inval vmid=1 asid=-1 addr=0x0 tg=3 num_pages=0x1 ttl=0";
        assert_eq!(record(any), forget(Some(1), None, Some((0, 0xffff))));
        assert_eq!(record("smmu_iotlb_insert IOTLB ++ asid=7 vmid=1 addr=0x80000000"), None);
    }

    #[test]
    fn qemus_vtd_events() {
        let hit =
            "1@2.3:vtd_iotlb_page_hit IOTLB page hit sid 0x8 iova 0xffffe000 slpte 0x3 domain 0x1";
        let access = Access { sid: 8, vmid: 1, ..Access::at(0xffff_e000) };
        assert_eq!(record(hit), Some(Record::Access(access)));
    }

    #[test]
    fn linux_events() {
        let map = "kworker/3:1-118 [003] 1.5: map: IOMMU: iova=0x00000000fffff000 - 0x0000000100000000 paddr=0x41000000 size=4096";
        assert_eq!(record(map), Some(Record::Span(Access::at(0xffff_f000), 0x1000)));
        let unmap = "x: unmap: IOMMU: iova=0xfffff000 - 0x100000000 size=4096 unmapped_size=4096";
        assert_eq!(record(unmap), forget(None, None, Some((0xffff_f000, 0xffff_ffff))));
        assert_eq!(record("map: IOMMU: iova=0x5000 - 0x5000 size=0"), None);
        assert_eq!(record("map: IOMMU: iova=0x0 - 0xffffffffffffffff size=0"), None, "too long");
    }

    #[test]
    fn what_is_not_known_is_passed_over_unless_nothing_is_known() {
        let reading = Reading { path: Path::new("t.log") };
        let text = "# comment\nsmmu_iotlb_inv_all IOTLB invalidate all\n\u{fffd}\n";
        assert_eq!(read(&reading, text.as_bytes(), |_| {}), Ok(PassedOver(2)));
        assert!(read(&reading, &b"hello\n"[..], |_| {}).is_err());
        assert_eq!(read(&reading, &b""[..], |_| {}), Ok(PassedOver(0)));
    }
}
