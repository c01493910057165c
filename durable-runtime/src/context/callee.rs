//! What can be run as a step: an async function, called by the code that `#[durable]` writes.
//!
//! `ctx.run(charge, &order, total)` becomes `call2(&charge, step, order, total)`. The traits let one spelling serve
//! functions with and without a leading [`StepContext`], and make the function's own parameter types known before its
//! arguments are checked, so that `&String` still becomes `&str` on the way in.

use crate::context::StepContext;

/// Marks a function of the arguments alone.
#[derive(Debug)]
pub struct Plain;

/// Marks a function that takes the [`StepContext`] before its arguments.
#[derive(Debug)]
pub struct WithStep;

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

/// Makes the trait `CalleeN` and the function `callN` for one number of arguments.
macro_rules! callee {
    ($callee:ident, $call:ident, $message:literal, ($($argument:ident: $type:ident),*)) => {
        /// A function that can be run as a step with this many arguments.
        #[diagnostic::on_unimplemented(
            message = $message,
            label = "not an async function of these arguments",
            note = "a step is an `async fn` that takes exactly the arguments given to `ctx.run`, with or without a `StepContext` before them",
            note = "a future that was made already can run only once: pass the function, or a closure that makes it (`async || …`)",
            note = "a helper (`ctx: &Context`) is called directly: `helper(&ctx, …).await`",
            note = "calling another `#[durable]` function as a child run is not available yet"
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

        /// Calls the function of a step.
        #[allow(clippy::too_many_arguments, reason = "as many as a step may have")]
        pub fn $call<F, Kind, $($type),*>(function: &F, step: StepContext, $($argument: $type),*) -> F::Future
        where
            F: $callee<Kind, $($type),*>,
        {
            function.call(step, $($argument),*)
        }
    };
}

callee!(Callee0, call0, "`{Self}` can't be called as a step with no arguments", ());
callee!(Callee1, call1, "`{Self}` can't be called as a step with 1 argument", (a: A));
callee!(Callee2, call2, "`{Self}` can't be called as a step with 2 arguments", (a: A, b: B));
callee!(Callee3, call3, "`{Self}` can't be called as a step with 3 arguments", (a: A, b: B, c: C));
callee!(Callee4, call4, "`{Self}` can't be called as a step with 4 arguments", (a: A, b: B, c: C, d: D));
callee!(Callee5, call5, "`{Self}` can't be called as a step with 5 arguments", (a: A, b: B, c: C, d: D, e: E));
callee!(Callee6, call6, "`{Self}` can't be called as a step with 6 arguments", (a: A, b: B, c: C, d: D, e: E, f: G));
callee!(Callee7, call7, "`{Self}` can't be called as a step with 7 arguments", (a: A, b: B, c: C, d: D, e: E, f: G, g: H));
callee!(Callee8, call8, "`{Self}` can't be called as a step with 8 arguments", (a: A, b: B, c: C, d: D, e: E, f: G, g: H, h: I));
callee!(Callee9, call9, "`{Self}` can't be called as a step with 9 arguments", (a: A, b: B, c: C, d: D, e: E, f: G, g: H, h: I, i: J));
callee!(Callee10, call10, "`{Self}` can't be called as a step with 10 arguments", (a: A, b: B, c: C, d: D, e: E, f: G, g: H, h: I, i: J, j: K));
callee!(Callee11, call11, "`{Self}` can't be called as a step with 11 arguments", (a: A, b: B, c: C, d: D, e: E, f: G, g: H, h: I, i: J, j: K, k: L));
callee!(Callee12, call12, "`{Self}` can't be called as a step with 12 arguments", (a: A, b: B, c: C, d: D, e: E, f: G, g: H, h: I, i: J, j: K, k: L, l: M));
callee!(Callee13, call13, "`{Self}` can't be called as a step with 13 arguments", (a: A, b: B, c: C, d: D, e: E, f: G, g: H, h: I, i: J, j: K, k: L, l: M, m: N));
callee!(Callee14, call14, "`{Self}` can't be called as a step with 14 arguments", (a: A, b: B, c: C, d: D, e: E, f: G, g: H, h: I, i: J, j: K, k: L, l: M, m: N, n: O));
callee!(Callee15, call15, "`{Self}` can't be called as a step with 15 arguments", (a: A, b: B, c: C, d: D, e: E, f: G, g: H, h: I, i: J, j: K, k: L, l: M, m: N, n: O, o: P));
callee!(Callee16, call16, "`{Self}` can't be called as a step with 16 arguments", (a: A, b: B, c: C, d: D, e: E, f: G, g: H, h: I, i: J, j: K, k: L, l: M, m: N, n: O, o: P, p: Q));
