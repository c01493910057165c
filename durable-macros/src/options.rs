//! The options in `#[durable(…)]`.

use proc_macro2::{Ident, TokenStream};
use syn::ext::IdentExt as _;
use syn::parse::{Parse, ParseStream, Parser as _};
use syn::punctuated::Punctuated;
use syn::{Expr, ExprLit, Lit, Path, Token};

use crate::diagnostics::{Diagnostic, Diagnostics, Refusal, refused_name, unraw};
use crate::paths::ungroup;

/// What `#[durable]` says to itself when it lets other macros go first.
pub(crate) const LAST: &str = "__last";

/// The options as given; what is missing has a default.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) name: Option<Given<String>>,
    pub(crate) version: Option<Given<u32>>,
    pub(crate) on_change: Option<Given<OnChange>>,
    pub(crate) runtime: Option<Given<Path>>,
    /// The other macros on the function are done.
    pub(crate) is_last: bool,
}

/// What becomes of a run that the changed code does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnChange {
    Halt,
    Resume,
}

/// A value and the word before its `=`.
pub(crate) struct Given<T> {
    pub(crate) option: Ident,
    pub(crate) value: T,
}

impl Options {
    /// The names of all options. Each has a UI test.
    #[cfg(test)]
    pub(crate) const NAMES: [&str; 4] = ["name", "version", "on_change", "crate"];

    /// Reads the tokens between the parentheses of the attribute. A wrong option is refused and left out.
    pub(crate) fn parse(tokens: TokenStream, diagnostics: &mut Diagnostics) -> Self {
        let mut options = Self::default();
        let list = match Punctuated::<OneOption, Token![,]>::parse_terminated.parse2(tokens) {
            Ok(list) => list,
            Err(error) => {
                let place = Ident::new("error", error.span());
                let refusal = Refusal::UnknownOption { found: "this".to_owned() };
                diagnostics.extend([Diagnostic::new(place, &refusal)]);
                return options;
            }
        };
        for option in list {
            options.add(option, diagnostics);
        }
        options
    }

    fn add(&mut self, OneOption { option, value }: OneOption, diagnostics: &mut Diagnostics) {
        let text = unraw(&option);
        if text == LAST {
            self.is_last = true;
            return;
        }
        let is_given = match text.as_str() {
            "name" => self.name.is_some(),
            "version" => self.version.is_some(),
            "on_change" => self.on_change.is_some(),
            "crate" => self.runtime.is_some(),
            _ => return diagnostics.refuse(&option, &Refusal::UnknownOption { found: text }),
        };
        if is_given {
            return diagnostics.refuse(&option, &Refusal::DuplicateOption { option: text });
        }
        let Some(value) = value else {
            return diagnostics.refuse(&option, &Refusal::OptionWithoutValue { option: text });
        };
        match (text.as_str(), ungroup(&value)) {
            ("name", Expr::Lit(ExprLit { lit: Lit::Str(name), .. })) => match refused_name(&name.value()) {
                Some(refusal) => diagnostics.refuse(name, &refusal),
                None => self.name = Some(Given { option, value: name.value() }),
            },
            ("name", _) => diagnostics.refuse(&value, &Refusal::NameIsNotText),
            ("version", _) => match version(&value) {
                Some(version) => self.version = Some(Given { option, value: version }),
                None => diagnostics.refuse(&value, &Refusal::VersionIsNotNumber),
            },
            ("on_change", _) => match on_change(&value) {
                Some(on_change) => self.on_change = Some(Given { option, value: on_change }),
                None => diagnostics.refuse(&value, &Refusal::OnChangeIsUnknown),
            },
            (_, Expr::Path(path)) if path.qself.is_none() => {
                self.runtime = Some(Given { option, value: path.path.clone() });
            }
            (_, _) => diagnostics.refuse(&value, &Refusal::CrateIsNotPath),
        }
    }
}

/// `option = value`; the value is missing in `option`.
struct OneOption {
    option: Ident,
    value: Option<Expr>,
}

