//! Iteration over hash maps and sets, whose order is another one in every process.

use proc_macro2::{Delimiter, Group, Ident, TokenTree};

use crate::nondeterminism::bindings::is_word;
use crate::nondeterminism::path::Path;
use crate::rewrite::{is_braces, is_punct, turbofish_length};

/// A collection without an order of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hashed {
    Map,
    Set,
}

impl Hashed {
    /// The collection that this type is, by its path.
    pub(super) fn of(path: &[String]) -> Option<Self> {
        const PATHS: [&str; 6] = [
            "std::collections::HashMap",
            "std::collections::HashSet",
            "std::collections::hash_map::HashMap",
            "std::collections::hash_set::HashSet",
            "hashbrown::HashMap",
            "hashbrown::HashSet",
        ];
        let last = path.last()?;
        let is_known = PATHS.iter().any(|known| {
            let known: Vec<&str> = known.split("::").collect();
            known.len() >= path.len() && known[known.len() - path.len()..].iter().eq(path)
        });
        is_known.then_some(if last == "HashMap" { Self::Map } else { Self::Set })
    }

    /// How many type arguments such a type has that does not say how it hashes.
    pub(super) fn arguments_max(self) -> usize {
        match self {
            Self::Map => 2,
            Self::Set => 1,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Map => "HashMap",
            Self::Set => "HashSet",
        }
    }

    /// The collection to use instead, and how to make it of this one.
    pub(super) fn sorted(self) -> (&'static str, &'static str) {
        match self {
            Self::Map => ("BTreeMap", "BTreeMap<_, _>"),
            Self::Set => ("BTreeSet", "BTreeSet<_>"),
        }
    }
}

/// True for a function of a hash map or set that makes one.
pub(super) fn is_constructor(function: &str) -> bool {
    matches!(function, "new" | "from" | "from_iter" | "with_capacity" | "default")
}

/// True when the order of what is put into this type does not matter.
pub(super) fn is_orderless(path: &[String]) -> bool {
    const NAMES: [&str; 5] = ["BTreeMap", "BTreeSet", "BinaryHeap", "HashMap", "HashSet"];
    path.last().is_some_and(|last| NAMES.iter().any(|name| last == name))
}

/// What is around an iteration.
#[derive(Debug, Clone, Copy)]
pub(super) struct Around<'a> {
    /// The name of the context.
    pub(super) context: Option<&'a Ident>,
    /// The value is collected into a type without an order, by the annotation of the variable.
    pub(super) is_collected_orderless: bool,
    /// The value is put into a collection without an order.
    pub(super) is_put_orderless: bool,
}

/// How many tokens from `index` on name a variable and iterate over it; 0 when they don't, or in no visible order.
pub(super) fn iteration(tokens: &[TokenTree], index: usize, around: Around<'_>) -> usize {
    let mut calls = Calls { rest: &tokens[index + 1..] }.peekable();
    let mut length = 1;
    // A copy has the same order.
    while let Some(call) = calls.next_if(|call| call.method == "clone") {
        length += call.length;
    }
    let Some(first) = calls.peek() else {
        let is_looped_over = is_in_loop(&tokens[..index]) && tokens.get(index + length).is_some_and(is_braces);
        return if is_looped_over { length } else { 0 };
    };
    if !is_iterating(&first.method.to_string()) {
        return 0;
    }
    // `map.iter`, without its arguments: they may hold mistakes of their own.
    let refused = length + 2;
    for call in calls {
        let uses_context = around.context.is_some_and(|context| mentions(call.arguments, context));
        match call.method.to_string().as_str() {
            _ if uses_context => return refused,
            "collect" if call.type_argument.is_empty() => {
                return if around.is_collected_orderless { 0 } else { refused };
            }
            "collect" => {
                let is_orderless = Path::read(call.type_argument).is_some_and(|(path, _)| is_orderless(&path.segments));
                return if is_orderless { 0 } else { refused };
            }
            method if is_passing_on(method) => {}
            method => return if is_order_free(method) { 0 } else { refused },
        }
    }
    if around.is_put_orderless { 0 } else { refused }
}

/// True for `for … in`, `for … in &` and `for … in &mut`.
fn is_in_loop(before: &[TokenTree]) -> bool {
    match before {
        [.., last] if is_word(last, "in") => true,
        [.., word, last] if is_punct(last, '&') => is_word(word, "in"),
        [.., word, and, last] if is_punct(and, '&') && is_word(last, "mut") => is_word(word, "in"),
        _ => false,
    }
}

fn is_iterating(method: &str) -> bool {
    const METHODS: [&str; 15] = [
        "iter",
        "iter_mut",
        "keys",
        "values",
        "values_mut",
        "into_iter",
        "into_keys",
        "into_values",
        "drain",
        "retain",
        "extract_if",
        "difference",
        "union",
        "intersection",
        "symmetric_difference",
    ];
    METHODS.contains(&method)
}

/// True for a method of an iterator that treats each element alike, wherever it stands.
fn is_passing_on(method: &str) -> bool {
    // The methods that begin an iteration are among them: `map.iter().keys()` is none, but `set.iter().into_iter()` is.
    const METHODS: [&str; 8] = ["map", "filter", "filter_map", "flat_map", "flatten", "copied", "cloned", "chain"];
    METHODS.contains(&method) || (is_iterating(method) && method != "retain")
}

/// True for a method of an iterator whose result does not depend on the order.
fn is_order_free(method: &str) -> bool {
    const METHODS: [&str; 7] = ["sum", "product", "count", "all", "any", "len", "is_empty"];
    METHODS.contains(&method) || ["min", "max", "sorted"].iter().any(|begin| method.starts_with(begin))
}

/// True when `name` is somewhere in `group`.
fn mentions(group: &Group, name: &Ident) -> bool {
    group.stream().into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == *name,
        TokenTree::Group(group) => mentions(&group, name),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

/// The method calls that follow one another.
#[derive(Clone)]
pub(super) struct Calls<'t> {
    pub(super) rest: &'t [TokenTree],
}

/// One of them.
pub(super) struct Call<'t> {
    pub(super) method: &'t Ident,
    /// The tokens between `::<` and `>`.
    pub(super) type_argument: &'t [TokenTree],
    pub(super) arguments: &'t Group,
    length: usize,
}

impl<'t> Iterator for Calls<'t> {
    type Item = Call<'t>;

    fn next(&mut self) -> Option<Call<'t>> {
        let [dot, TokenTree::Ident(method), after @ ..] = self.rest else { return None };
        let turbofish = turbofish_length(after);
        let Some(TokenTree::Group(arguments)) = after.get(turbofish) else { return None };
        if !is_punct(dot, '.') || arguments.delimiter() != Delimiter::Parenthesis {
            return None;
        }
        let type_argument = if turbofish == 0 { &[][..] } else { &after[3..turbofish - 1] };
        self.rest = &after[turbofish + 1..];
        Some(Call { method, type_argument, arguments, length: 3 + turbofish })
    }
}
