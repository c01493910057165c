//! `ctx.patched("…")` and `ctx.deprecate_patch("…")`: the program is told of every patch it has.

use proc_macro2::{Group, TokenStream, TokenTree};
use quote::quote_spanned;
use syn::LitStr;

use super::{Place, Rewriter, is_punct};
use crate::diagnostics::Refusal;
use crate::paths::generated_at;

impl Rewriter<'_> {
    /// Rewrites a question for a patch at the beginning of `tokens`; returns how many tokens that is.
    pub(super) fn patch(
        &mut self,
        tokens: &[TokenTree],
        is_member: bool,
        rewritten: &mut TokenStream,
    ) -> Option<usize> {
        let [TokenTree::Ident(context), dot, TokenTree::Ident(method), TokenTree::Group(arguments), ..] = tokens else {
            return None;
        };
        let is_patch = Some(context) == self.context
            && is_punct(dot, '.')
            && (method == "patched" || method == "deprecate_patch")
            && !is_member;
        if !is_patch {
            return None;
        }
        let call: TokenStream = tokens[..4].iter().cloned().collect();
        if self.place == Place::Step {
            self.elsewhere.refuse(&call, &Refusal::PatchInsideStep { method: method.to_string() });
        }
        if let Ok(id) = syn::parse2::<LitStr>(arguments.stream()) {
            if id.value().is_empty() {
                self.elsewhere.refuse(&id, &Refusal::EmptyName);
            }
            let site = generated_at(method);
            let runtime = self.runtime.at(site);
            // Among the arguments, because a statement that begins with a block ends with it.
            let told = quote_spanned! {site=>
                {
                    #runtime::__private::inventory::submit! { #runtime::__private::Patch::new(#id) }
                    #id
                }
            };
            let mut told = Group::new(arguments.delimiter(), told);
            told.set_span(arguments.span());
            rewritten.extend(tokens[..3].iter().cloned().chain([told.into()]));
        } else {
            self.elsewhere.refuse(arguments.stream(), &Refusal::PatchIsNotLiteral { method: method.to_string() });
            rewritten.extend(call);
        }
        Some(4)
    }
}
