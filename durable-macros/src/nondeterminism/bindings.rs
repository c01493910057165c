//! The local variables of a block, as far as its tokens tell them.

use std::ops::Range;

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

use crate::diagnostics::unraw;
use crate::nondeterminism::path::is_colons;
use crate::rewrite::{is_braces, is_punct};

/// A name that a pattern binds, and where it has this meaning.
#[derive(Debug)]
pub(super) struct Binding {
    pub(super) name: String,
    /// The pattern itself.
    pub(super) pattern: Range<usize>,
    pub(super) scope: Range<usize>,
    pub(super) evidence: Evidence,
}

/// What the tokens say about the type of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Evidence {
    None,
    /// The tokens of a type.
    Type(Range<usize>),
    /// The tokens of what the variable is set to.
    Value(Range<usize>),
}

/// The names that are bound among `tokens`, in the order in which their meanings begin.
pub(super) fn read(tokens: &[TokenTree]) -> Vec<Binding> {
    let mut bindings = Vec::new();
    // The end of the parameters that were seen last.
    let mut bar = None;
    for (index, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Ident(word) if word == "let" && is_statement(&tokens[..index]) => {
                bindings.extend(statement(tokens, index));
            }
            TokenTree::Ident(word) if word == "let" => condition(tokens, index, &mut bindings),
            TokenTree::Ident(word) if word == "for" => for_loop(tokens, index, &mut bindings),
            TokenTree::Punct(punct)
                if punct.as_char() == '|' && bar != Some(index) && begins_closure(&tokens[..index]) =>
            {
                bar = Some(closure(tokens, index, &mut bindings));
            }
            TokenTree::Punct(punct) if punct.as_char() == '=' && is_next(tokens, index, '>') => {
                arm(tokens, index, &mut bindings);
            }
            _ => {}
        }
    }
    bindings.sort_by_key(|binding| binding.scope.start);
    bindings
}

/// Where the statement ends that `tokens[index]` is in: at its semicolon.
pub(super) fn statement_end(tokens: &[TokenTree], index: usize) -> usize {
    find(tokens, index, |token| is_punct(token, ';'))
}

/// `let pattern: Type = value;`, from the semicolon on.
fn statement(tokens: &[TokenTree], index: usize) -> Vec<Binding> {
    let end = statement_end(tokens, index);
    let equals = single_equals(&tokens[..end], index);
    let colon = (index + 1..equals).find(|&colon| is_type_colon(&tokens[..equals], colon));
    let pattern = index + 1..colon.unwrap_or(equals);
    let evidence = match (&tokens[pattern.clone()], colon) {
        ([TokenTree::Ident(_)], Some(colon)) => Evidence::Type(colon + 1..equals),
        ([TokenTree::Ident(_)], None) if equals < end => Evidence::Value(equals + 1..end),
        ([TokenTree::Ident(word), TokenTree::Ident(_)], Some(colon)) if word == "mut" => {
            Evidence::Type(colon + 1..equals)
        }
        ([TokenTree::Ident(word), TokenTree::Ident(_)], None) if word == "mut" && equals < end => {
            Evidence::Value(equals + 1..end)
        }
        _ => Evidence::None,
    };
    bind(tokens, pattern, end..tokens.len(), &evidence)
}

/// `if let pattern = value { … }`, in the braces and in the conditions before them.
fn condition(tokens: &[TokenTree], index: usize, bindings: &mut Vec<Binding>) {
    let equals = single_equals(tokens, index);
    let braces = find(tokens, equals, is_braces);
    let and = (equals..braces).find(|&and| is_punct(&tokens[and], '&') && is_next(tokens, and, '&'));
    let scope = and.unwrap_or(braces)..(braces + 1).min(tokens.len());
    bindings.extend(bind(tokens, index + 1..equals, scope, &Evidence::None));
}

/// `for pattern in value { … }`, in the braces.
fn for_loop(tokens: &[TokenTree], index: usize, bindings: &mut Vec<Binding>) {
    let braces = find(tokens, index, is_braces);
    let Some(word) = (index..braces).find(|&word| is_word(&tokens[word], "in")) else { return };
    let scope = braces..(braces + 1).min(tokens.len());
    bindings.extend(bind(tokens, index + 1..word, scope, &Evidence::None));
}

/// `|pattern, pattern| value`, to the end of the value. Returns where the second `|` is.
fn closure(tokens: &[TokenTree], index: usize, bindings: &mut Vec<Binding>) -> usize {
    let close = find(tokens, index + 1, |token| is_punct(token, '|'));
    let end = find(tokens, close + 1, |token| is_punct(token, ',') || is_punct(token, ';'));
    let mut start = index + 1;
    while start < close {
        let comma = find(&tokens[..close], start, |token| is_punct(token, ','));
        let colon = (start..comma).find(|&colon| is_type_colon(&tokens[..comma], colon)).unwrap_or(comma);
        let is_plain = matches!(tokens[start..colon], [TokenTree::Ident(_)]);
        let evidence = if is_plain && colon < comma { Evidence::Type(colon + 1..comma) } else { Evidence::None };
        bindings.extend(bind(tokens, start..colon, close..end, &evidence));
        start = comma + 1;
    }
    close
}

