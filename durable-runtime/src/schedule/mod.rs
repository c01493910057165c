//! When something is due again and again: cron expressions in a time zone, and what becomes of the times at which no process
//! was there, or the run before had not ended.
//!
//! All of it is pure: no clock is read, and the same question has the same answer on every machine, because the time zones are
//! those of the program and not those of the machine.
//!
//! ```
//! use durable_runtime::{CatchUp, Cron, Timestamp, schedule};
//!
//! let nightly = Cron::new("0 3 * * MON-FRI")?.time_zone("Europe/Berlin")?;
//! let friday = Timestamp(1_795_140_000_000); // 2026-11-20T03:00:00 in Berlin
//! let monday = nightly.next_after(friday).expect("it goes on");
//! assert_eq!(schedule::run_id("nightly", monday), "nightly@2026-11-23T02:00:00Z");
//! assert_eq!(CatchUp::Latest.missed(&nightly, friday, monday), [monday]);
//! # Ok::<(), durable_runtime::InvalidCron>(())
//! ```

mod catch_up;
mod cron;
mod expression;
mod overlap;
mod plan;
mod run_id;
mod zone;

pub use catch_up::{CATCH_UP_MAX, CatchUp};
pub use cron::{Cron, InvalidCron};
pub use overlap::{Decision, Overlap};
pub(crate) use plan::is_of_schedule;
pub use plan::{SCHEDULE_NAME_BYTES_MAX, Schedule};
pub use run_id::{due_of, run_id};
