//! Stage 3: the body, with every `ctx.run(…)` made a call of the runtime.
//!
//! The rewriting works on tokens and not on a syntax tree, so that it reaches into the arguments of any macro
//! (`join!`, `select!`, `vec!`, `format!` …), and so that everything else stays exactly what the user wrote.

mod assigned;
mod awaits;
mod branches;
mod continuing;
mod operations;
mod patch;
mod run;
mod step;
mod unchecked;
mod undoes;

use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};

use crate::diagnostics::{Diagnostic, Diagnostics, Refusal, refused_name};
use crate::nondeterminism::{Found, Names};
use crate::parse::Function;
use crate::paths::Runtime;
use crate::rewrite::branches::Branch;
pub(crate) use crate::rewrite::continuing::Starts;
use crate::rewrite::step::Call;
pub(crate) use crate::rewrite::undoes::may_undo;

/// What became of a body.
pub(crate) struct Rewritten {
    pub(crate) body: Group,
    /// Every `ctx.run(…)`, in the order of the text.
    pub(crate) sites: Vec<Site>,
    /// Refusals that `body` shows itself, in place of the refused code.
    pub(crate) in_place: Diagnostics,
    /// All other refusals.
    pub(crate) elsewhere: Diagnostics,
}

/// Rewrites the body of `function`, in which the context is called `context`; of a helper it is not known what starts it.
pub(crate) fn rewrite(
    function: &Function,
    context: Option<&Ident>,
    starts: Option<Starts<'_>>,
    runtime: &Runtime,
) -> Rewritten {
    let mut rewriter = Rewriter::new(context, runtime, Place::Body);
    rewriter.starts = starts;
    // Those of a helper may be functions.
    rewriter.names = Names::new(&function.signature, context, starts.is_some());
    let mut body = rewriter.group(&function.body);
    if rewriter.has_awaits {
        body = awaits::in_scope(&body, runtime);
    }
    Rewritten { body, sites: rewriter.sites, in_place: rewriter.in_place, elsewhere: rewriter.elsewhere }
}

/// A `ctx.run(…)`.
pub(crate) struct Site {
    /// The name of the step; empty if it is computed.
    pub(crate) name: String,
    /// From 1.
    pub(crate) line: u32,
}

/// Where the rewriter is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the durable function, where steps are run.
    Body,
    /// In the closure of an inline step, where none may run.
    Step,
}

struct Rewriter<'a> {
    context: Option<&'a Ident>,
    runtime: &'a Runtime,
    place: Place,
    names: Names,
    /// The durable function, if it is one.
    starts: Option<Starts<'a>>,
    /// Inside of a statement that asked not to be checked.
    is_unchecked: bool,
    /// Whether an await was rewritten.
    has_awaits: bool,
    sites: Vec<Site>,
    in_place: Diagnostics,
    elsewhere: Diagnostics,
}

/// What a context gives that is only for the code between steps. `ctx.run` and patches have refusals of their own.
const NOT_IN_STEPS: [&str; 14] = [
    "sleep",
    "sleep_until",
    "timeout",
    "retry",
    "map",
    "signal",
    "promise",
    "publish",
    "emit",
    "undo",
    "continue_as_new",
    "now",
    "rng",
    "uuid",
];

impl<'a> Rewriter<'a> {
    fn new(context: Option<&'a Ident>, runtime: &'a Runtime, place: Place) -> Self {
        Self {
            context,
            runtime,
            place,
            names: Names::default(),
            starts: None,
            is_unchecked: false,
            has_awaits: false,
            sites: Vec::new(),
            in_place: Diagnostics::default(),
            elsewhere: Diagnostics::default(),
        }
    }

    fn group(&mut self, group: &Group) -> Group {
        let mut rewritten = Group::new(group.delimiter(), self.stream(group.stream()));
        rewritten.set_span(group.span());
        rewritten
    }