/// `pattern if guard => value,` of a `match`, and `pattern = future, if guard => value,` of a `select!`.
fn arm(tokens: &[TokenTree], arrow: usize, bindings: &mut Vec<Binding>) {
    let is_end = |index: &usize| is_punct(&tokens[*index], ',') || is_punct(&tokens[*index], ';');
    // Braces before a pattern are the body of the arm before it, and those directly before the arrow are the pattern's.
    let mut start = (0..arrow).rev().find(is_end).map_or(0, |end| end + 1);
    if arrow > 0 && is_word(&tokens[start], "if") {
        start = start.checked_sub(2).and_then(|last| (0..=last).rev().find(is_end)).map_or(0, |end| end + 1);
    }
    if let Some(braces) = (start..arrow.saturating_sub(1)).rev().find(|&index| is_braces(&tokens[index])) {
        start = braces + 1;
    }
    let is_block = tokens.get(arrow + 2).is_some_and(is_braces);
    let end = if is_block { arrow + 3 } else { find(tokens, arrow + 2, |token| is_punct(token, ',')) };
    let guard = (start..arrow).find(|&word| is_word(&tokens[word], "if")).unwrap_or(arrow);
    let equals = single_equals(&tokens[..guard], start);
    // A guard sees the names; the future of a branch does not.
    let scope = if equals < guard { arrow..end } else { guard..end };
    bindings.extend(bind(tokens, start..equals, scope, &Evidence::None));
}

/// A binding for each name in a pattern.
fn bind(tokens: &[TokenTree], pattern: Range<usize>, scope: Range<usize>, evidence: &Evidence) -> Vec<Binding> {
    let mut names = Vec::new();
    pattern_names(&tokens[pattern.clone()], &mut names);
    let binding = |name| Binding { name, pattern: pattern.clone(), scope: scope.clone(), evidence: evidence.clone() };
    names.into_iter().map(binding).collect()
}

/// The names that a pattern binds, and a few more: what is not sure to be a path, a type or a field.
fn pattern_names(tokens: &[TokenTree], names: &mut Vec<String>) {
    for (index, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                pattern_names(&inner, names);
            }
            TokenTree::Ident(name) => {
                let rest = &tokens[index + 1..];
                let is_field = rest.first().is_some_and(|next| is_punct(next, ':'));
                let is_type =
                    matches!(rest.first(), Some(TokenTree::Group(group)) if group.delimiter() != Delimiter::None);
                let is_in_path = is_colons(rest) || (index >= 2 && is_colons(&tokens[index - 2..index]));
                if !(is_field || is_type || is_in_path || is_keyword(token)) {
                    names.push(unraw(name));
                }
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

/// The names of a pattern that stands alone, such as a parameter.
pub(super) fn names_of(pattern: TokenStream) -> Vec<String> {
    let tokens: Vec<TokenTree> = pattern.into_iter().collect();
    let mut names = Vec::new();
    pattern_names(&tokens, &mut names);
    names
}

/// True for a word that can't be the end of a value.
pub(super) fn is_keyword(token: &TokenTree) -> bool {
    const KEYWORDS: [&str; 16] = [
        "as", "async", "box", "break", "else", "if", "in", "let", "loop", "match", "move", "mut", "ref", "return",
        "while", "yield",
    ];
    KEYWORDS.iter().any(|keyword| is_word(token, keyword))
}

/// True when a `let` after these tokens is a statement, and not a condition.
fn is_statement(before: &[TokenTree]) -> bool {
    match before.last() {
        None | Some(TokenTree::Group(_)) => true,
        Some(token) => is_punct(token, ';'),
    }
}

/// True when a `|` after these tokens begins a closure: there is nothing before it that could be its left side.
fn begins_closure(before: &[TokenTree]) -> bool {
    match before.last() {
        None => true,
        Some(token @ TokenTree::Ident(_)) => is_keyword(token),
        Some(TokenTree::Group(group)) => group.delimiter() == Delimiter::Brace,
        Some(TokenTree::Punct(punct)) => !matches!(punct.as_char(), '?' | '|'),
        Some(TokenTree::Literal(_)) => false,
    }
}

/// The `=` of an assignment at or after `index`, or the end.
fn single_equals(tokens: &[TokenTree], index: usize) -> usize {
    let is_joint = |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.spacing() == Spacing::Joint);
    let is_part = |index: usize| {
        // The `>` of `let m: Vec<u8>= …` is no part of an operator, but nobody writes that.
        let is_after = index > 0 && is_joint(&tokens[index - 1]);
        is_after || is_next(tokens, index, '=') || is_next(tokens, index, '>')
    };
    (index..tokens.len()).find(|&index| is_punct(&tokens[index], '=') && !is_part(index)).unwrap_or(tokens.len())
}

/// True for a single `:`.
fn is_type_colon(tokens: &[TokenTree], index: usize) -> bool {
    let is_after_colon = index > 0 && is_colons(&tokens[index - 1..]);
    is_punct(&tokens[index], ':') && !is_after_colon && !is_colons(&tokens[index..])
}

fn is_next(tokens: &[TokenTree], index: usize, character: char) -> bool {
    tokens.get(index + 1).is_some_and(|next| is_punct(next, character))
}

fn find(tokens: &[TokenTree], start: usize, is_wanted: impl Fn(&TokenTree) -> bool) -> usize {
    (start..tokens.len()).find(|&index| is_wanted(&tokens[index])).unwrap_or(tokens.len())
}

pub(super) fn is_word(token: &TokenTree, text: &str) -> bool {
    matches!(token, TokenTree::Ident(word) if word == text)
}
