//! What a step must return that can be tried again, or stopped.

/// What a step returns that may fail: a `Result`.
#[diagnostic::on_unimplemented(
    message = "a step that returns `{Self}` can't fail, so it has no `.retry`, `.timeout` or `.at_most_once`",
    label = "only for a step that returns a `Result`",
    note = "let the step return `Result<{Self}, Failure>`, or an error of your own; to wait only so long for it, write `ctx.timeout(limit, ctx.run(…)).await`"
)]
pub trait Fallible: Sized {
    /// What is in an `Err`.
    type Error: 'static;

    /// The error, if it is one.
    #[doc(hidden)]
    fn error(&self) -> Option<&Self::Error>;

    /// The `Err`.
    #[doc(hidden)]
    fn failed(error: Self::Error) -> Self;
}

impl<T, E: 'static> Fallible for Result<T, E> {
    type Error = E;

    fn error(&self) -> Option<&E> {
        self.as_ref().err()
    }

    fn failed(error: E) -> Self {
        Err(error)
    }
}

/// An error that can be made from that of the machinery: it has `From<Cause>`.
#[diagnostic::on_unimplemented(
    message = "the step may fail with `{Cause}` here, but its error `{Self}` can't be made from that",
    label = "`{Self}` has no `From<{Cause}>`",
    note = "let the step return `Failure` as its error, or give your own error a variant for it: with thiserror, `#[error(transparent)] Stopped(#[from] {Cause})`"
)]
pub trait MadeFrom<Cause>: From<Cause> {}

#[diagnostic::do_not_recommend]
impl<E: From<Cause>, Cause> MadeFrom<Cause> for E {}
