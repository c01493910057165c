//! A durable function as a type.

use std::pin::Pin;

use crate::{Context, Recorded};

/// A function annotated with `#[durable]`: the attribute makes a unit struct of the function's name and
/// implements this trait for it. Not meant to be implemented by hand.
///
/// ```
/// use durable_runtime::{Context, DurableFunction, durable};
///
/// /// Greets.
/// #[durable(version = 2)]
/// async fn welcome(_ctx: Context, name: String) -> String {
///     format!("hello {name}")
/// }
///
/// assert_eq!(welcome::NAME, "welcome");
/// assert_eq!(welcome::VERSION, 2);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a durable function",
    label = "not a durable function",
    note = "annotate the function with `#[durable]` and pass it by its name, without calling it"
)]
pub trait DurableFunction: Copy + Send + Sync + 'static {
    /// What a run is started with: `()`, the one parameter, or a tuple of the parameters after `ctx`.
    type Input: Recorded;
    /// What the function returns.
    type Output: Recorded;
    /// The name under which runs are recorded: the function's own unless `#[durable(name = "…")]` says otherwise.
    const NAME: &'static str;
    /// The version given with `#[durable(version = …)]`, 1 if none.
    const VERSION: u32;
    /// A digest of the function's tokens: two builds with the same digest have the same code in its body.
    const FINGERPRINT: u64;
    /// The module that declares the function.
    const MODULE: &'static str;

    /// Calls the function; the runtime does, with the recorded input.
    fn call(ctx: Context, input: Self::Input) -> Pin<Box<dyn Future<Output = Self::Output> + Send>>;
}
