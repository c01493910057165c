//! What user code holds: the [`Context`] of a run, the [`Step`]s it asks for, and the [`StepContext`]
//! that a step's body gets.

mod answers;
pub(crate) mod callee;
#[cfg(feature = "testing")]
mod director;
pub(crate) mod patch;
mod scope;
mod shared;
mod step;
mod step_context;
mod suspension;
mod wakes;
mod work;

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

pub(crate) use answers::{Stop, Wants};
#[cfg(feature = "testing")]
pub(crate) use director::{Attempt, Cue, Director};
pub use patch::PATCH_ID_BYTES_MAX;
pub(crate) use scope::Scope;
pub(crate) use shared::{Environment, RunShared};
pub use step::{STEP_NAME_BYTES_MAX, Step};
pub(crate) use step_context::Dependencies;
pub use step_context::StepContext;
#[cfg(feature = "testing")]
pub(crate) use step_context::idempotency_key;
pub(crate) use suspension::{Origin, Suspension};
pub(crate) use wakes::BodyWakes;

use crate::{Recorded, RunId};

/// A durable function's hold on its run: the first parameter of every `#[durable]` function.
///
/// Inside such a function, `ctx.run(callee, arguments…)` is a *step*: it runs once, its outcome is
/// recorded, and after a crash the function is run again from the top with the recorded outcomes.
/// `#[durable]` rewrites that call, so that arguments may be borrowed and their number is free; the
/// call yields a [`Step`], which is a future.
///
/// * `ctx.run(charge_card, &order, total)` calls `charge_card(&order, total)`, or, if it takes a
///   leading [`StepContext`], `charge_card(step, &order, total)`.
/// * `ctx.run("label", async || { … })` is an inline step. Its body borrows what surrounds it and does
///   not run on replay.
///
/// A key is claimed when `ctx.run` is called, not when its future is first polled: the step's name,
/// with `#2`, `#3` … for later claims of the same name in the same run.
///
/// ```
/// use durable_runtime::{Context, durable};
///
/// async fn double(number: u32) -> u32 {
///     number * 2
/// }
///
/// #[durable]
/// async fn quadruple(ctx: Context, number: u32) -> u32 {
///     let twice = ctx.run(double, number).await;
///     ctx.run(double, twice).await
/// }
/// ```
#[derive(Clone)]
pub struct Context {
    shared: Arc<RunShared>,
}

impl Context {
    pub(crate) fn new(shared: Arc<RunShared>) -> Self {
        Self { shared }
    }

    /// The id of this run.
    ///
    /// ```
    /// use durable_runtime::{Context, durable};
    ///
    /// #[durable]
    /// async fn who_am_i(ctx: Context) -> String {
    ///     ctx.run_id().as_str().to_owned()
    /// }
    /// ```
    pub fn run_id(&self) -> &RunId {
        &self.shared.id
    }

    /// What `#[durable]` makes of `ctx.run(…)`.
    #[doc(hidden)]
    #[track_caller]
    pub fn __step<'a, F, A, Fut>(&self, name: &'static str, arguments: A, call: F) -> Step<'a, Fut::Output>
    where
        F: Fn(StepContext, A) -> Fut + Send + 'a,
        A: Serialize + Clone + Send + 'a,
        Fut: Future<Output: Recorded> + Send + 'a,
    {
        Step::claim(&self.shared, name, std::panic::Location::caller(), arguments, call)
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("run", &self.shared.id).finish_non_exhaustive()
    }
}
