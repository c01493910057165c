//! Type-checked awaits: what is awaited must be durable, and the compiler says so at the user's words.

use proc_macro2::{Delimiter, Group, Ident, Punct, Spacing, Span, TokenStream, TokenTree};
use quote::quote_spanned;

use super::{Rewriter, is_braces, is_member, is_punct};
use crate::paths::{Runtime, split_inner_attributes};

/// True for the dot of `.await`.
pub(super) fn is_await(tokens: &[TokenTree]) -> bool {
    matches!(tokens, [dot, TokenTree::Ident(word), ..] if is_punct(dot, '.') && word == "await")
}

/// `.__durable().await`: the same future, if it is durable.
///
/// It is written behind the operand and not around it, because where an operand begins takes a whole parser to say. It
/// keeps the places of the operand's own words: errors are shown there, and other messages about the expression stay
/// as if nothing were between it and `.await`.
pub(super) fn checked_await(tokens: &[TokenTree], index: usize) -> TokenStream {
    let (operand, rest) = tokens.split_at(index);
    let end = match operand.last() {
        Some(TokenTree::Group(group)) => group.span_close(),
        Some(other) => other.span(),
        None => rest[0].span(),
    };
    let mut dot = Punct::new('.', Spacing::Alone);
    dot.set_span(end);
    let mut nothing = Group::new(Delimiter::Parenthesis, TokenStream::new());
    nothing.set_span(end);
    let method = Ident::new("__durable", last_word(operand).unwrap_or(end));
    [dot.into(), method.into(), nothing.into()].into_iter().chain(rest[..2].iter().cloned()).collect()
}

/// Where a person would point to in an operand: the name that is called or read last. None in `(a + b)`.
fn last_word(operand: &[TokenTree]) -> Option<Span> {
    let mut depth = 0;
    for token in operand.iter().rev() {
        match token {
            TokenTree::Ident(word) if depth == 0 => return Some(word.span()),
            // The type arguments in `parse::<Order>(text)`.
            TokenTree::Punct(punct) => match punct.as_char() {
                '>' => depth += 1,
                '<' if depth > 0 => depth -= 1,
                ':' | '?' => {}
                _ if depth > 0 => {}
                _ => return None,
            },
            TokenTree::Group(_) | TokenTree::Ident(_) | TokenTree::Literal(_) => {}
        }
    }
    None
}

/// How many tokens `async { … }` or `async move { … }` are; 0 when there is none.
pub(super) fn async_block_length(tokens: &[TokenTree]) -> usize {
    match tokens {
        [TokenTree::Ident(word), body, ..] if word == "async" && is_braces(body) => 2,
        [TokenTree::Ident(word), TokenTree::Ident(moved), body, ..]
            if word == "async" && moved == "move" && is_braces(body) =>
        {
            3
        }
        _ => 0,
    }
}

/// The first use of a variable of this name.
fn find(tokens: &TokenStream, name: &Ident) -> Option<Ident> {
    let mut before: Vec<TokenTree> = Vec::new();
    for token in tokens.clone() {
        let found = match &token {
            TokenTree::Ident(word) if word == name && !is_member(&before) => Some(word.clone()),
            TokenTree::Group(group) => find(&group.stream(), name),
            TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => None,
        };
        if found.is_some() {
            return found;
        }
        before.push(token);
    }
    None
}

impl Rewriter<'_> {
    /// `block(async move { … })`, or `block(branch(1))` of an async closure: durable, since what is awaited in its body
    /// is checked there. A block that moves what it uses is given a copy of the context.
    pub(super) fn block(&mut self, tokens: &[TokenTree]) -> TokenStream {
        let site = Span::mixed_site().located_at(tokens.first().map_or_else(Span::call_site, TokenTree::span));
        let runtime = self.runtime.at(site);
        let argument = tokens.iter().map(|token| match token {
            TokenTree::Group(group) => TokenTree::Group(self.group(group)),
            other => other.clone(),
        });
        let argument: TokenStream = argument.collect();
        // A closure that is called again, as that of `ctx.map`, could not give its context away.
        let copy = self
            .moved_context(tokens)
            .map(|context| quote_spanned!(site=> let #context = ::core::clone::Clone::clone(&#context);));
        let argument = if copy.is_some() { quote_spanned!(site=> { #copy #argument }) } else { argument };
        quote_spanned!(site=> #runtime::__private::block(#argument))
    }

    /// The context as it is written in `async move { … }`, if it is.
    fn moved_context(&self, tokens: &[TokenTree]) -> Option<Ident> {
        match tokens {
            [_, TokenTree::Ident(moved), TokenTree::Group(body)] if moved == "move" => {
                find(&body.stream(), self.context?)
            }
            _ => None,
        }
    }

    /// True for `branch(…)` of a `branch` that is an async closure.
    pub(super) fn is_async_closure_called(&self, tokens: &[TokenTree], index: usize) -> bool {
        let [TokenTree::Ident(name), TokenTree::Group(arguments), ..] = &tokens[index..] else { return false };
        arguments.delimiter() == Delimiter::Parenthesis
            && !is_member(&tokens[..index])
            && self.names.is_async_closure(name)
    }
}

/// The body with what [`checked_await`] calls in scope, behind its inner attributes.
pub(super) fn in_scope(body: &Group, runtime: &Runtime) -> Group {
    let site = Span::mixed_site().located_at(body.span_open());
    let runtime = runtime.at(site);
    let import = quote_spanned!(site=> use #runtime::__private::Awaited as _;);
    let (attributes, rest) = split_inner_attributes(body.stream());
    let mut group = Group::new(body.delimiter(), attributes.into_iter().chain(import).chain(rest).collect());
    group.set_span(body.span());
    group
}
