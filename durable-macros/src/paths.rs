//! Names and paths: of the runtime crate, of a callee, and of code shown in a message.

use proc_macro2::{Delimiter, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote_spanned};
use syn::{Expr, Path};

/// The path of the runtime crate.
pub(crate) struct Runtime(TokenStream);

impl Runtime {
    /// The option `crate`, or `::durable_runtime`.
    pub(crate) fn new(option: Option<&Path>) -> Self {
        let default = || quote_spanned!(Span::mixed_site()=> ::durable_runtime);
        Self(option.map_or_else(default, ToTokens::to_token_stream))
    }

    /// The path, for code shown at `place`. What it means stays the same.
    pub(crate) fn at(&self, place: Span) -> TokenStream {
        let moved = |mut token: TokenTree| {
            token.set_span(token.span().located_at(place));
            token
        };
        self.0.clone().into_iter().map(moved).collect()
    }
}

/// The place of `tokens` for code that the user did not write.
///
/// Errors are shown there, but names don't clash with the user's and lints about style stay silent.
pub(crate) fn generated_at(tokens: impl ToTokens) -> Span {
    let span = tokens.into_token_stream().into_iter().next().map_or_else(Span::call_site, |token| token.span());
    Span::mixed_site().located_at(span)
}

/// The `#![…]` at the beginning of a body, and the rest of it.
pub(crate) fn split_inner_attributes(body: TokenStream) -> (TokenStream, TokenStream) {
    let tokens: Vec<TokenTree> = body.into_iter().collect();
    let is_punct =
        |token: &TokenTree, character| matches!(token, TokenTree::Punct(punct) if punct.as_char() == character);
    let mut length = 0;
    while let [hash, bang, TokenTree::Group(_), ..] = &tokens[length..]
        && is_punct(hash, '#')
        && is_punct(bang, '!')
    {
        length += 3;
    }
    let (attributes, rest) = tokens.split_at(length);
    (attributes.iter().cloned().collect(), rest.iter().cloned().collect())
}

/// The expression without parentheses around it.
pub(crate) fn ungroup(mut expression: &Expr) -> &Expr {
    loop {
        expression = match expression {
            Expr::Group(group) => &group.expr,
            Expr::Paren(paren) => &paren.expr,
            other => return other,
        };
    }
}

/// The last name of a callee: `charge` in `Gateway::charge::<T>`.
pub(crate) fn last_name(callee: &Expr) -> Option<&Ident> {
    match ungroup(callee) {
        Expr::Path(path) => path.path.segments.last().map(|segment| &segment.ident),
        Expr::Reference(reference) if reference.mutability.is_none() => last_name(&reference.expr),
        _ => None,
    }
}

/// The code in one line, about as a person would write it, shortened when it is long.
pub(crate) fn shown(tokens: impl ToTokens) -> String {
    const CHARACTERS_MAX: usize = 60;
    let mut text = String::new();
    show(tokens.into_token_stream(), &mut text);
    if text.chars().count() > CHARACTERS_MAX {
        text = text.chars().take(CHARACTERS_MAX - 1).chain(['…']).collect();
    }
    text
}

fn show(tokens: TokenStream, text: &mut String) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{ ", " }"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                text.push_str(open);
                show(group.stream(), text);
                text.push_str(close);
            }
            TokenTree::Punct(punct) => {
                text.push(punct.as_char());
                if matches!(punct.as_char(), ',' | ';') {
                    text.push(' ');
                }
            }
            TokenTree::Ident(_) | TokenTree::Literal(_) => {
                if text.ends_with(|last: char| last.is_alphanumeric() || last == '_' || last == '"') {
                    text.push(' ');
                }
                text.push_str(&token.to_string());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use quote::quote;
    use syn::parse_quote;

    use super::*;

    #[test]
    fn the_last_name_is_what_a_person_calls_the_function() {
        for (callee, name) in [
            (quote!(charge), Some("charge")),
            (quote!(Gateway::charge), Some("charge")),
            (quote!(self::charge::<Order, 3>), Some("charge")),
            (quote!(<Gateway as Pay<Order>>::charge), Some("charge")),
            (quote!((charge)), Some("charge")),
            (quote!(&charge), Some("charge")),
            (quote!(r#match), Some("r#match")),
            (quote!(charges[0]), None),
            (quote!(&mut charge), None),
        ] {
            let callee: Expr = parse_quote!(#callee);
            assert_eq!(last_name(&callee).map(ToString::to_string).as_deref(), name);
        }
    }

    #[test]
    fn code_in_messages_reads_like_code() {
        assert_eq!(shown(quote!(charge(&order.user, 3, "a b"))), "charge(&order.user, 3, \"a b\")");
        assert_eq!(shown(quote!(impl Fn(&str) -> Vec<u8>)), "impl Fn(&str)->Vec<u8>");
        assert_eq!(shown(quote!(pay(mut cart, async move { 1 }))), "pay(mut cart, async move{ 1 })");
        assert_eq!(
            shown(quote!(a_name_that_goes_on_and_on(and_an_argument_that_goes_on_and_on_too))).chars().count(),
            60
        );
    }
}
