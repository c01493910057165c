//! The `#[durable]` attribute. Use it through `durable_runtime::durable`.
//!
//! # How it works
//!
//! The macro is four stages over tokens, one file each; none needs a compiler to be tested.
//!
//! 1. `parse`: the signature becomes a syntax tree, the body stays tokens.
//! 2. `check`: what the signature makes of the function, and what it may not say.
//! 3. `rewrite`: every `ctx.run(…)` becomes a call of the runtime; `nondeterminism` tells what may not stand around it.
//! 4. `expand`: the parts become the code that takes the function's place.
//!
//! A stage goes on after a mistake, so that all are reported at once, and the function is always there afterwards, so
//! that nothing else fails because of it. All messages are in one table, in `diagnostics`.

mod check;
mod diagnostics;
mod expand;
mod fingerprint;
mod nondeterminism;
mod options;
mod parse;
mod paths;
mod rewrite;
#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};

use proc_macro::TokenStream;

#[doc = include_str!("durable.md")]
#[proc_macro_attribute]
pub fn durable(options: TokenStream, item: TokenStream) -> TokenStream {
    let untouched = item.clone();
    let expand = || expand::durable(&options.into(), &item.into()).into();
    // A bug here must not look like a mistake of the user, nor make their function disappear.
    catch_unwind(AssertUnwindSafe(expand)).unwrap_or_else(|_| {
        let bug = "#[durable] has a bug and can't read this function: please report the function to durable_runtime";
        let error: TokenStream = quote::quote!(::core::compile_error!(#bug);).into();
        untouched.into_iter().chain(error).collect()
    })
}
