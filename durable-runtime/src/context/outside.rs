//! `ctx.run` and `ctx.undo` where `#[durable]` does not see them: a message, and nothing that can be called.

use super::Context;

/// What no context has: it is there for its message.
#[diagnostic::on_unimplemented(
    message = "`ctx.run` and `ctx.undo` are rewritten by `#[durable]`, which does not see this one",
    label = "not on the `ctx` parameter of a `#[durable]` function",
    note = "write `#[durable]` above the function that has this line, and let it take its context first: `async fn helper(ctx: &Context, …)`, called as `helper(&ctx, …).await`",
    note = "in a `#[durable]` function, call it on the parameter itself: `ctx.run(…)`, not on a clone of it or a field"
)]
pub trait Rewritten<'a> {
    /// Has every type, so that nothing else fails because of it.
    #[doc(hidden)]
    fn operation<O>() -> O;
}

// A bound that never holds is refused where it is written, unless it is about a lifetime that is not known yet.
#[doc(hidden)]
impl Context {
    pub fn run<F, A, O>(&self, _: F, _: A) -> O
    where
        for<'a> Self: Rewritten<'a>,
    {
        Self::operation()
    }

    pub fn undo<F, A, O>(&self, _: F, _: A) -> O
    where
        for<'a> Self: Rewritten<'a>,
    {
        Self::operation()
    }
}
