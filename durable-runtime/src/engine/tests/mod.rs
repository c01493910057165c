//! The engine under checkers of concurrent code: docs/concurrency.md. Each has a build of its own, made by `.ci/concurrency`.

#[cfg(durable_shuttle)]
mod committer;
#[cfg(durable_shuttle)]
mod shutdown;
#[cfg(durable_shuttle)]
mod shuttled;
#[cfg(durable_loom)]
mod wakes;
