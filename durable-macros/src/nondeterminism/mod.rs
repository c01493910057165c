//! Named nondeterminism: calls in a body that are known by their names to give something else on a replay.
//!
//! The stage sees tokens, as the rewriter does, and keeps what they tell about names: what is imported in the body,
//! which variables there are, and which of them are hash maps. A name that the body can't explain counts when it is
//! unlikely to be anything else, such as `SystemTime::now`; one that leads to the user's own code never does.

mod bindings;
mod hashes;
mod imports;
mod path;
mod scope;
mod table;
#[cfg(test)]
mod tests;

use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};
use quote::quote_spanned;
use syn::Signature;

use crate::diagnostics::{Diagnostic, Refusal, unraw};
use crate::nondeterminism::hashes::Around;
use crate::nondeterminism::path::{Path, is_colons};
use crate::nondeterminism::scope::{Resolved, Scope};
use crate::paths::{generated_at, shown};
use crate::rewrite::{is_member, is_punct};

/// What is known about the names at one place of a body.
#[derive(Default)]
pub(crate) struct Names {
    context: Option<Ident>,
    scope: Scope,
}

/// A call that is refused.
pub(crate) struct Found {
    pub(crate) diagnostic: Diagnostic,
    /// What shows the refusal in its place; none where the code had better stay for its types.
    pub(crate) code: Option<TokenStream>,
    /// How many tokens are replaced.
    pub(crate) length: usize,
    /// The arguments of a macro, which disappear with it.
    pub(crate) arguments: Option<Group>,
}

impl Names {
    /// What a signature says, whose parameters are all recorded, or not.
    pub(crate) fn new(signature: &Signature, context: Option<&Ident>, is_recorded: bool) -> Self {
        Self { context: context.cloned(), scope: Scope::new(signature, context, is_recorded) }
    }

    /// Begins with the tokens of a group.
    pub(crate) fn enter(&mut self, tokens: &[TokenTree]) {
        self.scope.enter(tokens);
    }

    /// Goes to a token of the group that was entered last.
    pub(crate) fn reach(&mut self, index: usize) {
        self.scope.reach(index);
    }

    /// Is done with the group that was entered last.
    pub(crate) fn leave(&mut self) {
        self.scope.leave();
    }

    /// What is refused that begins at `index` of the tokens that were entered last.
    pub(crate) fn find(&self, tokens: &[TokenTree], index: usize) -> Option<Found> {
        if self.scope.is_declaration() {
            return None;
        }
        if !begins_path(tokens, index) {
            return self.elapsed(tokens, index);
        }
        self.iteration(tokens, index).or_else(|| self.call(tokens, index))
    }

    /// True when the variable of this name is an async closure, written where it is bound.
    pub(crate) fn is_async_closure(&self, name: &Ident) -> bool {
        self.scope.is_async_closure(&unraw(name))
    }

    /// True when the variable of this name holds what was recorded, which is no function.
    pub(crate) fn is_value(&self, name: &Ident) -> bool {
        self.scope.is_value(&unraw(name))
    }

    /// A path, or the call of a macro.
    fn call(&self, tokens: &[TokenTree], index: usize) -> Option<Found> {
        let rest = &tokens[index..];
        let (mut path, length) = Path::read(rest).or_else(|| Path::read_qualified(rest))?;
        let macro_arguments = match &rest[length..] {
            [bang, TokenTree::Group(arguments), ..] if is_punct(bang, '!') => Some(arguments),
            _ => None,
        };
        if macro_arguments.is_some()
            && let Some(name) = path.segments.last_mut()
        {
            name.push('!');
        }
        if path.segments.len() == 1 && macro_arguments.is_none() && !is_value(&rest[length..]) {
            return None;
        }
        let family = self.family(&path)?;
        let is_unit = path.segments.last().is_some_and(|name| name.starts_with(char::is_uppercase));
        if is_unit && !is_value_of_unit(tokens, index, length) {
            return None;
        }
        let named: TokenStream = rest[..length].iter().cloned().collect();
        let bang = if macro_arguments.is_some() { "!" } else { "" };
        let refusal = family.refusal(shown(&named) + bang, self.context_name());
        let diagnostic = Diagnostic::new(&named, &refusal);
        Some(match macro_arguments {
            Some(arguments) => Found {
                code: Some(diagnostic.in_place_of(arguments.delimiter())),
                diagnostic,
                length: length + 2,
                arguments: Some(arguments.clone()),
            },
            None => Found { code: Some(in_place(&diagnostic, &path, &named)), diagnostic, length, arguments: None },
        })
    }

