//! What `#[durable]` refuses: every message in one table, and how a refusal reaches the user.

use std::fmt;

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream};
use quote::{ToTokens, quote_spanned};

/// Makes [`Refusal`] from a table of messages; `{braces}` name what a message fills in.
macro_rules! refusals {
    ($($variant:ident $({ $($field:ident),+ })? => $message:literal,)+) => {
        /// Something `#[durable]` does not accept. What is refused comes first, what to write instead comes last.
        ///
        /// Every variant has a UI test of the same name (in snake case) in `tests/ui/refused`.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub(crate) enum Refusal {
            $($variant $({ $($field: String),+ })?,)+
        }

        impl Refusal {
            /// The table: each variant's name, and its message with the holes left open.
            #[cfg(test)]
            pub(crate) const TABLE: &[(&str, &str)] = &[$((stringify!($variant), $message)),+];
        }

        impl fmt::Display for Refusal {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant $({ $($field),+ })? => write!(f, $message),)+
                }
            }
        }
    };
}

refusals! {
    // The attribute's options.
    UnknownOption { found } =>
        "`{found}` is not an option of #[durable]; the options are `name = \"…\"`, `version = N`, \
         `on_change = \"resume\"` and `crate = path`",
    DuplicateOption { option } =>
        "the option `{option}` is given twice: keep one",
    OptionWithoutValue { option } =>
        "the option `{option}` needs a value: write `{option} = …`",
    NameIsNotText =>
        "`name` is a text in quotes: write `name = \"process_order\"`",
    VersionIsNotNumber =>
        "`version` is a whole number from 1 to 4294967295: write `version = 2`",
    OnChangeIsUnknown =>
        "`on_change` says what becomes of a run that the changed code does not fit: write `on_change = \"halt\"` (as \
         without it) or `on_change = \"resume\"`",
    CrateIsNotPath =>
        "`crate` is the path of durable_runtime, without quotes: write `crate = ::my_runtime`",
    OptionOnHelper { option } =>
        "a helper (`ctx: &Context`) is part of its caller's run and has no `{option}` of its own: \
         remove the option, or take `ctx: Context` to make it a durable function",

    // The item.
    NotAFunction =>
        "#[durable] goes on an `async fn` only: move it to the function that takes `ctx: Context` or `ctx: &Context`",
    WithoutBody =>
        "a function without a body can't be durable: put #[durable] on a free `async fn` with a body and call that",
    NotAsync =>
        "a durable function waits for its steps: write `async fn`",
    ConstFunction =>
        "a durable function can't be `const`: remove `const`",
    UnsafeFunction =>
        "a durable function is called by the runtime, which can't promise what `unsafe` asks for: remove `unsafe` and \
         keep the unsafe block inside a step",
    ExternFunction =>
        "a durable function is called by the runtime, not over a foreign ABI: remove `extern`",
    SelfReceiver =>
        "a durable function has no `self`: take `ctx: Context` (or `ctx: &Context`) first and pass the value as an \
         ordinary parameter, such as `shop: &Shop` in a helper",
    WithoutContext =>
        "a durable function takes its context first: add `ctx: Context`",
    FirstIsNotContext { found } =>
        "the first parameter of a durable function is its context, not `{found}`: put `ctx: Context` (or \
         `ctx: &Context` for a helper) before it",
    MutableContext =>
        "a context is shared, not mutated: write `&Context` for a helper or `Context` for a durable function",
    GenericFunction =>
        "a durable function is stored by name and started again after a crash, so it can't be generic: move the \
         generic part into a helper with `ctx: &Context` or into a step, and call it from here with concrete types",
    ImplTraitParameter =>
        "a durable function's input is stored, so its type must be written out, not `impl Trait`: name the type, or \
         move this part into a helper with `ctx: &Context`",
    ImplTraitResult =>
        "a durable function's result is stored, so its type must be written out, not `impl Trait`: name the type",
    BorrowedParameter =>
        "a durable function's input is stored and read back after a crash, so it can't be borrowed: own it (`String` \
         for `&str`, `Vec<T>` for `&[T]`, `T` for `&T`)",
    BorrowedResult =>
        "a durable function's result is stored and read back after a crash, so it can't be borrowed: own it (`String` \
         for `&str`, `Vec<T>` for `&[T]`, `T` for `&T`)",
    ConditionalParameter =>
        "a durable function's input is stored, so a parameter can't come and go with `#[cfg]`: put the `#[cfg]` on two \
         versions of the function",
    ParameterNamedAsFunction { name } =>
        "`{name}` is the durable function itself, also in a pattern: give the parameter another name",
    TooManyParameters { count } =>
        "a durable function takes at most 16 parameters after its context, this one has {count}: bundle them in a struct",

    // `ctx.run` in the body.
    RunWithoutCallee =>
        "`ctx.run()` needs something to run: `ctx.run(charge, order)`, or `ctx.run(\"name\", async || …)` for an inline step",
    RunWithTypeArguments =>
        "`ctx.run` takes no type arguments: write them on the function, as in `ctx.run(parse::<Order>, text)`",
    CalledInPlace { instead } =>
        "this calls the function before the step begins, and its effect would repeat on every replay: let the step \
         call it, write `{instead}`",
    AwaitedInPlace { instead } =>
        "this runs outside of the step, and its effect would repeat on every replay: let the step run it, write \
         `{instead}`",
    FieldAsCallee { field, callee } =>
        "`{field}` after a dot names no function: write `ctx.run(\"{field}\", async || {callee}(…).await)`; for a client \
         there is `.dependency(client)` on the builder, and `step.dependency::<Client>()` in a step that takes its \
         `StepContext`",
    ValueAsCallee { name } =>
        "`{name}` is a value in this function, and hides the function of that name: rename the value, or write \
         `ctx.run(self::{name}, …)`",
    CalleeWithoutName =>
        "a step's name is the name of its function, and this has none: pass a function by name, or name an inline \
         step: `ctx.run(\"name\", async || …)`",
    TooManyArguments { count } =>
        "a step takes at most 16 arguments, this one has {count}: bundle them in a struct or a tuple",
    UnreadableArguments { problem } =>
        "the arguments of `ctx.run` can't be read ({problem}): they are a function and its arguments, \
         `ctx.run(charge, order)`, or a name and a closure, `ctx.run(\"name\", async || …)`",

    // Inline steps.
    ClosureWithoutName =>
        "an inline step needs a name before its closure, it is what the journal records: \
         `ctx.run(\"name\", async || …)`",
    NameIsNotLiteral =>
        "the name of an inline step is a text in quotes, and one that is computed goes behind it: \
         `ctx.run(\"charge card\", async || …).named(name)`; closures are no arguments of a step",
    InlineWithoutBody { name } =>
        "the step \"{name}\" has a name but nothing to run: write `ctx.run(\"{name}\", async || …)`",
    InlineWithArguments { name } =>
        "an inline step has a name and a closure, nothing else: let the closure use the values around it, or pass a \
         function with its arguments and name it afterwards: `ctx.run(function, a, b).named(\"{name}\")`",
    InlineAsyncBlock { name } =>
        "an async block can run only once and a step may be retried: make it a closure, \
         `ctx.run(\"{name}\", async || …)`",
    ClosureWithParameters { count } =>
        "the closure of an inline step takes nothing or the StepContext, this one takes {count} parameters: let it use \
         the values around it",
    EmptyName =>
        "a name must not be empty: say what happens here, as in \"charge card\"",
    NameWithHash =>
        "a name must not contain `#`: the journal uses it to number repeated steps (`charge`, `charge#2`)",

    // What is awaited.
    NothingToAwait { call } =>
        "there is nothing to wait for in `{call}(…)`: remove `.await`",
    MapWithoutEnd { call } =>
        "`{call}(…)` begins when it is said how it is to end: write `.all().await`, or `.first_ok()`, `.at_least(n)` or \
         `.tolerate(n)` before `.await`",
    AsyncClosure { call, instead } =>
        "`{call}` takes a closure that returns an async block, and no async closure: write `{instead}`",

    // What would not survive a replay.
    RunInsideStep =>
        "a step is one unit of work and can't run other steps: end this step first, or use the closure's own \
         StepContext (`async |step| …`) for what a step needs",
    OperationInsideStep { method } =>
        "a step is one unit of work of which only the outcome is recorded, and does not run on replay: call `{method}` \
         outside of it, and inside what is usual, such as tokio's timers and the machine's clock",
    ContinuesInHelper =>
        "a helper does not know which function its run is of: let the durable function itself continue as new, or name that \
         function, and give its input as a whole, `ctx.continue_as_new::<function>((a, b))`",
    ContinuesWithOthers { function, wanted, given } =>
        "`{function}` is continued with its own parameters, which are {wanted} behind the context, and here are {given}",
    AssignedInsideStep { variable } =>
        "`{variable}` is assigned inside a step, but on replay the step does not run and the assignment would be \
         lost: return the value and assign it outside, `{variable} = ctx.run(…).await`",
    PatchIsNotLiteral { method } =>
        "the id of a patch is recorded with every run that knows it: give `{method}` a text in quotes, such as \
         `\"check stock first\"`",
    PatchInsideStep { method } =>
        "a step is not replayed, so it can change without a patch: call `{method}` outside of it",
    UncheckedWithoutReason =>
        "the next reader needs to know why a replay sees the same here: write `#[durable(unchecked = \"…\")]` with the reason",
    UncheckedInsideStep =>
        "nothing is checked inside a step, which does not run again on replay: remove the attribute",
    RandomSelect =>
        "futures::select! polls its branches in random order, so a replay could take another branch: use tokio::select! \
         or futures::select_biased!",

    // Named nondeterminism.
    ClockInBody { call, context } =>
        "`{call}` gives another value on every replay: use `{context}.now()`, which is read from the journal; or read \
         the clock in a step, `let now = {context}.run(\"now\", async || {call}()).await`",
    InstantInBody { call, context } =>
        "`{call}` gives another value on every replay, and an Instant can't be stored: use `{context}.now()`, which is \
         read from the journal; to limit what takes long, `{context}.timeout(limit, …)`",
    ElapsedInBody { call, context } =>
        "`{call}` reads the clock, which gives another value on every replay: compare times from the journal, \
         `{context}.now().since(start)`",
    RandomInBody { call, context } =>
        "`{call}` gives another value on every replay: draw it from the run's own chance, `{context}.rng()` or \
         `{context}.uuid()`; or in a step, which is recorded, `let value = {context}.run(\"value\", async || …).await`",
    EnvironmentInBody { call, context } =>
        "`{call}` may give another value on a replay, after a restart or on another machine: read it in a step, \
         `let value = {context}.run(\"environment\", async || …).await`, or pass it as input",
    FilesInBody { call, context } =>
        "`{call}` may find other files on a replay, and what it does it would do again: work with files in a step, \
         and return what was read, `{context}.run(\"file\", async || …).await`",
    SpawnInBody { call } =>
        "`{call}` starts work that is not part of the run, and would start it again on every replay: run several steps \
         at once with `join!` or `FuturesUnordered`",
    ThreadInBody { call, context } =>
        "`{call}` depends on the thread that happens to run this, which no replay repeats: do it in a step, \
         `{context}.run(\"work\", async || …).await`",
    ProcessInBody { call, context } =>
        "`{call}` has an effect or a value that no replay repeats: do it in a step, \
         `{context}.run(\"process\", async || …).await`; to end the run, return",
    TimerInBody { call, context } =>
        "`{call}` is not recorded, and a replay would wait again: use `{context}.sleep(duration)`, \
         `{context}.sleep_until(time)`, or `{context}.timeout(limit, future)`, which last over restarts",
    NetworkInBody { call, context } =>
        "`{call}` would talk to the network again on every replay: do it in a step, and return what was answered, \
         `let answer = {context}.run(\"request\", async || …).await`",
    ChannelInBody { call } =>
        "`{call}` makes a channel, which is empty again on every replay: return values from steps, and wait for \
         several at once with `join!` or `FuturesUnordered`",
    OutputInBody { call, context } =>
        "`{call}` would print again on every replay: use `tracing`, which is silent on replay, or print in a step, \
         `{context}.run(\"print\", async || …).await`",
    InputInBody { call, context } =>
        "`{call}` reads what is gone on a replay: read it in a step, `{context}.run(\"read\", async || …).await`",
    HashOrderInBody { name, hashed, sorted, collected } =>
        "`{name}` is a {hashed}, whose order is another one on every replay: use a {sorted}, or sort it first, \
         `{name}.iter().collect::<{collected}>()`",
}

