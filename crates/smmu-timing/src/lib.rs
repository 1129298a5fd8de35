//! When the steps of a machine happen.
//!
//! The rules of the architecture are actors that ask. [`Timing`] is told what each of them asks,
//! and tells in return when the request takes effect and when its actor goes on: it is an event
//! queue, the resources that actors queue for, and what every request costs. It answers nothing
//! itself and repeats no rule. The runner that does is told of a moment at a time by
//! [`Timing::next`].
//!
//! Time is virtual, in picoseconds. Nothing depends on the host: simultaneous events go by the
//! number of their actor, then by the order in which they were scheduled.
//!
//! ```
//! use smmu_arch::{Pa, Why};
//! use smmu_bus::{Answer, Request};
//! use smmu_timing::{Due, Parameters, Plan, Role, Timing};
//!
//! let parameters = Parameters { cpu_load_ns: 7, ..Parameters::default() };
//! let mut timing = Timing::new(&parameters, &Plan::default());
//! let cpu = timing.start(0, Role::Cpu);
//! assert_eq!(timing.next(), Some(Due::Step(0)));
//! let load = Request::Read { pa: Pa(0x1000), words: 1, why: Why::Cpu };
//! assert!(!timing.ask(cpu, &load, 0, 0), "it takes effect later");
//! assert_eq!(timing.next(), Some(Due::Serve(0)));
//! timing.answered(cpu, &Answer::Word(1));
//! assert_eq!(timing.next(), Some(Due::Step(0)));
//! assert_eq!(timing.now().ns(), 7);
//! ```

mod account;
mod actors;
mod events;
mod last_level;
mod moment;
mod parameters;
mod resource;
mod resources;
mod routes;
mod timing;
mod trace;

pub use account::{Latencies, Part, PortFigures, Split};
pub use moment::Moment;
pub use parameters::{Impossible, Parameter, Parameters, TimingTable};
pub use resource::Usage;
pub use resources::{MainTlbPlace, Plan, PortPlan, ResourceFigures, SmmuPlan};
pub use timing::{Due, Handle, Role, Timing};
pub use trace::Trace;
