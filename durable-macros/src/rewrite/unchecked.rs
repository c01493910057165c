//! The escape hatch: `#[durable(unchecked = "why")]` above a statement.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::parse::{Parse, ParseStream, Parser as _};
use syn::{Arm, Expr, ExprLit, Lit, MetaNameValue, Stmt};

use super::{Place, Rewriter, is_punct};
use crate::diagnostics::Refusal;

/// How many tokens `#[durable(unchecked …)]` is; none when there is none.
pub(super) fn unchecked_length(tokens: &[TokenTree]) -> Option<usize> {
    content(tokens).map(|_| 2)
}

/// `unchecked = "why"`, of an attribute at the beginning of `tokens`.
fn content(tokens: &[TokenTree]) -> Option<TokenStream> {
    let [hash, TokenTree::Group(attribute), ..] = tokens else { return None };
    if !is_punct(hash, '#') || attribute.delimiter() != Delimiter::Bracket {
        return None;
    }
    let attribute: Vec<TokenTree> = attribute.stream().into_iter().collect();
    let [.., TokenTree::Ident(name), TokenTree::Group(content)] = &attribute[..] else { return None };
    let first = content.stream().into_iter().next();
    let is_hatch = name == "durable" && matches!(first, Some(TokenTree::Ident(word)) if word == "unchecked");
    is_hatch.then(|| content.stream())
}

impl Rewriter<'_> {
    /// Rewrites a statement that asks not to be checked; returns how many tokens that is, with its attribute.
    pub(super) fn unchecked_statement(&mut self, tokens: &[TokenTree], rewritten: &mut TokenStream) -> Option<usize> {
        let content = content(tokens)?;
        let attribute: TokenStream = tokens[..2].iter().cloned().collect();
        if self.place == Place::Step {
            self.elsewhere.refuse(attribute, &Refusal::UncheckedInsideStep);
        } else if !has_reason(content) {
            self.elsewhere.refuse(attribute, &Refusal::UncheckedWithoutReason);
        }
        let length = statement_length(&tokens[2..]);
        let before = std::mem::replace(&mut self.is_unchecked, true);
        rewritten.extend(self.stream(tokens[2..2 + length].iter().cloned().collect()));
        self.is_unchecked = before;
        Some(2 + length)
    }
}

fn has_reason(content: TokenStream) -> bool {
    let Ok(given) = syn::parse2::<MetaNameValue>(content) else { return false };
    matches!(given.value, Expr::Lit(ExprLit { lit: Lit::Str(reason), .. }) if !reason.value().trim().is_empty())
}

/// How many tokens the statement at the beginning of `tokens` is, or the arm of a `match`, or the element of a list; all
/// of them if it is the last one.
fn statement_length(tokens: &[TokenTree]) -> usize {
    let is_comma = |token: &TokenTree| is_punct(token, ',');
    let element = || parsed_length::<Expr>(tokens).filter(|length| tokens.get(*length).is_none_or(is_comma));
    parsed_length::<Stmt>(tokens)
        .or_else(element)
        .or_else(|| parsed_length::<Arm>(tokens))
        .unwrap_or_else(|| tokens.iter().position(is_comma).unwrap_or(tokens.len()))
}

/// How many tokens the `T` at the beginning of `tokens` is.
fn parsed_length<T: Parse>(tokens: &[TokenTree]) -> Option<usize> {
    let rest = |input: ParseStream<'_>| {
        input.parse::<T>()?;
        input.parse::<TokenStream>()
    };
    let rest = rest.parse2(tokens.iter().cloned().collect()).ok()?;
    Some(tokens.len().saturating_sub(rest.into_iter().count()))
}
