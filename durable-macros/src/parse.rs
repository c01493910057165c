//! Stage 1: from tokens to the parts of a function.
//!
//! Only the signature becomes a syntax tree. The body stays the tokens the user wrote: it may hold any syntax the
//! compiler knows, and its spans stay exact.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use quote::ToTokens;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Signature, Visibility};

use crate::diagnostics::{Diagnostic, Refusal};

/// A function as the user wrote it.
pub(crate) struct Function {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) visibility: Visibility,
    pub(crate) signature: Signature,
    /// `{ … }`.
    pub(crate) body: Group,
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        Ok(Self {
            attributes: input.call(Attribute::parse_outer)?,
            visibility: input.parse()?,
            signature: input.parse()?,
            body: input.step(|cursor| match cursor.token_tree() {
                Some((TokenTree::Group(body), rest)) if let Some(body) = braces(&body) => Ok((body, rest)),
                _ => Err(cursor.error("expected the function's body")),
            })?,
        })
    }
}

/// `{ … }`, also as the `$body:block` of a macro, around which there are brackets that nobody sees.
fn braces(group: &Group) -> Option<Group> {
    match group.delimiter() {
        Delimiter::Brace => Some(group.clone()),
        Delimiter::None => match Vec::from_iter(group.stream()).as_slice() {
            [TokenTree::Group(inner)] => braces(inner),
            _ => None,
        },
        Delimiter::Parenthesis | Delimiter::Bracket => None,
    }
}

/// Reads the item under the attribute.
///
/// # Errors
/// What is wrong with an item that is no function with a body.
pub(crate) fn parse(item: &TokenStream) -> Result<Function, Diagnostic> {
    let tokens: Vec<TokenTree> = item.clone().into_iter().collect();
    syn::parse2(item.clone()).map_err(|error| {
        let function = tokens.iter().find(|token| is_ident(token, "fn"));
        match (function, tokens.last()) {
            (Some(function), Some(TokenTree::Punct(last))) if last.as_char() == ';' => {
                Diagnostic::new(function, &Refusal::WithoutBody)
            }
            (Some(_), _) => Diagnostic::message(syntax_error_tokens(&error), error.to_string()),
            (None, _) => Diagnostic::new(item_keyword(&tokens), &Refusal::NotAFunction),
        }
    })
}

/// The word that says what kind of item this is, for the compiler to underline.
fn item_keyword(tokens: &[TokenTree]) -> Option<&TokenTree> {
    const KEYWORDS: [&str; 11] =
        ["struct", "enum", "union", "impl", "trait", "mod", "type", "const", "static", "use", "macro_rules"];
    tokens.iter().find(|token| KEYWORDS.iter().any(|keyword| is_ident(token, keyword))).or(tokens.first())
}

fn is_ident(token: &TokenTree, text: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == text)
}

/// A token that carries the place of a parser's error.
fn syntax_error_tokens(error: &syn::Error) -> TokenStream {
    proc_macro2::Ident::new("error", error.span()).into_token_stream()
}