/// A refusal and the tokens it is about.
#[derive(Debug, Clone)]
pub(crate) struct Diagnostic {
    start: Span,
    end: Span,
    message: String,
}

impl Diagnostic {
    /// A refusal to be shown at `tokens`.
    pub(crate) fn new(tokens: impl ToTokens, refusal: &Refusal) -> Self {
        Self::message(tokens, refusal.to_string())
    }

    /// A message that is in no table, such as the parser's own.
    pub(crate) fn message(tokens: impl ToTokens, message: String) -> Self {
        let mut spans = tokens.into_token_stream().into_iter().map(|token| token.span());
        let start = spans.next().unwrap_or_else(Span::call_site);
        Self { start, end: spans.last().unwrap_or(start), message }
    }

    /// The `compile_error!` that shows it. As an expression it has every type, so nothing else fails because of it.
    pub(crate) fn in_place(&self) -> TokenStream {
        self.in_place_of(Delimiter::Parenthesis)
    }

    /// The `compile_error!` in place of a macro call with these brackets, which decide where a statement ends.
    pub(crate) fn in_place_of(&self, brackets: Delimiter) -> TokenStream {
        // The compiler underlines from the first to the last token of a macro call.
        let path = quote_spanned!(self.start=> ::core::compile_error!);
        let message = &self.message;
        let mut arguments = Group::new(brackets, quote_spanned!(self.end=> #message));
        arguments.set_span(self.end);
        quote_spanned!(self.start=> #path #arguments)
    }

    /// The `compile_error!` as an item.
    pub(crate) fn item(&self) -> TokenStream {
        let error = self.in_place();
        quote_spanned!(self.end=> #error;)
    }
}

/// The refusals of one stage. Stages go on after a refusal, so that all mistakes are shown at once.
#[derive(Debug, Default)]
pub(crate) struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// Adds a refusal to be shown at `tokens`.
    pub(crate) fn refuse(&mut self, tokens: impl ToTokens, refusal: &Refusal) {
        self.0.push(Diagnostic::new(tokens, refusal));
    }

    /// Adds what another place found.
    pub(crate) fn extend(&mut self, others: impl IntoIterator<Item = Diagnostic>) {
        self.0.extend(others);
    }

    /// The same of `ctx.undo(…)`, of which what is wrong is said as of `ctx.run(…)`.
    pub(crate) fn of_undo(mut self) -> Self {
        self.0.iter_mut().for_each(|diagnostic| diagnostic.message = diagnostic.message.replace(".run", ".undo"));
        self
    }

    /// True when nothing was refused.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them as items.
    pub(crate) fn items(&self) -> TokenStream {
        self.0.iter().map(Diagnostic::item).collect()
    }

    /// Gives out the first and keeps the others.
    pub(crate) fn take_first(&mut self) -> Option<Diagnostic> {
        (!self.0.is_empty()).then(|| self.0.remove(0))
    }

    #[cfg(test)]
    pub(crate) fn messages(&self) -> Vec<String> {
        self.0.iter().map(|diagnostic| diagnostic.message.clone()).collect()
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Why a text can't be the name of a step or of a durable function.
pub(crate) fn refused_name(name: &str) -> Option<Refusal> {
    if name.trim().is_empty() {
        Some(Refusal::EmptyName)
    } else if name.contains('#') {
        Some(Refusal::NameWithHash)
    } else {
        None
    }
}

/// An identifier as it is called in messages and names: `r#match` is `match`.
pub(crate) fn unraw(ident: &Ident) -> String {
    let text = ident.to_string();
    text.strip_prefix("r#").map_or(text.clone(), str::to_owned)
}
