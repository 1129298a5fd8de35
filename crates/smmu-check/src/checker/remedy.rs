//! The smallest commands that would have covered what was used.

use smmu_arch::{
    AddressSpace, CfgiCd, CfgiSte, Command, ConfigKey, EntryKind, Promise, StreamWorld, TlbEntry,
    TlbiAsid, TlbiEl2Va, TlbiIpa, TlbiRange, TlbiVa, TlbiVmid, TlbiVmidAsid,
};

/// The command that takes an STE or CD away, or also its level 1 descriptor.
pub(super) const fn for_configuration(key: ConfigKey, level1: bool) -> Command {
    let leaf = !level1;
    match key {
        ConfigKey::Ste(stream) => Command::CfgiSte(CfgiSte { stream, leaf }),
        ConfigKey::Cd(stream, substream) => Command::CfgiCd(CfgiCd { stream, substream, leaf }),
    }
}

/// The commands that take every translation of a tag away, where a promise about the tag was
/// broken.
pub(super) fn for_tag(space: &AddressSpace, promise: &Promise) -> Option<Vec<Command>> {
    let AddressSpace { world, vmid, asid, .. } = *space;
    match promise {
        Promise::VmidFreed { .. } | Promise::VmidAssigned { .. } => {
            Some(vec![Command::TlbiS12Vmall(TlbiVmid { vmid })])
        }
        Promise::AsidFreed { .. } | Promise::AsidAssigned { .. } => Some(vec![match world {
            StreamWorld::NsEl1 => Command::TlbiNhAsid(TlbiVmidAsid { vmid, asid }),
            StreamWorld::El2 => Command::TlbiEl2All,
            StreamWorld::El2E2h => Command::TlbiEl2Asid(TlbiAsid { asid }),
        }]),
        _ => None,
    }
}

/// The commands that take one translation away. `table`: a table descriptor was changed, not a
/// leaf. `stage2`: it was changed at stage 2.
pub(super) fn for_translation(entry: &TlbEntry, table: bool, stage2: bool) -> Vec<Command> {
    let AddressSpace { world, kind, vmid, asid, .. } = entry.space;
    let range = TlbiRange::single(entry.input & !0xfff, !table);
    let by_ipa = |ipa: u64| {
        Command::TlbiS2Ipa(TlbiIpa { vmid, range: TlbiRange::single(ipa & !0xfff, !table) })
    };
    match (world, kind) {
        (StreamWorld::El2 | StreamWorld::El2E2h, _) => {
            vec![Command::TlbiEl2Va(TlbiEl2Va { asid, range })]
        }
        (StreamWorld::NsEl1, EntryKind::Stage2) => vec![by_ipa(entry.input)],
        (StreamWorld::NsEl1, EntryKind::Combined) if stage2 => {
            // TLBI by IPA need not remove entries that combine stages.
            let ipa = entry.stage2.map_or(0, |leaf| leaf.base);
            vec![by_ipa(ipa), Command::TlbiNhAll(TlbiVmid { vmid })]
        }
        (StreamWorld::NsEl1, _) => vec![Command::TlbiNhVa(TlbiVa { vmid, asid, range })],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smmu_arch::{
        Asid, Attributes, CommandFeatures, Granule, Leaf, Pa, Permissions, SmmuId, Vmid,
    };

    fn entry(world: StreamWorld, kind: EntryKind) -> TlbEntry {
        let leaf = |base| Leaf { base, span_log2: 21, level: 2, granule: Granule::K4 };
        TlbEntry {
            space: AddressSpace { world, kind, vmid: Vmid(3), asid: Asid(4), aset: false },
            global: false,
            input: 0x20_1000,
            size_log2: 12,
            output: Pa(0),
            permissions: Permissions::ALL,
            attributes: Attributes::DEFAULT,
            stage1: kind.has_stage1().then(|| leaf(0x20_0000)),
            stage2: (kind != EntryKind::Stage1).then(|| leaf(0x20_0000)),
        }
    }

    fn covers(commands: &[Command], entry: &TlbEntry) -> bool {
        let e2h = entry.space.world == StreamWorld::El2E2h;
        let scopes = commands.iter().filter_map(|c| c.scope(&CommandFeatures::ALL, e2h, 0));
        scopes.into_iter().any(|scope| scope.covers_translation(entry))
    }

    #[test]
    fn the_remedy_covers_the_entry() {
        let el1 = [EntryKind::Stage1, EntryKind::Stage2, EntryKind::Combined]
            .map(|kind| entry(StreamWorld::NsEl1, kind));
        let el2 =
            [StreamWorld::El2, StreamWorld::El2E2h].map(|world| entry(world, EntryKind::Stage1));
        for entry in el1.into_iter().chain(el2) {
            for table in [false, true] {
                for stage2 in [false, true] {
                    assert!(covers(&for_translation(&entry, table, stage2), &entry), "{entry:?}");
                }
            }
        }
    }

    #[test]
    fn a_tag_is_cleaned_as_a_whole() {
        let entry = entry(StreamWorld::NsEl1, EntryKind::Combined);
        let smmu = SmmuId(0);
        let vmid = for_tag(&entry.space, &Promise::VmidFreed { smmu, vmid: Vmid(3) }).unwrap();
        assert_eq!(vmid, [Command::TlbiS12Vmall(TlbiVmid { vmid: Vmid(3) })]);
        let asid = for_tag(&entry.space, &Promise::AsidFreed { smmu, asid: Asid(4) }).unwrap();
        assert!(covers(&vmid, &entry) && covers(&asid, &entry));
    }
}