    /// A loop or a method call that iterates over a hash map or set.
    fn iteration(&self, tokens: &[TokenTree], index: usize) -> Option<Found> {
        let TokenTree::Ident(name) = &tokens[index] else { return None };
        let hashed = self.scope.hashed_variable(&unraw(name))?;
        let around = Around {
            context: self.context.as_ref(),
            is_collected_orderless: self.scope.is_collected_orderless(index),
            is_put_orderless: self.scope.is_put_orderless(),
        };
        let length = hashes::iteration(tokens, index, around);
        if length == 0 {
            return None;
        }
        let (sorted, collected) = hashed.sorted();
        let refusal = Refusal::HashOrderInBody {
            name: unraw(name),
            hashed: hashed.name().to_owned(),
            sorted: sorted.to_owned(),
            collected: collected.to_owned(),
        };
        let replaced: TokenStream = tokens[index..index + length].iter().cloned().collect();
        let diagnostic = Diagnostic::new(replaced, &refusal);
        // A loop over an error would have elements of no type, which are more errors.
        Some(Found { code: None, diagnostic, length, arguments: None })
    }

    /// `.elapsed()`: what has it reads the clock, whatever it is.
    fn elapsed(&self, tokens: &[TokenTree], index: usize) -> Option<Found> {
        let (before, after) = tokens.split_at(index);
        let is_called = matches!(after, [TokenTree::Ident(method), TokenTree::Group(arguments), ..]
            if method == "elapsed" && arguments.delimiter() == Delimiter::Parenthesis && arguments.stream().is_empty());
        let [before @ .., dot] = before else { return None };
        if !(is_called && is_punct(dot, '.')) {
            return None;
        }
        let call = match before.last() {
            Some(TokenTree::Ident(receiver)) => format!("{}.elapsed", unraw(receiver)),
            _ => "elapsed".to_owned(),
        };
        let diagnostic = Diagnostic::new(&after[0], &table::Family::Elapsed.refusal(call, self.context_name()));
        Some(Found { code: None, diagnostic, length: 1, arguments: None })
    }

    /// What the path is known for, unless it is the user's own.
    fn family(&self, path: &Path) -> Option<table::Family> {
        if path.is_global {
            return table::family_of_full(&path.segments);
        }
        match self.scope.resolve(path) {
            Resolved::Own => None,
            Resolved::Imported(path) => table::family(&path),
            Resolved::Unknown => table::family(&path.segments)
                .or_else(|| self.scope.globs(&path.segments).find_map(|path| table::family_of_full(&path))),
        }
    }

    fn context_name(&self) -> String {
        self.context.as_ref().map_or_else(|| "ctx".to_owned(), ToString::to_string)
    }
}

/// What shows a refusal in place of a path.
fn in_place(diagnostic: &Diagnostic, path: &Path, named: &TokenStream) -> TokenStream {
    let error = diagnostic.in_place();
    let is_written_in_full = table::family_of_full(&path.segments).is_some();
    if is_written_in_full {
        return error;
    }
    // Named still, so that there is no warning about an unused import.
    quote_spanned!(generated_at(named)=> ({ let _ = #named; #error }))
}

/// True when a path, a variable or `<Type>::…` may begin at `index`, and not a part of something longer.
fn begins_path(tokens: &[TokenTree], index: usize) -> bool {
    let before = &tokens[..index];
    match &tokens[index] {
        // `'static` is a lifetime.
        TokenTree::Ident(_) => !is_member(before) && !before.last().is_some_and(|last| is_punct(last, '\'')),
        TokenTree::Punct(punct) if punct.as_char() == '<' || is_colons(&tokens[index..]) => match before.last() {
            Some(word @ TokenTree::Ident(_)) => bindings::is_keyword(word),
            // `Vec::<u8>::new` goes on; `=> ::std::…` does not.
            Some(last) if is_punct(last, '>') => before.len() > 1 && is_punct(&before[before.len() - 2], '='),
            Some(TokenTree::Literal(_)) => false,
            Some(TokenTree::Punct(_) | TokenTree::Group(_)) | None => true,
        },
        _ => false,
    }
}

/// True when a single name with this after it may be a function: it is no field, argument's name or assigned place.
fn is_value(after: &[TokenTree]) -> bool {
    match after {
        [first, second, ..] if is_punct(first, '=') => is_punct(second, '='),
        [first, ..] => !is_punct(first, ':') || is_colons(after),
        [] => true,
    }
}

/// True when `Name` is a value and not a type.
fn is_value_of_unit(tokens: &[TokenTree], index: usize, length: usize) -> bool {
    let is_after_type = index > 0 && [':', '<', '>'].iter().any(|before| is_punct(&tokens[index - 1], *before));
    let is_before_type =
        tokens.get(index + length).is_some_and(|next| ['<', '>', '='].iter().any(|after| is_punct(next, *after)));
    !is_after_type && !is_before_type
}
