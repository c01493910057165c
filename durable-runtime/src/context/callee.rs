//! What can be run: an async function, as a step, or a durable one, as a child run; called by the code that `#[durable]` writes.
//!
//! `ctx.run(charge, &order, total)` becomes `call2(&charge, step, order, total)`. The traits let one spelling serve
//! functions with and without a leading [`StepContext`], and make the function's own parameter types known before its
//! arguments are checked, so that `&String` still becomes `&str` on the way in.

use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use serde::Serialize;

use crate::context::{Child, Context, Step, StepContext};
use crate::function::DurableFunction;
use crate::value::Recorded;

/// Marks a function of the arguments alone.
#[derive(Debug)]
pub struct Plain;

/// Marks a function that takes the [`StepContext`] before its arguments.
#[derive(Debug)]
pub struct WithStep;

/// Marks a durable function, which becomes a run of its own.
#[derive(Debug)]
pub struct OfItsOwn;

/// A callee that was called, and of which kind it is.
#[derive(Debug)]
pub struct Called<Kind, Fut> {
    future: Fut,
    kind: PhantomData<fn() -> Kind>,
}

impl<Kind, Fut> Called<Kind, Fut> {
    pub(super) fn future(self) -> Fut {
        self.future
    }
}

/// The kinds of functions that become steps.
#[diagnostic::on_unimplemented(
    message = "only a step can undo what a run has done",
    label = "not a step",
    note = "what undoes runs when the function has ended, so it can't start runs of its own: give `ctx.undo` an `async fn`"
)]
pub trait StepKind {}

impl StepKind for Plain {}
impl StepKind for WithStep {}

/// What was called undoes something.
pub fn undoing<Kind: StepKind, Fut: Future>(called: Called<Kind, Fut>) -> Fut {
    called.future
}

/// What was called is a step.
pub fn called<Fut: Future>(future: Fut) -> Called<Plain, Fut> {
    Called { future, kind: PhantomData }
}

/// A durable function and what it is to be started with. Not to be polled: that type says what it returns.
#[derive(Debug)]
pub struct ToStart<F: DurableFunction> {
    input: F::Input,
}

impl<F: DurableFunction> Future for ToStart<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<F::Output> {
        Poll::Pending
    }
}

/// What becomes of a callee of this kind, which makes such a future.
pub trait Asked<'a, Fut>: Sized {
    /// What `ctx.run(…)` yields.
    type Operation;

    /// Claims it.
    #[doc(hidden)]
    fn ask<F, A>(
        context: &Context,
        name: &'static str,
        site: &'static Location<'static>,
        arguments: A,
        call: F,
    ) -> Self::Operation
    where
        F: Fn(StepContext, A) -> Called<Self, Fut> + Send + 'a,
        A: Serialize + Clone + Send + 'a;
}

/// Both kinds of functions that become steps.
macro_rules! asked_as_step {
    ($($kind:ty),*) => {$(
        impl<'a, Fut> Asked<'a, Fut> for $kind
        where
            Fut: Future<Output: Recorded> + Send + 'a,
        {
            type Operation = Step<'a, Fut::Output>;

            fn ask<F, A>(
                context: &Context,
                name: &'static str,
                site: &'static Location<'static>,
                arguments: A,
                call: F,
            ) -> Self::Operation
            where
                F: Fn(StepContext, A) -> Called<Self, Fut> + Send + 'a,
                A: Serialize + Clone + Send + 'a,
            {
                Step::claim(&context.shared, name, site, arguments, move |step, arguments| call(step, arguments).future)
            }
        }
    )*};
}

asked_as_step!(Plain, WithStep);

impl<'a, D: DurableFunction> Asked<'a, ToStart<D>> for OfItsOwn {
    type Operation = Child<D>;

    fn ask<F, A>(
        context: &Context,
        name: &'static str,
        site: &'static Location<'static>,
        arguments: A,
        call: F,
    ) -> Child<D>
    where
        F: Fn(StepContext, A) -> Called<Self, ToStart<D>> + Send + 'a,
        A: Serialize + Clone + Send + 'a,
    {
        // It is not passed on: a durable function has a context of its own.
        let step = StepContext::new(Arc::clone(&context.shared), u32::MAX, Arc::default(), 0);
        Child::claim(&context.shared, name, site, &call(step, arguments).future.input)
    }
}

