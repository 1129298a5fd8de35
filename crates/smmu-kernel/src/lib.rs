//! tmp
mod driver;
mod errno;
mod faults;
mod guarded;
mod log;
mod personality;
pub use driver::*;
pub use errno::Errno;
pub use faults::*;
pub use log::*;
pub use personality::*;
use smmu_arch::*;
/// Hw
#[derive(Debug)]
pub struct Hardware { pub smmus: Vec<SmmuNode>, pub devices: Vec<DeviceNode>, pub heap: (Pa, u64) }
/// n
#[derive(Debug)]
pub struct SmmuNode { pub id: SmmuId, pub registers: Pa }
/// d
#[derive(Debug)]
pub struct DeviceNode { pub name: String, pub group: u32, pub smmu: SmmuId, pub streams: Vec<StreamId> }
/// o
#[derive(Debug)]
pub struct Options { pub personality: Personality, pub faults: Faults, pub id_policy: IdPolicy, pub tlbi_limit: bool }