    fn stream(&mut self, stream: TokenStream) -> TokenStream {
        let tokens: Vec<TokenTree> = stream.into_iter().collect();
        self.tokens(&tokens, &[])
    }

    /// Rewrites the tokens between two brackets, of which some are branches of a macro.
    fn tokens(&mut self, tokens: &[TokenTree], branches: &[Branch]) -> TokenStream {
        let mut rewritten = TokenStream::new();
        let mut index = 0;
        self.names.enter(tokens);
        while index < tokens.len() {
            match branches.iter().find(|branch| branch.place.start == index && !branch.place.is_empty()) {
                Some(branch) => {
                    let mut future = TokenStream::new();
                    while index < branch.place.end {
                        index += self.next(&tokens[..branch.place.end], index, &mut future);
                    }
                    rewritten.extend(self.branch(branch, &tokens[branch.place.clone()], future));
                }
                None => index += self.next(tokens, index, &mut rewritten),
            }
        }
        self.names.leave();
        rewritten
    }

    /// Rewrites what begins at `index`, unless it has a context of its own, and returns how many tokens that is.
    fn next(&mut self, tokens: &[TokenTree], index: usize, rewritten: &mut TokenStream) -> usize {
        self.names.reach(index);
        match nested_item_length(&tokens[index..]) {
            0 => self.token(tokens, index, rewritten),
            length => {
                rewritten.extend(tokens[index..index + length].iter().cloned());
                length
            }
        }
    }

    /// Rewrites what begins at `index` and returns how many tokens that is.
    fn token(&mut self, tokens: &[TokenTree], index: usize, rewritten: &mut TokenStream) -> usize {
        if let Some(length) = self.unchecked_statement(&tokens[index..], rewritten) {
            return length;
        }
        if let Some(length) = self.misused_operation(tokens, index, rewritten) {
            return length;
        }
        if let Some((call, length)) = self.call(tokens, index) {
            let renamed = self.chain(&tokens[index + length..]);
            rewritten.extend(self.run(&call, renamed));
            return length;
        }
        if let Some(length) = self.continues(tokens, index, rewritten) {
            return length;
        }
        if let Some(length) = self.patch(&tokens[index..], is_member(&tokens[..index]), rewritten) {
            return length;
        }
        if self.place == Place::Step
            && let [context @ TokenTree::Ident(name), dot, TokenTree::Ident(method), ..] = &tokens[index..]
            && (Some(name) == self.context && is_punct(dot, '.') && !is_member(&tokens[..index]))
            && NOT_IN_STEPS.iter().any(|known| method == known)
        {
            self.elsewhere.refuse(method, &Refusal::OperationInsideStep { method: method.to_string() });
            rewritten.extend([context.clone(), dot.clone(), tokens[index + 2].clone()]);
            return 3;
        }
        if self.place == Place::Body
            && let Some((refused, length)) = random_select(&tokens[index..])
        {
            let diagnostic = Diagnostic::new(&refused.path, &Refusal::RandomSelect);
            rewritten.extend(diagnostic.in_place_of(refused.brackets));
            self.in_place.extend([diagnostic]);
            return length;
        }
        if self.place == Place::Body
            && !self.is_unchecked
            && let Some(found) = self.names.find(tokens, index)
        {
            let length = found.length;
            self.refuse_named(found, &tokens[index..index + length], rewritten);
            return length;
        }
        if self.place == Place::Body
            && let [TokenTree::Ident(name), bang, TokenTree::Group(arguments), ..] = &tokens[index..]
            && is_punct(bang, '!')
        {
            rewritten.extend([tokens[index].clone(), bang.clone()]);
            rewritten.extend([TokenTree::Group(self.macro_arguments(name, qualifier(&tokens[..index]), arguments))]);
            return 3;
        }
        if self.place == Place::Body {
            if self.is_async_closure_called(tokens, index) {
                rewritten.extend(self.block(&tokens[index..index + 2]));
                return 2;
            }
            let length = awaits::async_block_length(&tokens[index..]);
            if length > 0 {
                rewritten.extend(self.block(&tokens[index..index + length]));
                return length;
            }
            if !self.is_unchecked && awaits::is_await(&tokens[index..]) {
                self.has_awaits = true;
                rewritten.extend(awaits::checked_await(tokens, index));
                return 2;
            }
        }
        rewritten.extend([match &tokens[index] {
            TokenTree::Group(group) => TokenTree::Group(self.group(group)),
            other => other.clone(),
        }]);
        1
    }

