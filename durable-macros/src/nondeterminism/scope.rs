//! What the names mean at one place of a body.

use std::collections::BTreeSet;

use proc_macro2::{Ident, TokenTree};
use quote::ToTokens;
use syn::{FnArg, Pat, Signature};

use crate::diagnostics::unraw;
use crate::nondeterminism::bindings::{self, Binding, Evidence, is_word};
use crate::nondeterminism::hashes::{self, Hashed};
use crate::nondeterminism::imports::Imports;
use crate::nondeterminism::path::Path;
use crate::rewrite::{is_member, is_punct};

/// The imports, items and variables that are seen from one place.
#[derive(Default)]
pub(super) struct Scope {
    context: Option<Ident>,
    /// The groups around the place, outermost first; before them the parameters of the function.
    frames: Vec<Frame>,
}

/// What the tokens of one group say about names.
#[derive(Default)]
struct Frame {
    imports: Imports,
    variables: Vec<(Binding, Variable)>,
    /// Where an iteration may begin that is collected into a type without an order.
    collected_orderless: BTreeSet<usize>,
    /// The arguments of `BTreeMap::from_iter` and its like.
    put_orderless: BTreeSet<usize>,
    /// The token that is looked at.
    position: usize,
}

/// What the body tells about a path.
pub(super) enum Resolved {
    /// It leads to code of the user.
    Own,
    /// It leads here, by an import. `crate::…` is the user's own, too: it fits no known name.
    Imported(Vec<String>),
    /// Its first name is not imported in the body.
    Unknown,
}

/// What the body tells about a name.
enum Declared<'a> {
    /// It is a variable or an item of the body.
    Here,
    Import(&'a Path),
}

/// What the body tells about a variable.
#[derive(Clone, Copy)]
enum Variable {
    Hashed(Hashed),
    AsyncClosure,
    /// What was recorded: a parameter of a durable function, or what a step has returned.
    Value,
    Other,
}

impl Variable {
    fn new(hashed: Option<Hashed>) -> Self {
        hashed.map_or(Self::Other, Self::Hashed)
    }

    fn hashed(self) -> Option<Hashed> {
        match self {
            Self::Hashed(hashed) => Some(hashed),
            Self::AsyncClosure | Self::Value | Self::Other => None,
        }
    }
}

impl Scope {
    /// What a signature says, whose parameters are all recorded, or not.
    pub(super) fn new(signature: &Signature, context: Option<&Ident>, is_recorded: bool) -> Self {
        let mut scope = Self { context: context.cloned(), frames: Vec::new() };
        let mut parameters = Frame::default();
        for parameter in &signature.inputs {
            let FnArg::Typed(parameter) = parameter else { continue };
            let found: Vec<TokenTree> = parameter.ty.to_token_stream().into_iter().collect();
            let hashed = match &*parameter.pat {
                Pat::Ident(_) => scope.hashed_type(&found),
                _ => None,
            };
            let variable = match hashed {
                None if is_recorded => Variable::Value,
                _ => Variable::new(hashed),
            };
            for name in bindings::names_of(parameter.pat.to_token_stream()) {
                let binding = Binding { name, pattern: 0..0, scope: 0..1, evidence: Evidence::None };
                parameters.variables.push((binding, variable));
            }
        }
        scope.frames.push(parameters);
        scope
    }

    /// Begins with the tokens of a group.
    pub(super) fn enter(&mut self, tokens: &[TokenTree]) {
        self.frames.push(Frame { imports: Imports::read(tokens), ..Frame::default() });
        for binding in bindings::read(tokens) {
            self.reach(binding.pattern.start);
            let variable = match &binding.evidence {
                Evidence::Value(value) if is_async_closure(&tokens[value.clone()]) => Variable::AsyncClosure,
                Evidence::Value(value) if self.is_outcome(&tokens[value.clone()]) => Variable::Value,
                _ => Variable::new(self.hashed(tokens, &binding)),
            };
            let Some(frame) = self.frames.last_mut() else { return };
            let is_orderless_type =
                |kind: &[TokenTree]| Path::read(kind).is_some_and(|(path, _)| hashes::is_orderless(&path.segments));
            if let Evidence::Type(kind) = &binding.evidence
                && is_orderless_type(&tokens[kind.clone()])
            {
                frame.collected_orderless.insert(kind.end + 1);
            }
            frame.variables.push((binding, variable));
        }
        if let Some(frame) = self.frames.last_mut() {
            frame.put_orderless = puts_orderless(tokens);
        }
    }

