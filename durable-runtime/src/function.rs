//! A durable function as a type.

use std::pin::Pin;

use crate::{Context, Recorded};

/// A function annotated with `#[durable]`: the attribute makes a unit struct of the function's name and
/// implements this trait for it. Not meant to be implemented by hand.
///
/// ```
/// use durable_runtime::{Context, DurableFunction, OnChange, durable};
///
/// /// Greets.
/// #[durable(version = 2)]
/// async fn welcome(_ctx: Context, name: String) -> String {
///     format!("hello {name}")
/// }
///
/// assert_eq!(welcome::NAME, "welcome");
/// assert_eq!(welcome::VERSION, 2);
/// assert_eq!(welcome::ON_CHANGE, OnChange::Halt);
/// ```
#[diagnostic::on_unimplemented(
    message = "this is not a durable function",
    label = "not a function with `#[durable]` and `ctx: Context`",
    note = "write `#[durable]` above the function, let it take `ctx: Context` first, and pass it by its name, without calling it",
    note = "a helper (`ctx: &Context`) is part of its caller's run and can't be started: take `ctx: Context`"
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
    /// What becomes of unfinished runs of other code: [`OnChange::Halt`] unless the attribute says otherwise.
    const ON_CHANGE: OnChange = OnChange::Halt;
    /// Each `ctx.run` that is written in the function's own body, in the order of the text; empty if that is not known.
    const CALL_SITES: &'static [CallSite] = &[];

    /// Whether the function may plan to [undo](crate::Context#undoing) something: it calls `ctx.undo`, or gives its context away.
    const MAY_UNDO: bool = false;

    /// Calls the function; the runtime does, with the recorded input.
    fn call(ctx: Context, input: Self::Input) -> Pin<Box<dyn Future<Output = Self::Output> + Send>>;
}

/// What becomes of an unfinished run when its function has changed, by fingerprint or version, since it was started.
///
/// ```
/// use std::pin::Pin;
/// use durable_runtime::{Context, DurableFunction, OnChange};
///
/// #[derive(Clone, Copy)]
/// struct Welcome;
///
/// impl DurableFunction for Welcome {
///     type Input = String;
///     type Output = String;
///     const NAME: &'static str = "welcome";
///     const VERSION: u32 = 2;
///     const FINGERPRINT: u64 = 0;
///     const MODULE: &'static str = module_path!();
///     const ON_CHANGE: OnChange = OnChange::Resume;
///
///     fn call(_ctx: Context, name: String) -> Pin<Box<dyn Future<Output = String> + Send>> {
///         Box::pin(async move { format!("hello {name}") })
///     }
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnChange {
    /// The changed code must ask for what is recorded, in the recorded order; if it does not, the run halts (R9).
    #[default]
    Halt,
    /// Recorded outcomes are found by their keys, in whatever order the changed code asks for them.
    ///
    /// Steps that are new run, those that are gone are passed over, and a recorded step never runs again. What it
    /// can't tell: a step `pay` that is inserted before another `pay` gets the other one's outcome, and the other one,
    /// now `pay#2`, runs. A recorded step with other arguments or of another kind still halts the run.
    Resume,
}

/// A `ctx.run` in the text of a durable function, for messages.
///
/// ```
/// use durable_runtime::CallSite;
/// const PRICE: CallSite = CallSite { name: "price", file: "src/orders.rs", line: 17 };
/// assert_eq!(PRICE.name, "price");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallSite {
    /// The step's name as it is written: that of `.named("…")`, else the function's, else the leading text. Empty if it
    /// is known only when the code runs, as that of `.named(format!(…))`.
    pub name: &'static str,
    /// The source file.
    pub file: &'static str,
    /// The line, from 1.
    pub line: u32,
}