    /// Shows what is refused by its name, in its place if it has code for that.
    fn refuse_named(&mut self, found: Found, replaced: &[TokenTree], rewritten: &mut TokenStream) {
        if let Some(arguments) = &found.arguments {
            // They disappear: what is refused in them is shown elsewhere.
            let shown = std::mem::take(&mut self.in_place);
            self.group(arguments);
            self.elsewhere.extend(std::mem::replace(&mut self.in_place, shown));
        }
        if let Some(code) = found.code {
            rewritten.extend(code);
            self.in_place.extend([found.diagnostic]);
        } else {
            rewritten.extend(replaced.iter().cloned());
            self.elsewhere.extend([found.diagnostic]);
        }
    }

    /// The tokens of `ctx.run(…)` or `ctx.undo(…)` at `index`, and how many they are.
    fn call<'t>(&mut self, tokens: &'t [TokenTree], index: usize) -> Option<(Call<'t>, usize)> {
        let [TokenTree::Ident(context), dot, TokenTree::Ident(run), rest @ ..] = &tokens[index..] else { return None };
        let is_undo = run == "undo" && self.place == Place::Body;
        let is_run = Some(context) == self.context && is_punct(dot, '.') && (run == "run" || is_undo);
        if !is_run || is_member(&tokens[..index]) {
            return None;
        }
        let turbofish = turbofish_length(rest);
        let Some(TokenTree::Group(arguments)) = rest.get(turbofish) else { return None };
        if arguments.delimiter() != Delimiter::Parenthesis {
            return None;
        }
        if turbofish > 0 {
            let type_arguments: TokenStream = rest[..turbofish].iter().cloned().collect();
            self.elsewhere.refuse(type_arguments, &Refusal::RunWithTypeArguments);
        }
        Some((Call { context, dot, run, arguments, is_undo }, 3 + turbofish + 1))
    }

    /// What `ctx.run(…)` or `ctx.undo(…)` becomes: a step, or what is wrong with it.
    fn run(&mut self, call: &Call<'_>, renamed: Option<String>) -> TokenStream {
        if self.place == Place::Step {
            let mut refused = Diagnostics::default();
            refused.refuse(call, &Refusal::RunInsideStep);
            return self.refused(refused);
        }
        match run::read(call, &self.names) {
            Ok(run) => {
                let line = u32::try_from(call.run.span().start().line).unwrap_or(0);
                self.sites.push(Site { name: renamed.unwrap_or_else(|| run.name()), line });
                step::emit(self, call, &run).unwrap_or_else(|refused| self.refused(refused))
            }
            Err(refused) if call.is_undo => self.refused(refused.of_undo()),
            Err(refused) => self.refused(refused),
        }
    }

    /// Shows the first of several refusals in place of the refused code, and keeps the others for elsewhere.
    fn refused(&mut self, mut refused: Diagnostics) -> TokenStream {
        let first = refused.take_first();
        self.elsewhere.extend(refused);
        let shown = first.as_ref().map(Diagnostic::in_place).unwrap_or_default();
        self.in_place.extend(first);
        shown
    }

    /// Checks the names given to a step after it is called, and returns the last one: `.named("…")`; empty if it is
    /// computed.
    fn chain(&mut self, mut tokens: &[TokenTree]) -> Option<String> {
        let mut name = None;
        while let [dot, TokenTree::Ident(method), rest @ ..] = tokens
            && is_punct(dot, '.')
        {
            let rest = &rest[turbofish_length(rest)..];
            let Some((TokenTree::Group(arguments), after)) = rest.split_first() else { return name };
            if method == "named" {
                let literal = syn::parse2::<syn::LitStr>(arguments.stream()).ok();
                name = Some(literal.as_ref().map(syn::LitStr::value).unwrap_or_default());
                if let Some(literal) = literal
                    && let Some(refusal) = refused_name(&literal.value())
                {
                    self.elsewhere.refuse(literal, &refusal);
                }
            }
            tokens = after;
        }
        name
    }
}