/// Tells the compiler that an async closure takes nothing and may run again, before it looks into the closure.
pub fn async_closure<F: AsyncFn() -> O, O>(body: F) -> F {
    body
}

/// As [`async_closure`], for one that takes the [`StepContext`].
pub fn async_closure_with_step<F: AsyncFn(StepContext) -> O, O>(body: F) -> F {
    body
}

/// As [`async_closure`], for a closure that returns a future: `|| async { … }`.
pub fn closure<F: Fn() -> R, R>(body: F) -> F {
    body
}

/// As [`closure`], for one that takes the [`StepContext`].
pub fn closure_with_step<F: Fn(StepContext) -> R, R>(body: F) -> F {
    body
}

/// What the closure of an inline step returns, if it is no `async` one: a future.
#[diagnostic::on_unimplemented(
    message = "the closure of a step returns a future, and this one returns `{Self}`",
    label = "not a future: write `async || …`"
)]
pub trait Returned {
    /// That future.
    type Future: Future;

    /// It.
    #[doc(hidden)]
    fn future(self) -> Self::Future;
}

#[diagnostic::do_not_recommend]
impl<F: Future> Returned for F {
    type Future = F;

    fn future(self) -> F {
        self
    }
}

/// The future that a closure has returned.
pub fn returned<R: Returned>(value: R) -> R::Future {
    value.future()
}

/// Makes the trait `CalleeN` and the function `callN` for one number of arguments.
macro_rules! callee {
    ($callee:ident, $call:ident, $message:literal, $input:ty, ($($argument:ident: $type:ident),*), $tuple:expr) => {
        /// A function that can be run as a step with this many arguments.
        #[diagnostic::on_unimplemented(
            message = $message,
            label = "not an async function of these arguments",
            note = "a step is an `async fn` that takes exactly the arguments given to `ctx.run`, with or without a `StepContext` before them",
            note = "a future that was made already can run only once: pass the function, or a closure that makes it (`async || …`)",
            note = "a `#[durable]` function takes its arguments by value: pass `order.clone()`, not `&order`",
            note = "a helper (`ctx: &Context`) is called directly: `helper(&ctx, …).await`"
        )]
        pub trait $callee<Kind, $($type),*> {
            /// What the function returns.
            type Future: Future;

            /// Calls the function.
            #[allow(clippy::too_many_arguments, reason = "as many as the user's function has")]
            fn call(&self, step: StepContext, $($argument: $type),*) -> Self::Future;
        }

        impl<F, R, $($type),*> $callee<Plain, $($type),*> for F
        where
            F: Fn($($type),*) -> R,
            R: Future,
        {
            type Future = R;

            fn call(&self, _: StepContext, $($argument: $type),*) -> R {
                self($($argument),*)
            }
        }

        impl<F, R, $($type),*> $callee<WithStep, $($type),*> for F
        where
            F: Fn(StepContext, $($type),*) -> R,
            R: Future,
        {
            type Future = R;

            fn call(&self, step: StepContext, $($argument: $type),*) -> R {
                self(step, $($argument),*)
            }
        }

        impl<F, $($type),*> $callee<OfItsOwn, $($type),*> for F
        where
            F: DurableFunction<Input = $input>,
        {
            type Future = ToStart<F>;

            fn call(&self, _: StepContext, $($argument: $type),*) -> ToStart<F> {
                ToStart { input: $tuple }
            }
        }

        /// Calls the function of a step.
        #[allow(clippy::too_many_arguments, reason = "as many as a step may have")]
        pub fn $call<F, Kind, $($type),*>(
            function: &F,
            step: StepContext,
            $($argument: $type),*
        ) -> Called<Kind, F::Future>
        where
            F: $callee<Kind, $($type),*>,
        {
            Called { future: function.call(step, $($argument),*), kind: PhantomData }
        }
    };
}

