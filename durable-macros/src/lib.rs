//! The `#[durable]` attribute. Use it through `durable_runtime::durable`.

mod check;
mod diagnostics;
mod expand;
mod fingerprint;
mod options;
mod parse;
mod paths;
mod rewrite;
#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};

use proc_macro::TokenStream;

/// Makes an `async fn` durable.
#[proc_macro_attribute]
pub fn durable(options: TokenStream, item: TokenStream) -> TokenStream {
    let untouched = item.clone();
    let expand = || expand::durable(options.into(), &item.into()).into();
    // A bug here must not look like a mistake of the user, nor make their function disappear.
    catch_unwind(AssertUnwindSafe(expand)).unwrap_or_else(|_| {
        let bug = "#[durable] has a bug and can't read this function: please report the function to durable_runtime";
        let error: TokenStream = quote::quote!(::core::compile_error!(#bug);).into();
        untouched.into_iter().chain(error).collect()
    })
}
