//! Operations of the context that are awaited too early, or for nothing, or are given an async closure.

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};
use syn::parse::Parser as _;
use syn::punctuated::Punctuated;
use syn::{Expr, Token};

use super::{Place, Rewriter, awaits, is_member, is_punct, turbofish_length};
use crate::diagnostics::{Diagnostic, Diagnostics, Refusal};
use crate::paths::{shown, ungroup};

/// What a context gives, or does, where it is written.
const AT_ONCE: [&str; 10] =
    ["publish", "emit", "undo", "now", "rng", "uuid", "run_id", "correlation_id", "patched", "deprecate_patch"];

impl Rewriter<'_> {
    /// Refuses `ctx.publish(…).await` or `ctx.retry(policy, async || …)` at `index`, and returns how many tokens it is; `None` if
    /// nothing is wrong with what is there.
    pub(super) fn misused_operation(
        &mut self,
        tokens: &[TokenTree],
        index: usize,
        rewritten: &mut TokenStream,
    ) -> Option<usize> {
        let TokenTree::Ident(context) = &tokens[index] else { return None };
        if self.place != Place::Body || Some(context) != self.context || is_member(&tokens[..index]) {
            return None;
        }
        let (methods, length) = calls(&tokens[index + 1..]);
        let after = &tokens[index + 1 + length..];
        let (diagnostic, inner, length) = match needless_await(context, &methods) {
            Some(refusal) if awaits::is_await(after) => {
                let inner = tokens[index..=index + length].iter().cloned().collect();
                (Diagnostic::new(&after[1], &refusal), inner, 1 + length + 2)
            }
            _ => {
                let [_, _, TokenTree::Ident(method), TokenTree::Group(arguments), ..] = &tokens[index..] else {
                    return None;
                };
                (async_closure(context, method, arguments.stream())?, arguments.stream(), 4)
            }
        };
        // The call disappears: what is refused in it is shown elsewhere.
        let shown = std::mem::take(&mut self.in_place);
        self.stream(inner);
        self.elsewhere.extend(std::mem::replace(&mut self.in_place, shown));
        let mut refused = Diagnostics::default();
        refused.extend([diagnostic]);
        rewritten.extend(self.refused(refused));
        Some(length)
    }
}

/// The methods in `.undo(…).named(…)`, and how many tokens that is.
fn calls(tokens: &[TokenTree]) -> (Vec<&Ident>, usize) {
    let (mut methods, mut length) = (Vec::new(), 0);
    while let [dot, TokenTree::Ident(method), rest @ ..] = &tokens[length..]
        && is_punct(dot, '.')
        && let turbofish = turbofish_length(rest)
        && let Some(TokenTree::Group(arguments)) = rest.get(turbofish)
        && arguments.delimiter() == Delimiter::Parenthesis
    {
        methods.push(method);
        length += turbofish + 3;
    }
    (methods, length)
}

/// What is wrong with awaiting these calls.
fn needless_await(context: &Ident, methods: &[&Ident]) -> Option<Refusal> {
    let (first, others) = methods.split_first()?;
    if *first == "map" && others.iter().all(|method| *method == "max_concurrency") {
        return Some(Refusal::MapWithoutEnd { call: format!("{context}.map") });
    }
    let is_at_once = AT_ONCE.iter().any(|known| *first == known) && (others.is_empty() || *first == "undo");
    is_at_once.then(|| Refusal::NothingToAwait { call: format!("{context}.{first}") })
}

/// What is wrong with the closure that `ctx.retry` or `ctx.map` is given.
fn async_closure(context: &Ident, method: &Ident, arguments: TokenStream) -> Option<Diagnostic> {
    if method != "retry" && method != "map" {
        return None;
    }
    let arguments = Punctuated::<Expr, Token![,]>::parse_terminated.parse2(arguments).ok()?;
    let Expr::Closure(closure) = ungroup(arguments.get(1)?) else { return None };
    let (asyncness, inputs) = (closure.asyncness?, &closure.inputs);
    // An item is the block's own, and what surrounds the block is not.
    let moved = if inputs.is_empty() { "" } else { "move " };
    let instead = format!("|{}| async {moved}{{ … }}", shown(inputs));
    let refusal = Refusal::AsyncClosure { call: format!("{context}.{method}"), instead };
    Some(Diagnostic::new(asyncness, &refusal))
}