callee!(Callee0, call0, "`{Self}` can't be called as a step with no arguments", (), (), ());
callee!(Callee1, call1, "`{Self}` can't be called as a step with 1 argument", A, (a: A), a);
callee!(Callee2, call2, "`{Self}` can't be called as a step with 2 arguments", (A, B), (a: A, b: B), (a, b));
callee!(Callee3, call3, "`{Self}` can't be called as a step with 3 arguments", (A, B, C), (a: A, b: B, c: C), (a, b, c));
callee!(Callee4, call4, "`{Self}` can't be called as a step with 4 arguments", (A, B, C, D), (a: A, b: B, c: C, d: D), (a, b, c, d));
callee!(Callee5, call5, "`{Self}` can't be called as a step with 5 arguments", (A, B, C, D, E), (a: A, b: B, c: C, d: D, e: E), (a, b, c, d, e));
callee!(Callee6, call6, "`{Self}` can't be called as a step with 6 arguments", (A, B, C, D, E, G), (a: A, b: B, c: C, d: D, e: E, f: G), (a, b, c, d, e, f));
callee!(Callee7, call7, "`{Self}` can't be called as a step with 7 arguments", (A, B, C, D, E, G, H), (a: A, b: B, c: C, d: D, e: E, f: G, g: H), (a, b, c, d, e, f, g));
callee!(Callee8, call8, "`{Self}` can't be called as a step with 8 arguments", (A, B, C, D, E, G, H, I), (a: A, b: B, c: C, d: D, e: E, f: G, g: H, h: I), (a, b, c, d, e, f, g, h));
callee!(Callee9, call9, "`{Self}` can't be called as a step with 9 arguments", (A, B, C, D, E, G, H, I, J), (a: A, b: B, c: C, d: D, e: E, f: G, g: H, h: I, i: J), (a, b, c, d, e, f, g, h, i));
callee!(Callee10, call10, "`{Self}` can't be called as a step with 10 arguments", (A, B, C, D, E, G, H, I, J, K), (a: A, b: B, c: C, d: D, e: E, f: G, g: H, h: I, i: J, j: K), (a, b, c, d, e, f, g, h, i, j));
callee!(Callee11, call11, "`{Self}` can't be called as a step with 11 arguments", (A, B, C, D, E, G, H, I, J, K, L), (a: A, b: B, c: C, d: D, e: E, f: G, g: H, h: I, i: J, j: K, k: L), (a, b, c, d, e, f, g, h, i, j, k));
callee!(Callee12, call12, "`{Self}` can't be called as a step with 12 arguments", (A, B, C, D, E, G, H, I, J, K, L, M), (a: A, b: B, c: C, d: D, e: E, f: G, g: H, h: I, i: J, j: K, k: L, l: M), (a, b, c, d, e, f, g, h, i, j, k, l));
callee!(Callee13, call13, "`{Self}` can't be called as a step with 13 arguments", (A, B, C, D, E, G, H, I, J, K, L, M, N), (a: A, b: B, c: C, d: D, e: E, f: G, g: H, h: I, i: J, j: K, k: L, l: M, m: N), (a, b, c, d, e, f, g, h, i, j, k, l, m));
callee!(Callee14, call14, "`{Self}` can't be called as a step with 14 arguments", (A, B, C, D, E, G, H, I, J, K, L, M, N, O), (a: A, b: B, c: C, d: D, e: E, f: G, g: H, h: I, i: J, j: K, k: L, l: M, m: N, n: O), (a, b, c, d, e, f, g, h, i, j, k, l, m, n));
callee!(Callee15, call15, "`{Self}` can't be called as a step with 15 arguments", (A, B, C, D, E, G, H, I, J, K, L, M, N, O, P), (a: A, b: B, c: C, d: D, e: E, f: G, g: H, h: I, i: J, j: K, k: L, l: M, m: N, n: O, o: P), (a, b, c, d, e, f, g, h, i, j, k, l, m, n, o));
callee!(Callee16, call16, "`{Self}` can't be called as a step with 16 arguments", (A, B, C, D, E, G, H, I, J, K, L, M, N, O, P, Q), (a: A, b: B, c: C, d: D, e: E, f: G, g: H, h: I, i: J, j: K, k: L, l: M, m: N, n: O, o: P, p: Q), (a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p));
