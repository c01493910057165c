//! `ctx.continue_as_new(…)`: the function that goes on, and its input, are those of the function that it is written in.

use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};
use quote::{ToTokens as _, quote_spanned};
use syn::parse::Parser as _;
use syn::punctuated::Punctuated;
use syn::{Expr, Token};

use super::{Place, Rewriter, is_member, is_punct};
use crate::diagnostics::{Diagnostics, Refusal, unraw};
use crate::paths::generated_at;

/// What a durable function is started with.
#[derive(Clone, Copy)]
pub(crate) struct Starts<'a> {
    pub(crate) function: &'a Ident,
    /// How many parameters are behind the context.
    pub(crate) inputs: usize,
}

impl Rewriter<'_> {
    /// Writes `ctx.continue_as_new(a, b)` at `index` as `ctx.continue_as_new::<function>((a, b))`, and returns how many tokens it is.
    /// `None` if there is none, or one that names its function.
    pub(super) fn continues(
        &mut self,
        tokens: &[TokenTree],
        index: usize,
        rewritten: &mut TokenStream,
    ) -> Option<usize> {
        let [TokenTree::Ident(context), dot, TokenTree::Ident(method), TokenTree::Group(arguments), ..] =
            &tokens[index..]
        else {
            return None;
        };
        let is_call = Some(context) == self.context && is_punct(dot, '.') && method == "continue_as_new";
        let is_here = self.place == Place::Body && arguments.delimiter() == Delimiter::Parenthesis;
        if !is_call || !is_here || is_member(&tokens[..index]) {
            return None;
        }
        let mut refused = Diagnostics::default();
        let given = Punctuated::<Expr, Token![,]>::parse_terminated.parse2(arguments.stream());
        match (self.starts, given) {
            (None, _) => refused.refuse(method, &Refusal::ContinuesInHelper),
            (Some(_), Err(error)) => {
                refused.refuse(arguments, &Refusal::UnreadableArguments { problem: error.to_string() });
            }
            (Some(Starts { function, inputs }), Ok(given)) if given.len() != inputs => {
                let (function, wanted, given) = (unraw(function), inputs.to_string(), given.len().to_string());
                refused.refuse(arguments, &Refusal::ContinuesWithOthers { function, wanted, given });
            }
            (Some(Starts { function, inputs }), Ok(_)) => {
                let mut input = self.group(arguments);
                if inputs != 1 {
                    // One value: the tuple of all.
                    let mut whole = Group::new(Delimiter::Parenthesis, input.into_token_stream());
                    whole.set_span(arguments.span());
                    input = whole;
                }
                let site = generated_at(method);
                rewritten.extend(quote_spanned!(site=> #context #dot #method::<#function> #input));
                return Some(4);
            }
        }
        rewritten.extend(self.refused(refused));
        Some(4)
    }
}
