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

/// Tells the compiler that a closure takes the [`StepContext`], before it looks into the closure.
pub fn with_step<F: AsyncFn(StepContext) -> O, O>(body: F) -> F {
    body
}

/// Makes the trait `CalleeN` and the function `callN` for each number of arguments.
macro_rules! callees {
    ($($callee:ident $call:ident $count:literal ($($argument:ident: $type:ident),*);)+) => {$(
        #[doc = concat!("A function that can be run as a step with ", $count, ".")]
        #[diagnostic::on_unimplemented(
            message = concat!("`{Self}` can't be called as a step with ", $count),
            label = concat!("not an async function that takes ", $count, " as given here"),
            note = "a step is an `async fn` that takes exactly the arguments given to `ctx.run`, with or without a `StepContext` before them",
            note = "a helper (`ctx: &Context`) is called directly: `helper(&ctx, …).await`",
            note = "calling another `#[durable]` function as a child run is not available yet"
        )]
        pub trait $callee<Kind, $($type),*> {
            /// What the function returns.
            type Future: Future;

            /// Calls the function.
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

        #[doc = concat!("Calls a step's function with ", $count, ".")]
        #[allow(clippy::too_many_arguments, reason = "as many as a step may have")]
        pub fn $call<F, Kind, $($type),*>(function: &F, step: StepContext, $($argument: $type),*) -> F::Future
        where
            F: $callee<Kind, $($type),*>,
        {
            function.call(step, $($argument),*)
        }
    )+};
}

callees! {
    Callee0 call0 "no arguments" ();
    Callee1 call1 "1 argument" (a: A);
    Callee2 call2 "2 arguments" (a: A, b: B);
    Callee3 call3 "3 arguments" (a: A, b: B, c: C);
    Callee4 call4 "4 arguments" (a: A, b: B, c: C, d: D);
    Callee5 call5 "5 arguments" (a: A, b: B, c: C, d: D, e: E);
    Callee6 call6 "6 arguments" (a: A, b: B, c: C, d: D, e: E, f: G);
    Callee7 call7 "7 arguments" (a: A, b: B, c: C, d: D, e: E, f: G, g: H);
    Callee8 call8 "8 arguments" (a: A, b: B, c: C, d: D, e: E, f: G, g: H, h: I);
    Callee9 call9 "9 arguments" (a: A, b: B, c: C, d: D, e: E, f: G, g: H, h: I, i: J);
    Callee10 call10 "10 arguments" (a: A, b: B, c: C, d: D, e: E, f: G, g: H, h: I, i: J, j: K);
    Callee11 call11 "11 arguments" (a: A, b: B, c: C, d: D, e: E, f: G, g: H, h: I, i: J, j: K, k: L);
    Callee12 call12 "12 arguments" (a: A, b: B, c: C, d: D, e: E, f: G, g: H, h: I, i: J, j: K, k: L, l: M);
    Callee13 call13 "13 arguments" (a: A, b: B, c: C, d: D, e: E, f: G, g: H, h: I, i: J, j: K, k: L, l: M, m: N);
    Callee14 call14 "14 arguments"
        (a: A, b: B, c: C, d: D, e: E, f: G, g: H, h: I, i: J, j: K, k: L, l: M, m: N, n: O);
    Callee15 call15 "15 arguments"
        (a: A, b: B, c: C, d: D, e: E, f: G, g: H, h: I, i: J, j: K, k: L, l: M, m: N, n: O, o: P);
    Callee16 call16 "16 arguments"
        (a: A, b: B, c: C, d: D, e: E, f: G, g: H, h: I, i: J, j: K, k: L, l: M, m: N, n: O, o: P, p: Q);
}
