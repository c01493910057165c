//! Stage 2: what kind of function this is, and everything that its signature may not say.

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::{FnArg, GenericParam, Pat, PatType, ReturnType, Safety, Signature, Type};

use crate::diagnostics::{Diagnostics, Refusal, unraw};
use crate::options::Options;
use crate::paths::shown;

/// How many parameters a durable function has at most, and how many arguments a step. serde stores tuples up to here.
pub(crate) const ARGUMENTS_MAX: usize = 16;

/// What the first parameter makes of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `ctx: Context`: a run of its own.
    Durable,
    /// `ctx: &Context`: a part of its caller's run.
    Helper,
}

/// What later stages need to know about a signature.
pub(crate) struct Shape {
    pub(crate) kind: Kind,
    /// The name of the context in the body; none for `_`.
    pub(crate) context: Option<Ident>,
    /// True when the type of the result was refused.
    pub(crate) is_result_refused: bool,
    /// The types of the parameters after the context.
    pub(crate) inputs: Vec<Type>,
}

/// Reads the shape of a signature. What is refused makes the signature useless for the expansion.
pub(crate) fn check(signature: &Signature, diagnostics: &mut Diagnostics) -> Shape {
    qualifiers(signature, diagnostics);
    let kind = kind(signature, diagnostics);
    let parameters: Vec<&PatType> = signature.inputs.iter().skip(1).filter_map(typed).collect();
    if kind == Kind::Durable {
        for parameter in parameters.iter().filter(|parameter| is_named(parameter, &signature.ident)) {
            let refusal = Refusal::ParameterNamedAsFunction { name: unraw(&signature.ident) };
            diagnostics.refuse(&parameter.pat, &refusal);
        }
    }
    let is_result_refused = match kind {
        Kind::Durable => !stored(signature, &parameters, diagnostics),
        Kind::Helper => false,
    };
    let inputs = parameters.into_iter().map(|parameter| (*parameter.ty).clone()).collect();
    Shape { kind, context: context(signature), is_result_refused, inputs }
}

/// Refuses the options that a helper can't have.
pub(crate) fn check_helper_options(options: &Options, diagnostics: &mut Diagnostics) {
    let name = options.name.as_ref().map(|given| &given.option);
    let version = options.version.as_ref().map(|given| &given.option);
    let on_change = options.on_change.as_ref().map(|given| &given.option);
    for option in [name, version, on_change].into_iter().flatten() {
        diagnostics.refuse(option, &Refusal::OptionOnHelper { option: option.to_string() });
    }
}

fn qualifiers(signature: &Signature, diagnostics: &mut Diagnostics) {
    if signature.asyncness.is_none() {
        diagnostics.refuse(signature.fn_token, &Refusal::NotAsync);
    }
    if let Some(constness) = &signature.constness {
        diagnostics.refuse(constness, &Refusal::ConstFunction);
    }
    if let Safety::Unsafe(token) = &signature.safety {
        diagnostics.refuse(token, &Refusal::UnsafeFunction);
    }
    if let Some(abi) = &signature.abi {
        diagnostics.refuse(abi, &Refusal::ExternFunction);
    }
}

/// What the first parameter makes of the function.
fn kind(signature: &Signature, diagnostics: &mut Diagnostics) -> Kind {
    let first = match signature.inputs.first() {
        Some(FnArg::Typed(first)) => &first.ty,
        Some(FnArg::Receiver(receiver)) => {
            diagnostics.refuse(receiver, &Refusal::SelfReceiver);
            return Kind::Helper;
        }
        None => {
            diagnostics.refuse(&signature.ident, &Refusal::WithoutContext);
            return Kind::Durable;
        }
    };
    match ungroup(first) {
        Type::Reference(reference) if is_context(&reference.elem) => {
            if reference.mutability.is_some() {
                diagnostics.refuse(first, &Refusal::MutableContext);
            }
            Kind::Helper
        }
        other => {
            if !is_context(other) {
                diagnostics.refuse(first, &Refusal::FirstIsNotContext { found: shown(first) });
            }
            Kind::Durable
        }
    }
}

/// The name of the context, even where it is in a wrong place.
fn context(signature: &Signature) -> Option<Ident> {
    let is_any_context = |parameter: &&PatType| match ungroup(&parameter.ty) {
        Type::Reference(reference) => is_context(&reference.elem),
        other => is_context(other),
    };
    match &*signature.inputs.iter().filter_map(typed).find(is_any_context)?.pat {
        Pat::Ident(name) => Some(name.ident.clone()),
        _ => None,
    }
}

fn typed(parameter: &FnArg) -> Option<&PatType> {
    match parameter {
        FnArg::Typed(parameter) => Some(parameter),
        FnArg::Receiver(_) => None,
    }
}

