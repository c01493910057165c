//! Reading the arguments of `ctx.run(…)`.

use proc_macro2::Ident;
use quote::{ToTokens, quote};
use syn::parse::Parser as _;
use syn::punctuated::Punctuated;
use syn::{Expr, ExprClosure, ExprLit, Lit, LitStr, Token};

use crate::check::ARGUMENTS_MAX;
use crate::diagnostics::{Diagnostics, Refusal, refused_name, unraw};
use crate::nondeterminism::Names;
use crate::paths::{last_name, shown, ungroup};
use crate::rewrite::assigned;
use crate::rewrite::step::Call;

/// What one `ctx.run(…)` asks for.
pub(super) enum Run {
    /// `ctx.run(callee, a, b)`.
    Function { callee: Expr, name: String, arguments: Vec<Expr> },
    /// `ctx.run("name", async || …)`.
    Closure { name: LitStr, closure: ExprClosure },
    /// `ctx.run("name", body)`.
    Value { name: LitStr, body: Expr },
}

impl Run {
    /// The name that the step has by itself.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Function { name, .. } => name.clone(),
            Self::Closure { name, .. } | Self::Value { name, .. } => name.value(),
        }
    }
}

/// Reads the arguments of `call`.
///
/// # Errors
/// Everything that is wrong with them.
pub(super) fn read(call: &Call<'_>, names: &Names) -> Result<Run, Diagnostics> {
    let list = match Punctuated::<Expr, Token![,]>::parse_terminated.parse2(call.arguments.stream()) {
        Ok(list) => list,
        Err(error) => {
            let place = Ident::new("error", error.span());
            return refused(place, &Refusal::UnreadableArguments { problem: error.to_string() });
        }
    };
    let mut list = list.into_iter();
    let Some(first) = list.next() else { return refused(call, &Refusal::RunWithoutCallee) };
    let rest: Vec<Expr> = list.collect();
    match ungroup(&first) {
        Expr::Lit(ExprLit { lit: Lit::Str(name), .. }) => inline(call.context, name.clone(), rest),
        Expr::Closure(_) | Expr::Async(_) => refused(&first, &Refusal::ClosureWithoutName),
        Expr::Lit(_) => refused(&first, &Refusal::NameIsNotLiteral),
        _ if rest.iter().any(|argument| matches!(ungroup(argument), Expr::Closure(_))) => {
            refused(&first, &Refusal::NameIsNotLiteral)
        }
        _ => function(call.context, first, rest, names),
    }
}

fn refused<T>(tokens: impl ToTokens, refusal: &Refusal) -> Result<T, Diagnostics> {
    let mut diagnostics = Diagnostics::default();
    diagnostics.refuse(tokens, refusal);
    Err(diagnostics)
}

fn function(context: &Ident, callee: Expr, arguments: Vec<Expr>, names: &Names) -> Result<Run, Diagnostics> {
    let Some(name) = last_name(&callee).map(unraw) else {
        return refused(&callee, &without_name(context, &callee, &arguments));
    };
    if let Expr::Path(path) = ungroup(&callee)
        && path.path.get_ident().is_some_and(|variable| names.is_value(variable))
    {
        return refused(&callee, &Refusal::ValueAsCallee { name });
    }
    if arguments.len() > ARGUMENTS_MAX {
        let excess = &arguments[ARGUMENTS_MAX..];
        let count = arguments.len().to_string();
        return refused(quote!(#(#excess),*), &Refusal::TooManyArguments { count });
    }
    Ok(Run::Function { callee, name, arguments })
}

/// Why `callee` names no function, and what was probably meant.
fn without_name(context: &Ident, callee: &Expr, arguments: &[Expr]) -> Refusal {
    match ungroup(callee) {
        Expr::Call(_) | Expr::MethodCall(_) => Refusal::CalledInPlace { instead: instead(context, callee, arguments) },
        Expr::Await(_) | Expr::Try(_) => Refusal::AwaitedInPlace { instead: instead(context, callee, arguments) },
        Expr::Field(field) => {
            Refusal::FieldAsCallee { field: field.member.to_token_stream().to_string(), callee: shown(callee) }
        }
        _ => Refusal::CalleeWithoutName,
    }
}

/// The step that runs `expression`: `ctx.run(charge, order).await` for `charge(order).await`.
fn instead(context: &Ident, expression: &Expr, arguments: &[Expr]) -> String {
    let step = |callee: String, own: Vec<String>| {
        let arguments = own.into_iter().chain(arguments.iter().map(shown));
        format!("{context}.run({})", [callee].into_iter().chain(arguments).collect::<Vec<_>>().join(", "))
    };
    match ungroup(expression) {
        Expr::Await(awaited) => format!("{}.await", instead(context, &awaited.base, arguments)),
        Expr::Try(tried) => format!("{}?", instead(context, &tried.expr, arguments)),
        Expr::Call(call) => step(shown(&call.func), call.args.iter().map(shown).collect()),
        // Not `Type::method`: what it is a method of is often a client, which can't be recorded.
        Expr::MethodCall(call) => {
            format!("{context}.run(\"{}\", async || {}.await)", unraw(&call.method), shown(call))
        }
        callee => step(shown(callee), Vec::new()),
    }
}

fn inline(context: &Ident, name: LitStr, rest: Vec<Expr>) -> Result<Run, Diagnostics> {
    let mut diagnostics = Diagnostics::default();
    let text = name.value();
    if let Some(refusal) = refused_name(&text) {
        diagnostics.refuse(&name, &refusal);
    }
    let mut rest = rest.into_iter();
    let Some(body) = rest.next() else {
        diagnostics.refuse(&name, &Refusal::InlineWithoutBody { name: text });
        return Err(diagnostics);
    };
    let excess: Vec<Expr> = rest.collect();
    if !excess.is_empty() {
        diagnostics.refuse(quote!(#(#excess),*), &Refusal::InlineWithArguments { name: text.clone() });
    }
    match ungroup(&body) {
        Expr::Closure(closure) => check_closure(closure, &mut diagnostics),
        Expr::Async(_) => diagnostics.refuse(&body, &Refusal::InlineAsyncBlock { name: text }),
        Expr::Await(_) | Expr::Try(_) => {
            let instead = format!("{context}.run({}, async || {})", name.token(), shown(&body));
            diagnostics.refuse(&body, &Refusal::AwaitedInPlace { instead });
        }
        _ => {}
    }
    if !diagnostics.is_empty() {
        return Err(diagnostics);
    }
    Ok(match ungroup(&body) {
        Expr::Closure(closure) => Run::Closure { name, closure: closure.clone() },
        _ => Run::Value { name, body },
    })
}

fn check_closure(closure: &ExprClosure, diagnostics: &mut Diagnostics) {
    if closure.inputs.len() > 1 {
        let count = closure.inputs.len().to_string();
        diagnostics.refuse(&closure.inputs, &Refusal::ClosureWithParameters { count });
    }
    for variable in assigned::captured(closure) {
        let refusal = Refusal::AssignedInsideStep { variable: variable.to_string() };
        diagnostics.refuse(variable, &refusal);
    }
}
