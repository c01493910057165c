//! The integration tests: the rules of execution, R1 to R14, through the public API.
//!
//! Durable functions are registered by name in the whole binary, so each name is used once.

mod steps;

mod r01_start;
mod r02_turns;
mod r04_keys;
mod r05_output_commit;
mod r06_guarantee;
mod r07_values;
mod r08_errors;
mod r09_divergence;
mod r09_foreign;
mod r10_misuse;
mod r11_retries;
mod r12_recovery;
mod r13_one_owner;
mod r14_limits;
mod r14_suspended;

mod on_change;
mod patches;

mod admin;
mod fork;
mod golden;
mod import;
mod list;
mod prune;
mod recover_later;
mod retrying;
mod shutdown;
mod verify;
mod verify_store;

mod signals;
mod start_many;
mod starting;
mod time;

mod cancel;
mod children;
mod concurrency;
mod continuing;
mod deadline;
mod delayed;
mod emit;
mod explored;
mod follow;
mod lost_writes;
mod map;
mod pause;
mod programs;
mod progress;
mod promises;
mod publish;
mod queued_children;
mod queues;
mod schedules;
mod storage_faults;
mod wide;

mod at_most_once;
mod bad_input;
mod regressions;
mod tracing_lines;
mod traps;
mod undo;