/// True for `name: Type`.
pub(crate) fn is_named(parameter: &PatType, name: &Ident) -> bool {
    matches!(&*parameter.pat, Pat::Ident(pattern) if pattern.ident == *name)
}

/// True when the type's last name is `Context`; the compiler checks the rest.
fn is_context(parameter: &Type) -> bool {
    match ungroup(parameter) {
        Type::Path(path) => path.path.segments.last().is_some_and(|last| last.ident == "Context"),
        _ => false,
    }
}

/// The type without parentheses around it.
fn ungroup(mut found: &Type) -> &Type {
    loop {
        found = match found {
            Type::Group(group) => &group.elem,
            Type::Paren(paren) => &paren.elem,
            other => return other,
        };
    }
}

/// What must not be in a signature whose input and result are written to the journal. True when the result is fine.
fn stored(signature: &Signature, parameters: &[&PatType], diagnostics: &mut Diagnostics) -> bool {
    if !signature.generics.params.is_empty() {
        diagnostics.refuse(angle_brackets(signature), &Refusal::GenericFunction);
    }
    let lifetimes: Vec<&Ident> = signature.generics.params.iter().filter_map(lifetime).collect();
    for parameter in parameters {
        if let Some(attribute) = parameter.attrs.iter().find(|attribute| attribute.path().is_ident("cfg")) {
            diagnostics.refuse(attribute, &Refusal::ConditionalParameter);
        }
        match not_storable(parameter.ty.to_token_stream(), &lifetimes) {
            Some(NotStorable::Borrowed(tokens)) => diagnostics.refuse(tokens, &Refusal::BorrowedParameter),
            Some(NotStorable::ImplTrait(token)) => diagnostics.refuse(token, &Refusal::ImplTraitParameter),
            None => {}
        }
    }
    if parameters.len() > ARGUMENTS_MAX {
        let excess = &parameters[ARGUMENTS_MAX..];
        let count = parameters.len().to_string();
        diagnostics.refuse(quote!(#(#excess),*), &Refusal::TooManyParameters { count });
    }
    let ReturnType::Type(_, result) = &signature.output else { return true };
    match not_storable(result.to_token_stream(), &lifetimes) {
        Some(NotStorable::Borrowed(tokens)) => diagnostics.refuse(tokens, &Refusal::BorrowedResult),
        Some(NotStorable::ImplTrait(token)) => diagnostics.refuse(token, &Refusal::ImplTraitResult),
        None => return true,
    }
    false
}

/// `<T, const N: usize>`.
fn angle_brackets(signature: &Signature) -> TokenStream {
    let (open, parameters, close) =
        (signature.generics.lt_token, &signature.generics.params, signature.generics.gt_token);
    quote!(#open #parameters #close)
}

fn lifetime(parameter: &GenericParam) -> Option<&Ident> {
    match parameter {
        GenericParam::Lifetime(parameter) => Some(&parameter.lifetime.ident),
        GenericParam::Type(_) | GenericParam::Const(_) => None,
    }
}

/// Why a type can't be stored, as far as its tokens tell.
enum NotStorable {
    Borrowed(TokenStream),
    ImplTrait(TokenTree),
}

/// Looks for `&`, a lifetime or `impl` anywhere in a type.
///
/// `'static` alone is fine (`Cow<'static, str>` can be read back), and so is a lifetime of the signature's own
/// generics: those are refused where they are declared.
fn not_storable(tokens: TokenStream, declared: &[&Ident]) -> Option<NotStorable> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (index, token) in tokens.iter().enumerate() {
        let found = match token {
            TokenTree::Punct(punct) if punct.as_char() == '&' => {
                Some(NotStorable::Borrowed(tokens[index..].iter().cloned().collect()))
            }
            TokenTree::Punct(punct) if punct.as_char() == '\'' => match tokens.get(index + 1) {
                Some(TokenTree::Ident(name)) if name == "static" || declared.contains(&name) => None,
                name => Some(NotStorable::Borrowed([Some(token), name].into_iter().flatten().cloned().collect())),
            },
            TokenTree::Ident(word) if word == "impl" => Some(NotStorable::ImplTrait(token.clone())),
            // The length of an array and a const argument are no types: their `&` is an operation.
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => None,
            TokenTree::Group(group) => not_storable(group.stream(), declared),
            TokenTree::Punct(punct) if punct.as_char() == ';' => return None,
            _ => None,
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    fn check(signature: &TokenStream) -> (Shape, Vec<String>) {
        let mut diagnostics = Diagnostics::default();
        let signature: Signature = parse_quote!(#signature);
        let shape = super::check(&signature, &mut diagnostics);
        (shape, diagnostics.messages())
    }

    #[test]
    fn the_first_parameter_decides() {
        for (signature, kind, context) in [
            (quote!(async fn f(ctx: Context)), Kind::Durable, Some("ctx")),
            (quote!(async fn f(mut ctx: durable_runtime::Context, order: Order)), Kind::Durable, Some("ctx")),
            (quote!(async fn f(_ctx: ::durable_runtime::Context)), Kind::Durable, Some("_ctx")),
            (quote!(async fn f(_: Context) -> u8), Kind::Durable, None),
            (quote!(async fn f(c: (Context))), Kind::Durable, Some("c")),
            (quote!(async fn f(ctx: &Context, order: &Order)), Kind::Helper, Some("ctx")),
            (quote!(async fn f<'a, T: Ord>(ctx: &'a Context, order: impl Into<T>) -> &'a T), Kind::Helper, Some("ctx")),
        ] {
            let (shape, messages) = check(&signature);
            assert_eq!(messages, [""; 0]);
            assert_eq!((shape.kind, shape.context.map(|name| name.to_string()).as_deref()), (kind, context));
        }
    }

    #[test]
    fn owned_types_are_storable() {
        let (shape, messages) = check(&quote!(
            async fn f(
                ctx: Context,
                (a, b): (u32, [u8; MASK & 3]),
                name: Cow<'static, str>,
                bits: Bits<{ MASK & 1 }>,
            ) -> Result<Vec<u8>, Error>
            where
                Order: Clone
        ));
        assert_eq!(messages, [""; 0]);
        assert_eq!(shape.inputs.len(), 3);
    }

    #[test]
    fn what_can_not_be_stored_is_refused() {
        for (signature, refusal) in [
            (quote!(async fn f(ctx: Context, order: &Order)), Refusal::BorrowedParameter),
            (quote!(async fn f(ctx: Context, names: Vec<(u32, &'static str)>)), Refusal::BorrowedParameter),
            (quote!(async fn f(ctx: Context, name: Cow<'_, str>)), Refusal::BorrowedParameter),
            (quote!(async fn f(ctx: Context, order: impl Into<Order>)), Refusal::ImplTraitParameter),
            (quote!(async fn f(ctx: Context, orders: Vec<impl Into<Order>>)), Refusal::ImplTraitParameter),
            (quote!(async fn f(ctx: Context) -> Result<u8, &'static str>), Refusal::BorrowedResult),
            (quote!(async fn f(ctx: Context) -> impl Sized), Refusal::ImplTraitResult),
            (quote!(async fn f<T>(ctx: Context, order: T)), Refusal::GenericFunction),
            (quote!(async fn f<const N: usize>(ctx: Context)), Refusal::GenericFunction),
            (quote!(async fn f<'a>(ctx: Context, name: Cow<'a, str>)), Refusal::GenericFunction),
            (quote!(async fn f(ctx: Context, #[cfg(unix)] user: u32)), Refusal::ConditionalParameter),
        ] {
            assert_eq!(check(&signature).1, [refusal.to_string()], "{signature}");
        }
    }

    #[test]
    fn several_mistakes_are_reported_at_once() {
        let (shape, messages) = check(&quote!(const unsafe extern "C" fn f(order: &Order)));
        assert_eq!(
            messages,
            [
                Refusal::NotAsync.to_string(),
                Refusal::ConstFunction.to_string(),
                Refusal::UnsafeFunction.to_string(),
                Refusal::ExternFunction.to_string(),
                Refusal::FirstIsNotContext { found: "&Order".into() }.to_string(),
            ]
        );
        assert_eq!(shape.kind, Kind::Durable);
    }

    /// R14.
    #[test]
    fn sixteen_parameters_are_fine_and_seventeen_are_not() {
        let signature = |count: usize| {
            let names = (0..count).map(|index| quote::format_ident!("p{index}"));
            quote!(async fn f(ctx: Context, #(#names: u8),*))
        };
        assert_eq!(check(&signature(16)).1, [""; 0]);
        assert_eq!(check(&signature(17)).1, [Refusal::TooManyParameters { count: "17".into() }.to_string()]);
    }

    #[test]
    fn a_context_that_is_none_is_refused() {
        for (signature, refusal) in [
            (quote!(async fn f()), Refusal::WithoutContext),
            (quote!(async fn f(order: Order, ctx: Context)), Refusal::FirstIsNotContext { found: "Order".into() }),
            (quote!(async fn f(ctx: &mut Context)), Refusal::MutableContext),
            (quote!(async fn f(&self, ctx: &Context)), Refusal::SelfReceiver),
            (quote!(async fn f(self: Arc<Self>)), Refusal::SelfReceiver),
        ] {
            assert_eq!(check(&signature).1, [refusal.to_string()], "{signature}");
        }
    }
}