    /// Goes to a token of the group that was entered last.
    pub(super) fn reach(&mut self, index: usize) {
        if let Some(frame) = self.frames.last_mut() {
            frame.position = index;
        }
    }

    /// Is done with the group that was entered last.
    pub(super) fn leave(&mut self) {
        self.frames.pop();
    }

    /// True in a `use` declaration, also in its braces.
    pub(super) fn is_declaration(&self) -> bool {
        let is_in = |frame: &Frame| frame.imports.declarations.iter().any(|range| range.contains(&frame.position));
        self.frames.iter().any(is_in)
    }

    /// True when an iteration that begins here is collected into a variable of a type without an order.
    pub(super) fn is_collected_orderless(&self, index: usize) -> bool {
        self.frames.last().is_some_and(|frame| frame.collected_orderless.contains(&index))
    }

    /// True in the arguments of `BTreeMap::from_iter` and its like.
    pub(super) fn is_put_orderless(&self) -> bool {
        matches!(self.frames.as_slice(), [.., outer, _] if outer.put_orderless.contains(&outer.position))
    }

    /// The path as an import in the body makes it.
    pub(super) fn resolve(&self, path: &Path) -> Resolved {
        /// Imports of imports; one that is deeper is a mistake, such as an import of itself.
        const DEPTH_MAX: usize = 8;
        let mut segments = path.segments.clone();
        let mut is_imported = false;
        for _ in 0..DEPTH_MAX {
            let Some((first, rest)) = segments.split_first() else { return Resolved::Own };
            match self.declared(first, rest.is_empty()) {
                Some(Declared::Here) => return Resolved::Own,
                Some(Declared::Import(import)) => {
                    let mut target: Vec<String> = import.segments.iter().chain(rest).cloned().collect();
                    if rest.is_empty()
                        && first.ends_with('!')
                        && let Some(name) = target.last_mut()
                    {
                        name.push('!');
                    }
                    is_imported = true;
                    if import.is_global || import.segments.first() == Some(first) {
                        return Resolved::Imported(target);
                    }
                    segments = target;
                }
                None if is_imported => return Resolved::Imported(segments),
                None => return Resolved::Unknown,
            }
        }
        Resolved::Own
    }

