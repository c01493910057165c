//! Stage 4: from the checked parts to the code that takes the function's place.

use proc_macro2::{Ident, Literal, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{Attribute, ReturnType, Safety, Signature};

use crate::check::{Kind, Shape, check, check_helper_options};
use crate::diagnostics::{Diagnostics, unraw};
use crate::fingerprint::fingerprint;
use crate::options::Options;
use crate::parse::{Function, parse};
use crate::paths::{self, generated_at};
use crate::rewrite::rewrite;

/// The whole macro: `#[durable(options)] item`.
pub(crate) fn durable(options: TokenStream, item: &TokenStream) -> TokenStream {
    let mut diagnostics = Diagnostics::default();
    let options = Options::parse(options, &mut diagnostics);
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
    if shape.kind == Kind::Helper {
        check_helper_options(&options, &mut diagnostics);
    }
    let runtime = paths::runtime(options.runtime.as_ref().map(|given| &given.value));
    let rewritten = rewrite(&function.body, shape.context.as_ref(), &runtime);
    diagnostics.extend(rewritten.elsewhere);

    let expansion = Expansion { function: &function, shape: &shape, options: &options, runtime: &runtime };
    let code = match (refused.take_first(), shape.kind) {
        (None, Kind::Durable) => expansion.durable(&rewritten.body),
        (None, Kind::Helper) => expansion.helper(&rewritten.body),
        (Some(first), kind) => {
            diagnostics.extend(refused);
            diagnostics.extend(rewritten.in_place);
            match kind {
                Kind::Durable => expansion.durable_fallback(&first.in_place()),
                Kind::Helper => expansion.helper_fallback(&first.in_place()),
            }
        }
    };
    let errors = diagnostics.items();
    quote!(#code #errors)
}

/// Everything that the code is made from.
struct Expansion<'a> {
    function: &'a Function,
    shape: &'a Shape,
    options: &'a Options,
    runtime: &'a TokenStream,
}

impl Expansion<'_> {
    /// A helper stays the function it is.
    fn helper(&self, body: &TokenStream) -> TokenStream {
        let Function { attributes, visibility, signature, .. } = self.function;
        quote!(#(#attributes)* #visibility #signature #body)
    }

    /// A durable function becomes a type of the same name that knows how to run it.
    fn durable(&self, body: &TokenStream) -> TokenStream {
        let Function { signature, .. } = self.function;
        let runtime = self.runtime;
        let name = &signature.ident;
        let site = generated_at(name);
        let parameters: Vec<Ident> =
            (0..self.shape.inputs.len()).map(|index| format_ident!("__p{index}", span = site)).collect();
        let inputs = &self.shape.inputs;
        let (input_type, input) = match (inputs.as_slice(), parameters.as_slice()) {
            ([only], [parameter]) => (only.to_token_stream(), parameter.to_token_stream()),
            _ => (quote_spanned!(site=> (#(#inputs),*)), quote_spanned!(site=> (#(#parameters),*))),
        };
        let output = match &signature.output {
            ReturnType::Default => quote_spanned!(site=> ()),
            ReturnType::Type(_, output) => output.to_token_stream(),
        };
        // Not the user's name: inside of the body that must go on to mean the type, as it does everywhere else.
        let inner = Signature { ident: format_ident!("__{}", unraw(name), span = name.span()), ..signature.clone() };
        let inner_name = &inner.ident;
        let attributes = self.attributes(|path| !is_on_type(path) && !is_on_every_item(path));
        let call = quote_spanned! {site=>
            #(#attributes)*
            #[allow(clippy::unused_async)]
            #inner #body
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

    /// What stands in for a durable function with a refused signature: a type that can be used like the right one, so
    /// that the refusal is the only error. `error` has every type.
    fn durable_fallback(&self, error: &TokenStream) -> TokenStream {
        let site = generated_at(&self.function.signature.ident);
        let declaration = self.declaration();
        let refused = quote_spanned!(site=> __Refused);
        let unused = quote_spanned!(site=> _);
        let call = quote_spanned!(site=> loop {});
        let implementation = self.implementation(&refused, &refused, &unused, &unused, &call);
        let everywhere = self.attributes(is_on_every_item);
        quote_spanned! {site=>
            #declaration
            #(#everywhere)*
            const _: () = {
                type #refused = #error;
                #implementation
            };
        }
    }

    /// What stands in for a helper with a refused signature. Its result has every type.
    fn helper_fallback(&self, error: &TokenStream) -> TokenStream {
        let Function { attributes, visibility, signature, .. } = self.function;
        let site = generated_at(&signature.ident);
        let signature = Signature {
            constness: None,
            asyncness: None,
            safety: Safety::Default,
            abi: None,
            output: ReturnType::Default,
            ..signature.clone()
        };
        quote_spanned! {site=>
            #(#attributes)*
            #[allow(unused, clippy::all, clippy::pedantic)]
            #visibility #signature -> #error { loop {} }
        }
    }

    /// The type, with everything that describes the function.
    fn declaration(&self) -> TokenStream {
        let Function { visibility, signature, .. } = self.function;
        let name = &signature.ident;
        let attributes = self.attributes(|path| is_on_type(path) || is_on_every_item(path));
        quote_spanned! {generated_at(name)=>
            #(#attributes)*
            #[allow(non_camel_case_types, dead_code)]
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
        let runtime = self.runtime;
        let name = &signature.ident;
        let stored_name = self.options.name.as_ref().map_or_else(|| unraw(name), |given| given.value.clone());
        let version = Literal::u32_unsuffixed(self.options.version.as_ref().map_or(1, |given| given.value));
        let fingerprint = Literal::u64_unsuffixed(fingerprint(signature, &body.to_token_stream()));
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

/// True for an attribute that describes the function to its users.
fn is_on_type(attribute: &str) -> bool {
    matches!(attribute, "doc" | "deprecated" | "must_use")
}

/// True for an attribute that decides about the function as a whole: whether it is there, and which lints it has.
fn is_on_every_item(attribute: &str) -> bool {
    matches!(attribute, "cfg" | "allow" | "warn" | "deny" | "forbid")
}
