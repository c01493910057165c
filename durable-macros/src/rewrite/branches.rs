//! The arguments of `join!`, `try_join!`, `select!` and `select_biased!`: each branch is awaited, so each is checked,
//! and their order is fixed.

use proc_macro2::{Group, Ident, Punct, Spacing, Span, TokenStream, TokenTree};
use quote::{ToTokens, TokenStreamExt as _, quote, quote_spanned};
use syn::parse::{ParseStream, Parser as _};
use syn::punctuated::Punctuated;
use syn::{Expr, Pat, Token, token};

use super::unchecked::unchecked_length;
use super::{Rewriter, is_punct};
use crate::paths::{generated_at, ungroup};

/// What is known of a macro by its name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    /// `join!(a, b)`.
    Join,
    /// `select! { pattern = a => handler, … }`.
    Select,
}

/// A piece of a macro's arguments.
enum Piece {
    /// A future that the macro awaits.
    Branch(Expr),
    /// Anything else.
    Other(TokenStream),
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
        let (order, rest) = tokens.split_at(if has_order { 2 } else { 0 });
        let mut stream: TokenStream = order.iter().cloned().collect();
        if is_tokio && !has_order {
            let span = Span::mixed_site().located_at(name.span());
            let mut semicolon = Punct::new(';', Spacing::Alone);
            semicolon.set_span(span);
            stream.append(Ident::new("biased", span));
            stream.append(semicolon);
        }
        let rest: TokenStream = rest.iter().cloned().collect();
        match pieces(family, rest.clone()) {
            // What can't be read is the macro's to refuse.
            Err(_) => stream.extend(self.stream(rest)),
            Ok(pieces) => {
                for piece in pieces {
                    match piece {
                        Piece::Branch(future) => stream.extend(self.branch(&future, family, is_tokio)),
                        Piece::Other(tokens) => stream.extend(self.stream(tokens)),
                    }
                }
            }
        }
        let mut rewritten = Group::new(arguments.delimiter(), stream);
        rewritten.set_span(arguments.span());
        rewritten
    }

    /// `checked(future)`.
    fn branch(&mut self, future: &Expr, family: Family, is_tokio: bool) -> TokenStream {
        let tokens: Vec<TokenTree> = future.to_token_stream().into_iter().collect();
        let is_unchecked = self.is_unchecked || unchecked_length(&tokens).is_some();
        let future_tokens = self.stream(future.to_token_stream());
        if is_unchecked {
            return future_tokens;
        }
        let site = generated_at(future);
        let runtime = self.runtime.at(site);
        // `futures::select_biased!` borrows a variable instead of taking it.
        let borrow = (family == Family::Select && !is_tokio && matches!(ungroup(future), Expr::Path(_)))
            .then(|| quote_spanned!(site=> &mut));
        quote_spanned!(site=> #runtime::__private::checked(#borrow #future_tokens))
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

fn pieces(family: Family, tokens: TokenStream) -> syn::Result<Vec<Piece>> {
    let read = |input: ParseStream<'_>| match family {
        Family::Join => joined(input),
        Family::Select => selected(input),
    };
    read.parse2(tokens)
}

fn joined(input: ParseStream<'_>) -> syn::Result<Vec<Piece>> {
    let list = Punctuated::<Expr, Token![,]>::parse_terminated(input)?;
    let pieces = list.into_pairs().flat_map(|pair| {
        let (future, comma) = pair.into_tuple();
        [Piece::Branch(future), Piece::Other(comma.into_token_stream())]
    });
    Ok(pieces.collect())
}

fn selected(input: ParseStream<'_>) -> syn::Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    while !input.is_empty() {
        let is_fallback = input.peek(Token![else]) || input.peek(syn::Ident) && input.peek2(Token![=>]);
        if is_fallback {
            let word: TokenTree = input.parse()?;
            pieces.push(Piece::Other(word.into()));
        } else {
            let pattern = Pat::parse_multi_with_leading_vert(input)?;
            let equals: Token![=] = input.parse()?;
            pieces.push(Piece::Other(quote!(#pattern #equals)));
            pieces.push(Piece::Branch(input.parse()?));
            if let Some(comma) = input.parse::<Option<Token![,]>>()? {
                let (condition, value): (Token![if], Expr) = (input.parse()?, input.parse()?);
                pieces.push(Piece::Other(quote!(#comma #condition #value)));
            }
        }
        let arrow: Token![=>] = input.parse()?;
        // A block ends the branch, whatever follows it.
        let handler = if input.peek(token::Brace) {
            input.parse::<TokenTree>()?.into()
        } else {
            input.parse::<Expr>()?.into_token_stream()
        };
        let comma: Option<Token![,]> = input.parse()?;
        pieces.push(Piece::Other(quote!(#arrow #handler #comma)));
    }
    Ok(pieces)
}