    /// What the body says about the first name of a path, which may be a variable if it is the only one.
    fn declared(&self, name: &str, is_only: bool) -> Option<Declared<'_>> {
        for frame in self.frames.iter().rev() {
            if (is_only && frame.variable(name).is_some()) || frame.imports.items.contains(name) {
                return Some(Declared::Here);
            }
            // `use crate::println` imports a macro.
            if let Some(import) = frame.imports.names.get(name.trim_end_matches('!')) {
                return Some(Declared::Import(import));
            }
        }
        None
    }

    /// The path as it would be if it came from one of the modules whose names are all imported.
    pub(super) fn globs<'a>(&'a self, path: &'a [String]) -> impl Iterator<Item = Vec<String>> + 'a {
        let globs = self.frames.iter().rev().flat_map(|frame| &frame.imports.globs);
        globs.filter_map(move |glob| {
            let module = match self.resolve(glob) {
                Resolved::Own => return None,
                Resolved::Imported(module) => module,
                Resolved::Unknown => glob.segments.clone(),
            };
            Some(module.iter().chain(path).cloned().collect())
        })
    }

    /// The collection that the variable of this name is, if that is seen.
    pub(super) fn hashed_variable(&self, name: &str) -> Option<Hashed> {
        self.variable(name)?.hashed()
    }

    /// True when the variable of this name is an async closure, written where it is bound.
    pub(super) fn is_async_closure(&self, name: &str) -> bool {
        matches!(self.variable(name), Some(Variable::AsyncClosure))
    }

    /// True when the variable of this name holds what was recorded, which is no function.
    pub(super) fn is_value(&self, name: &str) -> bool {
        matches!(self.variable(name), Some(Variable::Value | Variable::Hashed(_)))
    }

    /// `ctx.run(…).await`, also with `?`.
    fn is_outcome(&self, value: &[TokenTree]) -> bool {
        let value = match value {
            [value @ .., question] if is_punct(question, '?') => value,
            value => value,
        };
        matches!(value, [TokenTree::Ident(context), dot, run, TokenTree::Group(_), .., await_dot, awaited]
            if Some(context) == self.context.as_ref()
                && is_punct(dot, '.')
                && is_word(run, "run")
                && is_punct(await_dot, '.')
                && is_word(awaited, "await"))
    }

    fn variable(&self, name: &str) -> Option<Variable> {
        self.frames.iter().rev().find_map(|frame| frame.variable(name))
    }

    /// What a binding is set to, if that is a hash map or set.
    fn hashed(&self, tokens: &[TokenTree], binding: &Binding) -> Option<Hashed> {
        match &binding.evidence {
            Evidence::None => None,
            Evidence::Type(kind) => self.hashed_type(&tokens[kind.clone()]),
            Evidence::Value(value) => self.hashed_value(&tokens[value.clone()]),
        }
    }

    /// `&'a mut HashMap<K, V>`.
    fn hashed_type(&self, tokens: &[TokenTree]) -> Option<Hashed> {
        let tokens = without_reference(tokens);
        let (path, length) = Path::read(tokens)?;
        let hashed = self.hashed_path(&path)?;
        // With a hasher of its own the order may well be fixed.
        let mut depth = 0_usize;
        let mut arguments = 1;
        for token in &tokens[length..] {
            if is_punct(token, '<') {
                depth += 1;
            } else if is_punct(token, '>') {
                depth = depth.saturating_sub(1);
            } else if is_punct(token, ',') && depth == 1 {
                arguments += 1;
            }
        }
        (arguments <= hashed.arguments_max()).then_some(hashed)
    }

    /// `HashMap::new()`, `….collect::<HashMap<_, _>>()`, or another variable.
    fn hashed_value(&self, tokens: &[TokenTree]) -> Option<Hashed> {
        let tokens = without_reference(tokens);
        match tokens {
            [TokenTree::Ident(name)] => return self.hashed_variable(&unraw(name)),
            [TokenTree::Ident(name), dot, TokenTree::Ident(method), TokenTree::Group(_)]
                if is_punct(dot, '.') && method == "clone" =>
            {
                return self.hashed_variable(&unraw(name));
            }
            _ => {}
        }
        if let Some((mut path, length)) = Path::read(tokens)
            && let [TokenTree::Group(_)] = &tokens[length..]
        {
            let function = path.segments.pop()?;
            return self.hashed_path(&path).filter(|_| hashes::is_constructor(&function));
        }
        let dots = (0..tokens.len()).rev().filter(|dot| is_punct(&tokens[*dot], '.'));
        let ends = dots.map(|dot| hashes::Calls { rest: &tokens[dot..] }).find_map(|mut calls| {
            let last = calls.next().filter(|_| calls.rest.is_empty())?;
            (last.method == "collect").then_some(last.type_argument)
        });
        self.hashed_type(ends?)
    }

    fn hashed_path(&self, path: &Path) -> Option<Hashed> {
        match self.resolve(path) {
            Resolved::Own => None,
            Resolved::Imported(path) => Hashed::of(&path),
            Resolved::Unknown => Hashed::of(&path.segments),
        }
    }
}

impl Frame {
    fn variable(&self, name: &str) -> Option<Variable> {
        let is_here = |(binding, _): &&(Binding, _)| {
            let is_in_scope = binding.scope.contains(&self.position) || binding.pattern.contains(&self.position);
            binding.name == name && is_in_scope
        };
        self.variables.iter().rev().find(is_here).map(|(_, variable)| *variable)
    }
}

/// `async |…| …` or `async move |…| …`.
fn is_async_closure(value: &[TokenTree]) -> bool {
    match value {
        [word, moved, bar, ..] if is_word(moved, "move") => is_word(word, "async") && is_punct(bar, '|'),
        [word, bar, ..] => is_word(word, "async") && is_punct(bar, '|'),
        _ => false,
    }
}

fn without_reference(mut tokens: &[TokenTree]) -> &[TokenTree] {
    if tokens.first().is_some_and(|token| is_punct(token, '&')) {
        tokens = &tokens[1..];
    }
    if tokens.first().is_some_and(|token| is_punct(token, '\'')) {
        tokens = tokens.get(2..).unwrap_or_default();
    }
    if matches!(tokens.first(), Some(TokenTree::Ident(word)) if word == "mut") {
        tokens = &tokens[1..];
    }
    tokens
}

/// The groups that are arguments of `BTreeMap::from_iter` and its like.
fn puts_orderless(tokens: &[TokenTree]) -> BTreeSet<usize> {
    let mut puts = BTreeSet::new();
    for index in 0..tokens.len() {
        if matches!(&tokens[index], TokenTree::Ident(_))
            && !is_member(&tokens[..index])
            && let Some((path, length)) = Path::read(&tokens[index..])
            && let Some((function, kind)) = path.segments.split_last()
            && function == "from_iter"
            && hashes::is_orderless(kind)
        {
            puts.insert(index + length);
        }
    }
    puts
}
