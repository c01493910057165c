//! Writing what `ctx.run(…)` becomes, a call of `Context::__step`, and `ctx.undo(…)`, one of `Context::__undo`.

use proc_macro2::{Delimiter, Group, Ident, Literal, TokenStream, TokenTree};
use quote::{ToTokens, TokenStreamExt as _, format_ident, quote, quote_spanned};
use syn::{Expr, ExprClosure};

use crate::diagnostics::Diagnostics;
use crate::paths::{generated_at, ungroup};
use crate::rewrite::run::Run;
use crate::rewrite::{Place, Rewriter};

/// The tokens of one `ctx.run(…)`, or `ctx.undo(…)`.
pub(super) struct Call<'t> {
    pub(super) context: &'t Ident,
    pub(super) dot: &'t TokenTree,
    pub(super) run: &'t Ident,
    pub(super) arguments: &'t Group,
    pub(super) is_undo: bool,
}

impl ToTokens for Call<'_> {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        self.context.to_tokens(tokens);
        self.dot.to_tokens(tokens);
        self.run.to_tokens(tokens);
        self.arguments.to_tokens(tokens);
    }
}

impl Call<'_> {
    /// `ctx.__step(name, arguments, body)`.
    ///
    /// The method and its parentheses keep the place of the user's: it is recorded as the call site of the step.
    fn step(&self, name: &Literal, arguments: &TokenStream, body: &TokenStream) -> TokenStream {
        let mut parentheses = Group::new(Delimiter::Parenthesis, quote!(#name, #arguments, #body));
        parentheses.set_span(self.arguments.span());
        let mut step = TokenStream::new();
        step.append(self.context.clone());
        step.append(self.dot.clone());
        step.append(Ident::new(if self.is_undo { "__undo" } else { "__step" }, self.run.span()));
        step.append(parentheses);
        step
    }
}

/// Writes the step that `run` asks for.
///
/// # Errors
/// What the closure of an inline step may not do.
pub(super) fn emit(rewriter: &mut Rewriter<'_>, call: &Call<'_>, run: &Run) -> Result<TokenStream, Diagnostics> {
    match run {
        Run::Function { callee, name, arguments } => Ok(function(rewriter, call, callee, name, arguments)),
        Run::Closure { name, closure } => {
            let body = closure_body(rewriter, closure)?;
            Ok(call.step(&name.token(), &quote!(()), &body))
        }
        Run::Value { name, body } => {
            let site = generated_at(body);
            let runtime = rewriter.runtime.at(site);
            let body = match ungroup(body) {
                // Run in the step: it may be what the body itself may not call.
                Expr::Path(path) => path.to_token_stream(),
                body => rewriter.stream(body.to_token_stream()),
            };
            let body = quote_spanned! {site=>
                {
                    let __body = #body;
                    move |__step, ()| #runtime::__private::call0(&__body, __step)
                }
            };
            Ok(call.step(&name.token(), &quote!(()), &body))
        }
    }
}

fn function(
    rewriter: &mut Rewriter<'_>,
    call: &Call<'_>,
    callee: &Expr,
    name: &str,
    arguments: &[Expr],
) -> TokenStream {
    let site = generated_at(callee);
    let runtime = rewriter.runtime.at(site);
    let mut literal = Literal::string(name);
    literal.set_span(site);
    let values = arguments.iter().map(|argument| {
        let value = rewriter.stream(argument.to_token_stream());
        // It outlives what it is borrowed from.
        if call.is_undo && is_borrowed(argument) {
            let site = generated_at(argument);
            quote_spanned!(site=> ::std::borrow::ToOwned::to_owned(#value))
        } else {
            value
        }
    });
    let values = quote_spanned!(site=> (#(#values,)*));
    // Each carries the place of its argument, so that a wrong type is shown there.
    let names: Vec<Ident> = arguments
        .iter()
        .enumerate()
        .map(|(index, argument)| format_ident!("__a{index}", span = generated_at(pointee(argument))))
        .collect();
    let call_n = format_ident!("call{}", arguments.len(), span = site);
    if call.is_undo {
        let passed = arguments.iter().zip(&names).map(|(argument, name)| {
            let site = name.span();
            if is_borrowed(argument) { quote_spanned!(site=> &#name) } else { name.to_token_stream() }
        });
        let body = quote_spanned! {site=>
            move |__step, (#(#names,)*)| #runtime::__private::called(async move {
                #runtime::__private::undoing(#runtime::__private::#call_n(&#callee, __step #(, #passed)*)).await
            })
        };
        return call.step(&literal, &values, &body);
    }
    let body = match ungroup(callee) {
        // Borrowed outside of the closure, which would take the function itself otherwise.
        Expr::Reference(reference) => quote_spanned! {site=>
            {
                let __callee = #reference;
                move |__step, (#(#names,)*)| #runtime::__private::#call_n(__callee, __step #(, #names)*)
            }
        },
        callee => quote_spanned! {site=>
            move |__step, (#(#names,)*)| #runtime::__private::#call_n(&#callee, __step #(, #names)*)
        },
    };
    call.step(&literal, &values, &body)
}

/// Whether it is written as `&order`.
fn is_borrowed(argument: &Expr) -> bool {
    matches!(ungroup(argument), Expr::Reference(reference) if reference.mutability.is_none())
}

/// `order` in `&order`: the part of an argument that a message should point at.
fn pointee(argument: &Expr) -> &Expr {
    match ungroup(argument) {
        Expr::Reference(reference) => pointee(&reference.expr),
        other => other,
    }
}

/// A closure that runs `closure`, as often as the step is tried.
///
/// It calls `closure` directly: behind a generic wrapper the compiler could not see that the future is `Send`.
fn closure_body(rewriter: &Rewriter<'_>, closure: &ExprClosure) -> Result<TokenStream, Diagnostics> {
    let mut inner = Rewriter::new(rewriter.context, rewriter.runtime, Place::Step);
    let tokens = inner.stream(closure.to_token_stream());
    inner.in_place.extend(inner.elsewhere);
    if !inner.in_place.is_empty() {
        return Err(inner.in_place);
    }
    let site = generated_at(closure);
    let runtime = rewriter.runtime.at(site);
    // What is no future is shown at what the closure returns.
    let result = generated_at(&closure.body);
    let step = Ident::new("__step", site);
    let bound = match (closure.asyncness.is_some(), closure.inputs.is_empty()) {
        (true, true) => "async_closure",
        (true, false) => "async_closure_with_step",
        (false, true) => "closure",
        (false, false) => "closure_with_step",
    };
    let bound = Ident::new(bound, site);
    let (parameter, arguments) = if closure.inputs.is_empty() {
        (quote_spanned!(site=> _), TokenStream::new())
    } else {
        (step.to_token_stream(), step.to_token_stream())
    };
    let awaited = if closure.asyncness.is_some() {
        quote_spanned!(result=> __body(#arguments).await)
    } else {
        let runtime = rewriter.runtime.at(result);
        quote_spanned!(result=> #runtime::__private::returned(__body(#arguments)).await)
    };
    Ok(quote_spanned! {site=>
        {
            // Only a bound tells the compiler in time what the closure takes, and that it may run again.
            let __body = ::std::sync::Arc::new(#runtime::__private::#bound(#tokens));
            move |#parameter, ()| {
                let __body = ::std::sync::Arc::clone(&__body);
                #runtime::__private::called(async move { #awaited })
            }
        }
    })
}
