//! Code against a journal, without a runtime.

use std::sync::Arc;

use crate::clock::SystemClock;
use crate::context::{Dependencies, Environment};
use crate::emission::Sinks;
use crate::engine::{Counters, Limits, Registration, Verification, verify};
use crate::entropy::FixedEntropy;
use crate::function::DurableFunction;
use crate::journal::{Event, Journal};
use crate::payload::{Codec, PAYLOAD_BYTES_MAX};

/// Replays a journal with a function: [`Runtime::verify`](crate::Runtime::verify) without a runtime. Runs no step and
/// writes nothing.
///
/// The function need not have the name that is recorded: so a new one can be tried with the journals of another.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use durable_runtime::{Context, Journal, Runtime, Verification, durable, testing};
///
/// async fn add(a: u32, b: u32) -> u32 {
///     a + b
/// }
///
/// #[durable]
/// async fn sum_of_three(ctx: Context, a: u32, b: u32, c: u32) -> u32 {
///     let sum = ctx.run(add, a, b).await;
///     ctx.run(add, sum, c).await
/// }
///
/// /// As it is after somebody's refactoring.
/// #[durable]
/// async fn sum_from_the_right(ctx: Context, a: u32, b: u32, c: u32) -> u32 {
///     let sum = ctx.run(add, b, c).await;
///     ctx.run(add, a, sum).await
/// }
///
/// let runtime = Runtime::builder().in_memory().await?;
/// runtime.start("sum-1", sum_of_three, (1, 2, 3)).await?.await?;
/// let journal: Journal = runtime.journal("sum-1").await?.expect("it was started");
///
/// assert_eq!(testing::replay(&journal, sum_of_three).await, Verification::Same);
/// let next = vec!["add#2".to_owned()];
/// assert_eq!(testing::replay(&journal.prefix(2), sum_of_three).await, Verification::Continues { next });
/// let refactored = testing::replay(&journal, sum_from_the_right).await;
/// assert!(refactored.to_string().contains("its code passes other arguments"));
/// # Ok(())
/// # }
/// ```
pub async fn replay<F: DurableFunction>(journal: &Journal, _function: F) -> Verification {
    replay_with(journal, &Registration::of::<F>()).await
}

pub(super) async fn replay_with(journal: &Journal, registration: &Registration) -> Verification {
    let codec = match journal.events.first() {
        Some(Event::Started(started)) => started.input.codec(),
        _ => Codec::default(),
    };
    // What the runtime was allowed that recorded the journal is not known; nothing recorded is refused here.
    let limits = Limits {
        payload_bytes: PAYLOAD_BYTES_MAX,
        operations: Limits::default().operations.max(journal.length()),
        ..Limits::default()
    };
    let environment = Environment {
        clock: Arc::new(SystemClock),
        entropy: Arc::new(FixedEntropy),
        dependencies: Arc::new(Dependencies::default()),
        sinks: Sinks::taking_all(),
        codec,
        limits,
        counters: Counters::default(),
        suspends: false,
        #[cfg(feature = "testing")]
        director: None,
    };
    verify(journal.run.clone(), journal.events.clone(), registration, &environment).await
}
