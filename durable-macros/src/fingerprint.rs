//! A number that changes when a durable function's code changes, and not when it is only formatted.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens;
use syn::Signature;

/// The fingerprint of a function: FNV-1a, 64 bits, over the tokens of its signature and body.
///
/// Comments, doc comments, white space and the commas that rustfmt adds and removes do not count.
/// Source: <https://datatracker.ietf.org/doc/html/draft-eastlake-fnv>.
pub(crate) fn fingerprint(signature: &Signature, body: &TokenStream) -> u64 {
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    hash.tokens(signature.to_token_stream());
    hash.tokens(body.clone());
    hash.0
}

struct Fnv(u64);

impl Fnv {
    fn tokens(&mut self, tokens: TokenStream) {
        let mut tokens = tokens.into_iter().peekable();
        let mut is_after_braces = false;
        while let Some(token) = tokens.next() {
            // `#[doc = "…"]` and `#![doc = "…"]`.
            if is_punct(&token, '#') {
                let is_inner = tokens.next_if(|next| is_punct(next, '!')).is_some();
                if tokens.next_if(is_doc).is_some() {
                    continue;
                }
                self.token("#");
                if is_inner {
                    self.token("!");
                }
                continue;
            }
            // A comma before a closing bracket, and one after a match arm's block.
            if is_punct(&token, ',') && (is_after_braces || tokens.peek().is_none()) {
                continue;
            }
            is_after_braces = matches!(&token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace);
            match token {
                TokenTree::Group(group) => {
                    let (open, close) = match group.delimiter() {
                        Delimiter::Parenthesis => ("(", ")"),
                        Delimiter::Brace => ("{", "}"),
                        Delimiter::Bracket => ("[", "]"),
                        // Only a macro's substitution has these; they are no part of the text.
                        Delimiter::None => {
                            self.tokens(group.stream());
                            continue;
                        }
                    };
                    self.token(open);
                    self.tokens(group.stream());
                    self.token(close);
                }
                // Whether two characters touch depends on formatting (`x=-1`), so it does not count.
                TokenTree::Punct(punct) => self.token(punct.as_char().encode_utf8(&mut [0; 4])),
                TokenTree::Ident(ident) => self.token(&ident.to_string()),
                TokenTree::Literal(literal) => self.token(&literal.to_string()),
            }
        }
    }

    /// Adds one token and its end, so that `ab c` is not `a bc`.
    fn token(&mut self, text: &str) {
        for byte in text.bytes().chain([0]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

fn is_punct(token: &TokenTree, character: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == character)
}

fn is_doc(token: &TokenTree) -> bool {
    let TokenTree::Group(group) = token else { return false };
    let first = group.stream().into_iter().next();
    group.delimiter() == Delimiter::Bracket && matches!(first, Some(TokenTree::Ident(word)) if word == "doc")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    fn of(source: &str) -> u64 {
        let function = parse::parse(&source.parse().unwrap()).unwrap();
        fingerprint(&function.signature, &function.body.to_token_stream())
    }

    #[test]
    fn formatting_and_comments_do_not_count() {
        let fingerprint = of(
            "async fn f(ctx: Context, a: u8) { ctx.run(charge, a).await; let b=-1; match a { 1 => { 2 } _ => g(a, b) } }",
        );
        let formatted = of("
            /// Docs.
            pub async fn f(
                ctx: Context, // the context
                a: u8,
            ) {
                ctx.run(
                    charge,
                    a,
                )
                .await;
                /// On a statement.
                let b = -1;
                /* match */
                match a {
                    1 => { 2 },
                    _ => g(a, b),
                }
            }");
        assert_eq!(fingerprint, formatted);
    }

    #[test]
    fn code_counts() {
        let sources = [
            "async fn f(ctx: Context, a: u8) { ctx.run(charge, a).await }",
            "async fn g(ctx: Context, a: u8) { ctx.run(charge, a).await }",
            "async fn f(ctx: Context, b: u8) { ctx.run(charge, a).await }",
            "async fn f(ctx: Context, a: u8) -> u8 { ctx.run(charge, a).await }",
            "async fn f(ctx: Context, a: u8) { ctx.run(refund, a).await }",
            "async fn f(ctx: Context, a: u8) { ctx.run(charge, 1).await }",
            "async fn f(ctx: Context, a: u8) { #[cfg(x)] ctx.run(charge, a).await }",
            "async fn f(ctx: Context, a: u8) { ctx.run(charge, a).await; }",
        ];
        let fingerprints: std::collections::BTreeSet<u64> = sources.into_iter().map(of).collect();
        assert_eq!(fingerprints.len(), sources.len());
    }

    #[test]
    fn the_number_is_stable_across_releases() {
        // It is stored in journals: a changed number would report a deploy that never happened.
        assert_eq!(of("async fn f(ctx: Context) { ctx.run(charge).await }"), 628_141_011_067_834_343);
    }
}
