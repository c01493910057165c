//! The arguments of `join!`, `try_join!`, `select!` and `select_biased!`: each branch is awaited, so each is checked,
//! and their order is fixed.

use std::ops::Range;

use proc_macro2::{Group, Ident, Punct, Spacing, Span, TokenStream, TokenTree};
use quote::{TokenStreamExt as _, quote_spanned};
use syn::parse::{ParseStream, Parser as _};
use syn::{Expr, Pat, Token, token};

use super::unchecked::unchecked_length;
use super::{Rewriter, is_punct};

/// What is known of a macro by its name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    /// `join!(a, b)`.
    Join,
    /// `select! { pattern = a => handler, … }`.
    Select,
}

/// A future that a macro awaits.
pub(super) struct Branch {
    /// Where it is among the macro's tokens.
    pub(super) place: Range<usize>,
    /// Whether the macro borrows it, as `futures::select_biased!` borrows a variable.
    is_borrowed: bool,
}

impl Rewriter<'_> {
    /// The arguments of the macro `qualifier::name!`.
    ///
    /// tokio's macros begin with another branch each time, and the order in which branches call `ctx.run` is part of
    /// what a replay compares: `biased;` is added.
    pub(super) fn macro_arguments(&mut self, name: &Ident, qualifier: Option<&Ident>, arguments: &Group) -> Group {
        let Some((family, is_tokio)) = known(name, qualifier) else { return self.group(arguments) };
        let tokens: Vec<TokenTree> = arguments.stream().into_iter().collect();
        let has_order = matches!(&tokens[..], [TokenTree::Ident(word), semicolon, ..]
            if word == "biased" && is_punct(semicolon, ';'));
        let order = if has_order { 2 } else { 0 };
        let mut stream = TokenStream::new();
        if is_tokio && !has_order {
            let span = Span::mixed_site().located_at(name.span());
            let mut semicolon = Punct::new(';', Spacing::Alone);
            semicolon.set_span(span);
            stream.append(Ident::new("biased", span));
            stream.append(semicolon);
        }
        let is_borrowing = family == Family::Select && !is_tokio;
        // What can't be read is the macro's to refuse.
        let branches = branches(family, is_borrowing, &tokens, order).unwrap_or_default();
        stream.extend(self.tokens(&tokens, &branches));
        let mut rewritten = Group::new(arguments.delimiter(), stream);
        rewritten.set_span(arguments.span());
        rewritten
    }

    /// `checked(future)`.
    pub(super) fn branch(&mut self, branch: &Branch, original: &[TokenTree], future: TokenStream) -> TokenStream {
        if self.is_unchecked || unchecked_length(original).is_some() {
            return future;
        }
        let site = Span::mixed_site().located_at(original.first().map_or_else(Span::call_site, TokenTree::span));
        let runtime = self.runtime.at(site);
        let borrow = branch.is_borrowed.then(|| quote_spanned!(site=> &mut));
        quote_spanned!(site=> #runtime::__private::checked(#borrow #future))
    }
}

/// The family of a macro, and whether it is tokio's.
fn known(name: &Ident, qualifier: Option<&Ident>) -> Option<(Family, bool)> {
    let name = name.to_string();
    let family = match name.as_str() {
        "join" | "try_join" => Family::Join,
        "select" | "select_biased" => Family::Select,
        _ => return None,
    };
    match qualifier.map(Ident::to_string).as_deref() {
        Some("tokio") => Some((family, true)),
        Some("futures" | "futures_util" | "std" | "future") => Some((family, false)),
        // Only tokio's `select!` is used without a path so often that the name alone says enough.
        None => Some((family, name == "select")),
        Some(_) => None,
    }
}

/// The futures among the arguments of a macro, behind its first `order` tokens.
fn branches(family: Family, is_borrowing: bool, tokens: &[TokenTree], order: usize) -> syn::Result<Vec<Branch>> {
    let index = |input: ParseStream<'_>| tokens.len() - input.cursor().token_stream().into_iter().count();
    let branch = |input: ParseStream<'_>| {
        let start = index(input);
        let future: Expr = input.parse()?;
        let is_borrowed = is_borrowing && matches!(future, Expr::Path(_));
        Ok::<_, syn::Error>(Branch { place: start..index(input), is_borrowed })
    };
    let read = |input: ParseStream<'_>| {
        let mut branches = Vec::new();
        while !input.is_empty() {
            match family {
                Family::Join => {
                    branches.push(branch(input)?);
                    if !input.is_empty() {
                        input.parse::<Token![,]>()?;
                    }
                }
                Family::Select => selected(input, &mut branches, branch)?,
            }
        }
        Ok(branches)
    };
    read.parse2(tokens[order..].iter().cloned().collect())
}

/// `pattern = future, if condition => handler,`, or `else => handler,`.
fn selected<'a>(
    input: ParseStream<'a>,
    branches: &mut Vec<Branch>,
    branch: impl Fn(ParseStream<'a>) -> syn::Result<Branch>,
) -> syn::Result<()> {
    let is_fallback = input.peek(Token![else]) || input.peek(syn::Ident) && input.peek2(Token![=>]);
    if is_fallback {
        input.parse::<TokenTree>()?;
    } else {
        Pat::parse_multi_with_leading_vert(input)?;
        input.parse::<Token![=]>()?;
        branches.push(branch(input)?);
        if input.parse::<Option<Token![,]>>()?.is_some() {
            input.parse::<Token![if]>()?;
            input.parse::<Expr>()?;
        }
    }
    input.parse::<Token![=>]>()?;
    // A block ends the branch, whatever follows it.
    if input.peek(token::Brace) {
        input.parse::<TokenTree>()?;
    } else {
        input.parse::<Expr>()?;
    }
    input.parse::<Option<Token![,]>>()?;
    Ok(())
}
