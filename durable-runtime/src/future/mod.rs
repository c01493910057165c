//! What may be awaited inside a durable function: the marker traits, and the type that `#[durable]` gives to an
//! `async` block.
//!
//! A future is durable when the journal alone decides when it resolves: a step, or a combination of steps. The
//! attribute passes every awaited expression through [`Awaited::__durable`] and every branch of `join!` and `select!`
//! through [`checked`], so that anything else does not compile.

mod combinators;

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use futures::Stream;
use pin_project_lite::pin_project;

/// A future that may be awaited in a `#[durable]` function: one that only the run's own operations can wake, so that
/// a replay sees it resolve at the same place.
///
/// It is implemented for
///
/// * [`Step`](crate::Step), what `ctx.run(…)` yields; [`Timer`](crate::Timer) and [`Timeout`](crate::Timeout), what
///   `ctx.sleep(…)` and `ctx.timeout(…)` yield;
/// * `#[durable]` helpers and the `async` blocks inside durable functions: what they await is checked where it is awaited;
/// * references, `Box`, `Pin` and `Option` ([`OptionFuture`](futures::future::OptionFuture)) of durable futures;
/// * the combinators of the `futures` crate over durable futures: `join_all`, `select`, `FuturesUnordered`,
///   `buffer_unordered`, `map`, … .
///
/// A helper that takes a future asks for one that is durable:
///
/// ```
/// use durable_runtime::{Context, DurableFuture, durable};
///
/// async fn double(number: u32) -> u32 {
///     number * 2
/// }
///
/// #[durable]
/// async fn plus_one(_ctx: &Context, number: impl DurableFuture<Output = u32> + Send) -> u32 {
///     number.await + 1
/// }
///
/// #[durable]
/// async fn odd(ctx: Context, number: u32) -> u32 {
///     plus_one(&ctx, ctx.run(double, number)).await
/// }
/// ```
///
/// # Implementing it
///
/// For a combinator of your own. The contract: it polls durable futures only, in an order that is the same on every
/// run, and resolves because of them alone. It must not look at a clock, a channel, a lock, or a random number.
#[must_use = "a durable future does nothing unless it is awaited"]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is awaited inside a `#[durable]` function, but it is not durable: a replay could not repeat when it resolves",
    label = "not a durable future",
    note = "let a step wait for it: `ctx.run(function, arguments…).await`, or `ctx.run(\"name\", async || ….await).await`; for a time there are `ctx.sleep` and `ctx.timeout`",
    note = "an `async fn` of your own that uses `ctx` becomes a helper with `#[durable]` and `ctx: &Context`; one that does not is a step",
    note = "a boxed future is durable as `BoxDurableFuture<'_, T>`, a generic one with the bound `DurableFuture`; an async closure given to a combinator as `|x| async move {{ … }}`",
    note = "if a replay does see it resolve at the same place, say why above the statement: `#[durable(unchecked = \"…\")]`"
)]
pub trait DurableFuture: Future {}

/// A stream that may be read in a `#[durable]` function, such as
/// [`FuturesUnordered`](futures::stream::FuturesUnordered) of durable futures, or
/// [`buffer_unordered`](futures::StreamExt::buffer_unordered) over them. As [`DurableFuture`] is for futures.
///
/// ```
/// use durable_runtime::{Context, durable};
/// use futures::StreamExt as _;
/// use futures::stream;
///
/// async fn double(number: u32) -> u32 {
///     number * 2
/// }
///
/// /// At most two at once.
/// #[durable]
/// async fn all(ctx: Context, numbers: Vec<u32>) -> u32 {
///     let mut doubled = stream::iter(numbers).map(|number| ctx.run(double, number)).buffer_unordered(2);
///     let mut sum = 0;
///     while let Some(number) = doubled.next().await {
///         sum += number;
///     }
///     sum
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is read inside a `#[durable]` function, but it is not durable: a replay could not repeat what it yields when",
    label = "not a durable stream",
    note = "read it inside of a step, or take a stream over durable futures: `FuturesUnordered`, `FuturesOrdered`, `stream::iter(…).map(…).buffer_unordered(n)`"
)]
pub trait DurableStream: Stream {}

/// A boxed [`DurableFuture`], for futures of several types in one place. What `BoxFuture` is for others.
///
/// ```
/// use durable_runtime::{BoxDurableFuture, Context, durable};
/// use futures::future::join_all;
///
/// async fn pay(cents: u64) -> u64 {
///     cents
/// }
///
/// #[durable]
/// async fn pay_all(ctx: Context, cents: Vec<u64>) -> u64 {
///     let mut all: Vec<BoxDurableFuture<'_, u64>> = vec![Box::pin(async { 0 })];
///     for cents in cents {
///         all.push(Box::pin(ctx.run(pay, cents)));
///     }
///     join_all(all).await.iter().sum()
/// }
/// ```
pub type BoxDurableFuture<'a, T> = Pin<Box<dyn DurableFuture<Output = T> + Send + 'a>>;

/// What `#[durable]` makes of `expression.await`: `expression.__durable().await`.
pub trait Awaited: Sized {
    /// The future itself, if it is durable.
    #[doc(hidden)]
    #[must_use]
    fn __durable(self) -> Self
    where
        Self: DurableFuture,
    {
        self
    }
}

impl<F> Awaited for F {}

/// What `#[durable]` makes of a branch of `join!` and `select!`.
pub fn checked<F: DurableFuture>(future: F) -> F {
    future
}

pin_project! {
    /// What `#[durable]` makes of an `async` block: what is awaited in it was checked there, so it is durable.
    #[derive(Debug)]
    #[must_use = "a durable future does nothing unless it is awaited"]
    pub struct Block<F> {
        #[pin]
        future: F,
    }
}

/// Makes a [`Block`].
pub fn block<F: Future>(future: F) -> Block<F> {
    Block { future }
}

impl<F: Future> Future for Block<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<F::Output> {
        self.project().future.poll(task)
    }
}

#[diagnostic::do_not_recommend]
impl<F: Future> DurableFuture for Block<F> {}