/// The length of a nested item that has a context of its own, or none: a function, or a macro's definition.
fn nested_item_length(tokens: &[TokenTree]) -> usize {
    match tokens {
        [TokenTree::Ident(word), TokenTree::Ident(_), rest @ ..] if word == "fn" => {
            let end = rest.iter().position(|token| is_braces(token) || is_punct(token, ';'));
            end.map_or(tokens.len(), |end| end + 3)
        }
        [TokenTree::Ident(word), bang, TokenTree::Ident(_), TokenTree::Group(_), ..]
            if word == "macro_rules" && is_punct(bang, '!') =>
        {
            4
        }
        _ => 0,
    }
}

/// True when what follows `before` is a part of something longer: a field, or the end of a path.
pub(crate) fn is_member(before: &[TokenTree]) -> bool {
    match before {
        [.., first, last] if is_punct(last, ':') => is_punct(first, ':'),
        [.., first, last] if is_punct(last, '.') => !is_punct(first, '.'),
        [last] => is_punct(last, '.'),
        _ => false,
    }
}

/// The name before `::`.
fn qualifier(before: &[TokenTree]) -> Option<&Ident> {
    match before {
        [.., TokenTree::Ident(name), first, second] if is_punct(first, ':') && is_punct(second, ':') => Some(name),
        _ => None,
    }
}

/// A macro call that is replaced as a whole.
struct MacroCall {
    path: TokenStream,
    brackets: Delimiter,
}

/// The call of `futures::select!` at the beginning of `tokens`, and how many tokens it is.
fn random_select(tokens: &[TokenTree]) -> Option<(MacroCall, usize)> {
    let root = match tokens {
        [first, second, ..] if is_punct(first, ':') && is_punct(second, ':') => 2,
        _ => 0,
    };
    let [TokenTree::Ident(library), first, second, TokenTree::Ident(name), bang, TokenTree::Group(arguments), ..] =
        &tokens[root..]
    else {
        return None;
    };
    let is_path = is_punct(first, ':') && is_punct(second, ':') && is_punct(bang, '!');
    let is_random = (library == "futures" || library == "futures_util") && name == "select";
    let path = tokens[..root + 4].iter().cloned().collect();
    (is_path && is_random).then(|| (MacroCall { path, brackets: arguments.delimiter() }, root + 6))
}

/// How many tokens `::<…>` are; 0 when there is none.
pub(crate) fn turbofish_length(tokens: &[TokenTree]) -> usize {
    let [first, second, open, ..] = tokens else { return 0 };
    if !(is_punct(first, ':') && is_punct(second, ':') && is_punct(open, '<')) {
        return 0;
    }
    let mut depth = 0;
    for (index, token) in tokens.iter().enumerate() {
        // The arrow of `fn() -> T` closes nothing.
        let is_arrow = index > 0 && is_punct(&tokens[index - 1], '-');
        if is_punct(token, '<') {
            depth += 1;
        } else if is_punct(token, '>') && !is_arrow {
            depth -= 1;
            if depth == 0 {
                return index + 1;
            }
        }
    }
    0
}

pub(crate) fn is_punct(token: &TokenTree, character: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == character)
}

pub(crate) fn is_braces(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
}
