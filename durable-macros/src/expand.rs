//! Stage 4: from the checked parts to the code that takes the function's place.

use proc_macro2::{Delimiter, Group, Ident, Literal, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{Attribute, FnArg, Pat, ReturnType, Safety, Signature, Token};

use crate::check::{Kind, Shape, check, check_helper_options, is_named};
use crate::diagnostics::{Diagnostic, Diagnostics, unraw};
use crate::fingerprint::fingerprint;
use crate::options::{Given, LAST, OnChange, Options};
use crate::parse::{Function, parse};
use crate::paths::{Runtime, generated_at, split_inner_attributes};
use crate::rewrite::{Site, Starts, may_undo, rewrite};

/// The whole macro: `#[durable(options)] item`.
pub(crate) fn durable(given: &TokenStream, item: &TokenStream) -> TokenStream {
    let mut diagnostics = Diagnostics::default();
    let options = Options::parse(given.clone(), &mut diagnostics);
    let function = match parse(item) {
        Ok(function) => function,
        Err(refused) => {
            diagnostics.extend([refused]);
            let errors = diagnostics.items();
            return quote!(#item #errors);
        }
    };
    let mut refused = Diagnostics::default();
    let shape = check(&function.signature, &mut refused);
    let runtime = Runtime::new(options.runtime.as_ref().map(|given| &given.value));
    if shape.kind == Kind::Helper && !options.is_last && function.attributes.iter().any(may_be_macro) {
        // Another macro would find no `async fn` any more: `#[tracing::instrument]` would measure the call alone.
        let site = generated_at(&function.signature.ident);
        let (runtime, last) = (runtime.at(site), Ident::new(LAST, site));
        let Function { attributes, visibility, signature, body } = &function;
        return quote_spanned!(site=> #(#attributes)* #[#runtime::durable(#last, #given)] #visibility #signature #body);
    }
    if shape.kind == Kind::Helper {
        check_helper_options(&options, &mut diagnostics);
    }
    let starts = Starts { function: &function.signature.ident, inputs: shape.inputs.len() };
    let starts = (shape.kind == Kind::Durable).then_some(starts);
    let rewritten = rewrite(&function, shape.context.as_ref(), starts, &runtime);
    diagnostics.extend(rewritten.elsewhere);

    let expansion =
        Expansion { function: &function, shape: &shape, options: &options, runtime: &runtime, sites: &rewritten.sites };
    let code = match (refused.take_first(), shape.kind) {
        (None, Kind::Durable) => expansion.durable(&rewritten.body),
        (None, Kind::Helper) => expansion.helper(&rewritten.body),
        (Some(first), kind) => {
            diagnostics.extend(refused);
            match kind {
                Kind::Durable if !is_body_kept(&function.signature, &shape) => {
                    diagnostics.extend(rewritten.in_place);
                    expansion.durable_fallback(&first, &Group::new(Delimiter::Brace, quote!(loop {})))
                }
                Kind::Durable => expansion.durable_fallback(&first, &rewritten.body),
                Kind::Helper => expansion.helper_fallback(&first, &rewritten.body),
            }
        }
    };
    let errors = diagnostics.items();
    quote!(#code #errors)
}

/// Whether the body goes with a refused signature, and does not only cause more errors: without its context or a parameter it means
/// nothing, and a generic one misses the bounds that the runtime asks for.
fn is_body_kept(signature: &Signature, shape: &Shape) -> bool {
    let is_taken = |input: &FnArg| matches!(input, FnArg::Typed(parameter) if is_named(parameter, &signature.ident));
    shape.context.is_some() && signature.generics.params.is_empty() && !signature.inputs.iter().any(is_taken)
}

/// Everything that the code is made from.
struct Expansion<'a> {
    function: &'a Function,
    shape: &'a Shape,
    options: &'a Options,
    runtime: &'a Runtime,
    sites: &'a [Site],
}

impl Expansion<'_> {
    /// A helper becomes an ordinary function whose future is known to be durable.
    ///
    /// The future of an `async fn` has no name that a marker could be implemented for.
    fn helper(&self, body: &Group) -> TokenStream {
        let Function { attributes, visibility, signature, .. } = self.function;
        let (signature, braces) = self.durable_future(signature.clone(), body);
        // The future is `#[must_use]` already; what the user wrote may be about its output.
        let allow = attributes
            .iter()
            .any(|attribute| attribute.path().is_ident("must_use"))
            .then(|| quote_spanned!(generated_at(&signature.ident)=> #[allow(clippy::double_must_use)]));
        quote!(#(#attributes)* #allow #visibility #signature #braces)
    }

    /// The signature and the body of a function that returns the future of an async one.
    fn durable_future(&self, signature: Signature, body: &Group) -> (Signature, Group) {
        let site = generated_at(&signature.ident);
        let runtime = self.runtime.at(site);
        let output = match &signature.output {
            ReturnType::Default => quote_spanned!(site=> ()),
            ReturnType::Type(_, output) => output.to_token_stream(),
        };
        let future: ReturnType = syn::parse_quote_spanned!(site=> -> impl #runtime::DurableFuture<Output = #output>);
        let signature = Signature { asyncness: None, output: future, ..signature };
        // As in an `async fn`, every `return` and the end know the type, and become it where that is possible.
        let (attributes, body) = split_inner_attributes(body.stream());
        let kept = unused_parameters(&signature);
        let block = if is_opaque(&output) {
            quote_spanned!(site=> { #kept #body })
        } else {
            quote_spanned! {site=>
                {
                    #kept
                    if let ::core::option::Option::Some(__result) = ::core::option::Option::None::<#output> {
                        return __result;
                    }
                    #[allow(clippy::diverging_sub_expression)]
                    let __result: #output = { #body };
                    #[allow(unreachable_code)]
                    __result
                }
            }
        };
        let mut braces = Group::new(
            Delimiter::Brace,
            quote_spanned!(site=> #attributes #runtime::__private::block(async move #block)),
        );
        braces.set_span(self.function.body.span());
        (signature, braces)
    }

    /// A durable function becomes a type of the same name that knows how to run it.
    fn durable(&self, body: &Group) -> TokenStream {
        let Function { signature, .. } = self.function;
        let name = &signature.ident;
        let site = generated_at(name);
        let runtime = self.runtime.at(site);
        let parameters: Vec<Ident> =
            (0..self.shape.inputs.len()).map(|index| format_ident!("__p{index}", span = site)).collect();
        let inputs = &self.shape.inputs;
        let (input_type, input) = if let ([only], [parameter]) = (inputs.as_slice(), parameters.as_slice()) {
            (only.to_token_stream(), parameter.to_token_stream())
        } else {
            // An error about one of several types is shown at all parameters.
            let mut tuple = Group::new(Delimiter::Parenthesis, quote!(#(#inputs),*));
            tuple.set_span(site.located_at(signature.paren_token.span.join()));
            (tuple.into_token_stream(), quote_spanned!(site=> (#(#parameters),*)))
        };
        let output = match &signature.output {
            ReturnType::Default => quote_spanned!(site=> ()),
            ReturnType::Type(_, output) => output.to_token_stream(),
        };
        let (inner, inner_name) = self.inner(signature.clone(), body);
        let call = quote_spanned! {site=>
            #inner
            ::std::boxed::Box::pin(#inner_name(__context, #(#parameters),*))
        };
        let context = quote_spanned!(site=> __context);
        let implementation = self.implementation(&input_type, &output, &context, &input, &call);
        let declaration = self.declaration();
        let everywhere = self.attributes(is_on_every_item);
        quote_spanned! {site=>
            #declaration
            #implementation
            #(#everywhere)*
            #[allow(deprecated)]
            const _: () = {
                #runtime::__private::inventory::submit! { #runtime::__private::Registration::of::<#name>() }
            };
        }
    }

    /// The user's function, and the name it has inside of the expansion.
    fn inner(&self, mut signature: Signature, body: &Group) -> (TokenStream, Ident) {
        let name = &self.function.signature.ident;
        // Not the user's name: inside of the body that must go on to mean the type, as it does everywhere else.
        let inner_name = format_ident!("__{}", unraw(name), span = name.span());
        signature.ident = inner_name.clone();
        let attributes = self.attributes(|path| !is_on_type(path) && !is_on_every_item(path));
        let inner = quote_spanned! {generated_at(name)=>
            #(#attributes)*
            #[allow(clippy::unused_async)]
            #signature #body
        };
        (inner, inner_name)
    }

    /// What stands in for a durable function with a refused signature: a type that can be used like the right one, and
    /// the body as a function of its own, so that there are no other errors than the user's.
    fn durable_fallback(&self, refused: &Diagnostic, body: &Group) -> TokenStream {
        let site = generated_at(&self.function.signature.ident);
        let declaration = self.declaration();
        let error = refused.in_place();
        let alias = quote_spanned!(site=> __Refused);
        let unused = quote_spanned!(site=> _);
        let call = quote_spanned!(site=> loop {});
        let implementation = self.implementation(&alias, &alias, &unused, &unused, &call);
        let mut signature = self.repaired();
        if self.shape.is_result_refused {
            signature.output = syn::parse_quote_spanned!(site=> -> #alias);
        }
        let (inner, _) = self.inner(signature, body);
        let everywhere = self.attributes(is_on_every_item);
        quote_spanned! {site=>
            #declaration
            #(#everywhere)*
            #[allow(unused, clippy::all, clippy::pedantic)]
            const _: () = {
                // A type with an error in it fits everywhere.
                type #alias = ::core::array::IntoIter<(), { #error }>;
                #implementation
                #inner
            };
        }
    }

    /// What stands in for a helper with a refused signature: what it probably should be.
    fn helper_fallback(&self, refused: &Diagnostic, body: &Group) -> TokenStream {
        let Function { attributes, visibility, signature, .. } = self.function;
        let site = generated_at(&signature.ident);
        let error = refused.item();
        let (signature, body) = self.durable_future(self.repaired(), body);
        quote_spanned! {site=>
            #(#attributes)*
            #[allow(unused, clippy::all, clippy::pedantic)]
            #visibility #signature #body
            #error
        }
    }

    /// The signature as an ordinary `async fn`.
    fn repaired(&self) -> Signature {
        let mut signature = self.function.signature.clone();
        for input in &mut signature.inputs {
            // Its name would mean the type that the function becomes.
            if let FnArg::Typed(parameter) = input
                && is_named(parameter, &signature.ident)
            {
                *parameter.pat = syn::parse_quote!(_);
            }
        }
        let asyncness = signature.asyncness.or_else(|| Some(Token![async](signature.fn_token.span)));
        Signature { asyncness, constness: None, safety: Safety::Default, abi: None, ..signature }
    }

    /// The type, with everything that describes the function.
    fn declaration(&self) -> TokenStream {
        let Function { visibility, signature, .. } = self.function;
        let name = &signature.ident;
        let attributes = self.attributes(|path| is_on_type(path) || is_on_every_item(path));
        quote_spanned! {generated_at(name)=>
            #(#attributes)*
            #[allow(non_camel_case_types, dead_code, clippy::exhaustive_structs)]
            #[derive(Clone, Copy, Debug)]
            #visibility struct #name;
        }
    }

    fn implementation(
        &self,
        input_type: &TokenStream,
        output: &TokenStream,
        context: &TokenStream,
        input: &TokenStream,
        call: &TokenStream,
    ) -> TokenStream {
        let Function { signature, body, .. } = self.function;
        let name = &signature.ident;
        let runtime = self.runtime.at(generated_at(name));
        let stored_name = self.options.name.as_ref().map_or_else(|| unraw(name), |given| given.value.clone());
        let version = Literal::u32_unsuffixed(self.options.version.as_ref().map_or(1, |given| given.value));
        let fingerprint = Literal::u64_unsuffixed(fingerprint(signature, &body.to_token_stream()));
        let on_change = match &self.options.on_change {
            Some(Given { value: OnChange::Resume, .. }) => quote!(Resume),
            Some(Given { value: OnChange::Halt, .. }) | None => quote!(Halt),
        };
        let sites = self.sites.iter().map(|Site { name: step, line }| {
            let line = Literal::u32_unsuffixed(*line);
            quote_spanned! {generated_at(name)=>
                #runtime::CallSite { name: #step, file: ::core::file!(), line: #line }
            }
        });
        // Only if it may: most functions can't.
        let may_undo = may_undo(body.to_token_stream(), self.shape.context.as_ref())
            .then(|| quote_spanned!(generated_at(name)=> const MAY_UNDO: bool = true;));
        let everywhere = self.attributes(is_on_every_item);
        quote_spanned! {generated_at(name)=>
            #(#everywhere)*
            #[allow(deprecated)]
            impl #runtime::DurableFunction for #name {
                type Input = #input_type;
                type Output = #output;
                const NAME: &'static str = #stored_name;
                const VERSION: u32 = #version;
                const FINGERPRINT: u64 = #fingerprint;
                const MODULE: &'static str = ::core::module_path!();
                const ON_CHANGE: #runtime::OnChange = #runtime::OnChange::#on_change;
                const CALL_SITES: &'static [#runtime::CallSite] = &[#(#sites),*];
                #may_undo

                fn call(
                    #context: #runtime::Context,
                    #input: Self::Input,
                ) -> ::std::pin::Pin<
                    ::std::boxed::Box<dyn ::core::future::Future<Output = Self::Output> + ::core::marker::Send>,
                > {
                    #call
                }
            }
        }
    }

    fn attributes(&self, is_wanted: impl Fn(&str) -> bool) -> Vec<&Attribute> {
        let name = |attribute: &Attribute| attribute.path().get_ident().map(ToString::to_string).unwrap_or_default();
        self.function.attributes.iter().filter(|attribute| is_wanted(&name(attribute))).collect()
    }
}

/// What keeps the parameters that are there to be kept, such as `_permit`, to the end of the future: a block does not
/// take what it does not mention. None for the context.
fn unused_parameters(signature: &Signature) -> Option<TokenStream> {
    let unused = signature.inputs.iter().skip(1).filter_map(|parameter| match parameter {
        FnArg::Typed(parameter) => match &*parameter.pat {
            Pat::Ident(name) if name.ident.to_string().starts_with('_') => Some(&name.ident),
            _ => None,
        },
        FnArg::Receiver(_) => None,
    });
    let unused: Vec<&Ident> = unused.collect();
    let site = generated_at(&signature.ident);
    (!unused.is_empty())
        .then(|| quote_spanned!(site=> #[allow(clippy::used_underscore_binding)] let _ = (#(&#unused,)*);))
}

/// True for a type that can't be written in an expression.
fn is_opaque(output: &TokenStream) -> bool {
    output.clone().into_iter().any(|token| match token {
        TokenTree::Ident(word) => word == "impl",
        TokenTree::Group(group) => is_opaque(&group.stream()),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

/// True for an attribute that may belong to another macro.
fn may_be_macro(attribute: &Attribute) -> bool {
    let name = attribute.path().get_ident().map(ToString::to_string);
    let is_tool = || ["clippy", "diagnostic", "rustfmt"].iter().any(|tool| attribute.path().segments[0].ident == tool);
    match name.as_deref() {
        Some("expect" | "inline" | "cold" | "track_caller") => false,
        Some(name) => !(is_on_type(name) || is_on_every_item(name)),
        None => !is_tool(),
    }
}

/// True for an attribute that describes the function to its users.
fn is_on_type(attribute: &str) -> bool {
    matches!(attribute, "doc" | "deprecated" | "must_use")
}

/// True for an attribute that decides about the function as a whole: whether it is there, and which lints it has.
fn is_on_every_item(attribute: &str) -> bool {
    matches!(attribute, "cfg" | "allow" | "warn" | "deny" | "forbid")
}