impl Parse for OneOption {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let option = input.call(Ident::parse_any)?;
        let has_value = input.parse::<Option<Token![=]>>()?.is_some() && !(input.is_empty() || input.peek(Token![,]));
        if has_value {
            return Ok(Self { option, value: Some(input.parse()?) });
        }
        // `option(…)` is how other attributes take values: skip it, and say how it is written here.
        if !input.is_empty() && !input.peek(Token![,]) {
            input.parse::<proc_macro2::TokenTree>()?;
        }
        Ok(Self { option, value: None })
    }
}

/// A plain number from 1; a suffix (`2u64`) is refused with the rest.
fn version(value: &Expr) -> Option<u32> {
    let Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) = ungroup(value) else { return None };
    let is_plain = number.suffix().is_empty();
    number.base10_parse().ok().filter(|version| is_plain && *version > 0)
}

fn on_change(value: &Expr) -> Option<OnChange> {
    let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = ungroup(value) else { return None };
    match text.value().as_str() {
        "halt" => Some(OnChange::Halt),
        "resume" => Some(OnChange::Resume),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use quote::{ToTokens, quote};

    use super::*;

    fn check(tokens: TokenStream) -> (Options, Vec<String>) {
        let mut diagnostics = Diagnostics::default();
        let options = Options::parse(tokens, &mut diagnostics);
        (options, diagnostics.messages())
    }

    #[test]
    fn all_options_are_read() {
        let (options, messages) =
            check(quote!(name = "orders.process", version = 3, on_change = "resume", crate = ::renamed::inner,));
        assert_eq!(messages, [""; 0]);
        assert_eq!(options.name.unwrap().value, "orders.process");
        assert_eq!(options.version.unwrap().value, 3);
        assert_eq!(options.on_change.unwrap().value, OnChange::Resume);
        assert_eq!(check(quote!(on_change = "halt")).0.on_change.unwrap().value, OnChange::Halt);
        assert_eq!(options.runtime.unwrap().value.to_token_stream().to_string(), ":: renamed :: inner");
    }

    #[test]
    fn the_runtime_may_be_the_crate_itself() {
        let (options, messages) = check(quote!(crate = crate));
        assert_eq!(messages, [""; 0]);
        assert_eq!(options.runtime.unwrap().value.to_token_stream().to_string(), "crate");
    }

    #[test]
    fn several_mistakes_are_reported_at_once_and_the_right_option_is_kept() {
        let (options, messages) = check(quote!(nmae = "x", version = 0, name, name = "a", name = "b"));
        assert_eq!(
            messages,
            [
                Refusal::UnknownOption { found: "nmae".into() }.to_string(),
                Refusal::VersionIsNotNumber.to_string(),
                Refusal::OptionWithoutValue { option: "name".into() }.to_string(),
                Refusal::DuplicateOption { option: "name".into() }.to_string(),
            ]
        );
        assert_eq!(options.name.unwrap().value, "a");
    }

    #[test]
    fn wrong_values_are_refused() {
        for (tokens, refusal) in [
            (quote!(name = 3), Refusal::NameIsNotText),
            (quote!(name = process), Refusal::NameIsNotText),
            (quote!(name = ""), Refusal::EmptyName),
            (quote!(name = "a#b"), Refusal::NameWithHash),
            (quote!(version = "2"), Refusal::VersionIsNotNumber),
            (quote!(version = 2u64), Refusal::VersionIsNotNumber),
            (quote!(version = -1), Refusal::VersionIsNotNumber),
            (quote!(version = 4294967296), Refusal::VersionIsNotNumber),
            (quote!(on_change = "Resume"), Refusal::OnChangeIsUnknown),
            (quote!(on_change = resume), Refusal::OnChangeIsUnknown),
            (quote!(on_change), Refusal::OptionWithoutValue { option: "on_change".into() }),
            (quote!(crate = "durable_runtime"), Refusal::CrateIsNotPath),
            (quote!(version(2)), Refusal::OptionWithoutValue { option: "version".into() }),
            (quote!(version = ), Refusal::OptionWithoutValue { option: "version".into() }),
            (quote!("process"), Refusal::UnknownOption { found: "this".into() }),
        ] {
            assert_eq!(check(tokens.clone()).1, [refusal.to_string()], "{tokens}");
        }
    }
}
