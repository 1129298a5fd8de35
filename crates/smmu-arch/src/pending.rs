//! Placeholders.
#![allow(missing_docs)]
use crate::{Ipa, Pa, Stage};
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Command(pub [u64; 2]);
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CommandError(pub u8);
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Event(pub [u64; 4]);
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FaultClass {
    Cd = 0,
    Tt = 1,
    In = 2,
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum StageFaultKind {
    Translation,
    AddressSize,
    AccessFlag,
    Permission,
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct StageFault {
    pub kind: StageFaultKind,
    pub stage: Stage,
    pub class: FaultClass,
    pub ipa: Ipa,
    pub descriptor_write: bool,
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fault {
    BadStreamId,
    SteFetch(Pa),
    BadSte,
    StreamDisabled,
    BadSubstreamId,
    CdFetch(Pa),
    BadCd,
    WalkExternalAbort { stage: Stage, class: FaultClass, address: Pa },
    Stage(StageFault),
}
