//! Paths in tokens.

use proc_macro2::{Spacing, TokenTree};

use crate::diagnostics::unraw;
use crate::rewrite::{is_punct, turbofish_length};

/// A path without its generic arguments: `rand::random` for `rand::random::<u8>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    /// It begins with `::`.
    pub(super) is_global: bool,
    /// Never empty. That of a macro ends with `!`.
    pub(super) segments: Vec<String>,
}

impl Path {
    /// The path at the beginning of `tokens`, and how many tokens it is, with all its turbofishes.
    pub(super) fn read(tokens: &[TokenTree]) -> Option<(Self, usize)> {
        let is_global = is_colons(tokens);
        let mut length = if is_global { 2 } else { 0 };
        let mut segments = Vec::new();
        while let Some(TokenTree::Ident(name)) = tokens.get(length) {
            segments.push(unraw(name));
            length += 1;
            length += turbofish_length(&tokens[length..]);
            let is_longer = is_colons(&tokens[length..]) && matches!(tokens.get(length + 2), Some(TokenTree::Ident(_)));
            if !is_longer {
                return Some((Self { is_global, segments }, length));
            }
            length += 2;
        }
        None
    }

    /// The path `<Type>::function` at the beginning of `tokens`, as `Type::function`.
    pub(super) fn read_qualified(tokens: &[TokenTree]) -> Option<(Self, usize)> {
        if !tokens.first().is_some_and(|token| is_punct(token, '<')) {
            return None;
        }
        let (mut path, length) = Self::read(&tokens[1..])?;
        let rest = &tokens[1 + length..];
        if !(rest.first().is_some_and(|token| is_punct(token, '>')) && is_colons(&rest[1..])) {
            return None;
        }
        let (function, function_length) = Self::read(&rest[3..])?;
        path.segments.extend(function.segments);
        Some((path, 1 + length + 3 + function_length))
    }
}

/// True when `tokens` begin with `::`, and not with the first `:` of `at: ::std::time`.
pub(super) fn is_colons(tokens: &[TokenTree]) -> bool {
    let [TokenTree::Punct(first), second, ..] = tokens else { return false };
    first.as_char() == ':' && first.spacing() == Spacing::Joint && is_punct(second, ':')
}
