//! Whether a body may plan to undo something.

use proc_macro2::{Ident, TokenStream, TokenTree};

use super::is_punct;

/// Whether the body calls `ctx.undo`, or gives the context away, so that others may.
pub(crate) fn may_undo(body: TokenStream, context: Option<&Ident>) -> bool {
    let tokens: Vec<TokenTree> = body.into_iter().collect();
    tokens.iter().enumerate().any(|(index, token)| match token {
        TokenTree::Group(group) => may_undo(group.stream(), context),
        TokenTree::Ident(name) if Some(name) == context => match &tokens[index + 1..] {
            [dot, TokenTree::Ident(method), ..] if is_punct(dot, '.') => method == "undo" || method == "clone",
            _ => true,
        },
        _ => false,
    })
}
