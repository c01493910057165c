//! What the `use` declarations and the items of a block name.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use proc_macro2::{Delimiter, TokenTree};

use crate::diagnostics::unraw;
use crate::nondeterminism::path::{Path, is_colons};
use crate::rewrite::is_punct;

/// The names that one block declares. They hold in the whole block, also before their declaration.
#[derive(Debug, Default)]
pub(super) struct Imports {
    /// What a name stands for.
    pub(super) names: BTreeMap<String, Path>,
    /// The modules whose names are all imported.
    pub(super) globs: Vec<Path>,
    /// The items of the block itself; a macro's name ends with `!`.
    pub(super) items: BTreeSet<String>,
    /// Where the declarations are: no code.
    pub(super) declarations: Vec<Range<usize>>,
}

impl Imports {
    /// Reads the declarations among the tokens of a block.
    pub(super) fn read(tokens: &[TokenTree]) -> Self {
        let mut imports = Self::default();
        for (index, token) in tokens.iter().enumerate() {
            let TokenTree::Ident(word) = token else { continue };
            let rest = &tokens[index + 1..];
            match (word.to_string().as_str(), rest) {
                // `impl Trait + use<'a>` is no declaration.
                ("use", [next, ..]) if !is_punct(next, '<') => {
                    let length = rest.iter().position(|token| is_punct(token, ';')).unwrap_or(rest.len());
                    imports.tree(&Path { is_global: false, segments: Vec::new() }, &rest[..length]);
                    imports.declarations.push(index..index + 1 + length);
                }
                ("type", [TokenTree::Ident(name), equals, target @ ..]) if is_punct(equals, '=') => {
                    if let Some((path, _)) = Path::read(target) {
                        imports.names.insert(unraw(name), path);
                    } else {
                        imports.items.insert(unraw(name));
                    }
                }
                ("fn" | "mod" | "struct" | "enum" | "union" | "trait" | "type" | "const" | "static", rest) => {
                    if let Some(TokenTree::Ident(name)) = rest.first() {
                        imports.items.insert(unraw(name));
                    }
                }
                ("macro_rules", [bang, TokenTree::Ident(name), ..]) if is_punct(bang, '!') => {
                    imports.items.insert(format!("{}!", unraw(name)));
                }
                _ => {}
            }
        }
        imports
    }

    /// Adds one tree of a `use` declaration, which continues `prefix`.
    fn tree(&mut self, prefix: &Path, tokens: &[TokenTree]) {
        let mut path = prefix.clone();
        let mut rest = tokens;
        if is_colons(rest) {
            path.is_global |= path.segments.is_empty();
            rest = &rest[2..];
        }
        while let [TokenTree::Ident(name), after @ ..] = rest
            && is_colons(after)
        {
            path.segments.push(unraw(name));
            rest = &after[2..];
        }
        match rest {
            [TokenTree::Group(group)] if group.delimiter() == Delimiter::Brace => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                for tree in inner.split(|token| is_punct(token, ',')) {
                    self.tree(&path, tree);
                }
            }
            [star] if is_punct(star, '*') => self.globs.push(path),
            [TokenTree::Ident(name), renamed @ ..] => {
                let name = unraw(name);
                // `{self}` is the module before it.
                if name != "self" || path.segments.is_empty() {
                    path.segments.push(name);
                }
                let alias = match renamed {
                    [TokenTree::Ident(word), TokenTree::Ident(alias)] if word == "as" => Some(unraw(alias)),
                    _ => path.segments.last().cloned(),
                };
                self.names.extend(alias.map(|alias| (alias, path)));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, names: &[(&str, &str)], globs: &[&str], items: &[&str]) {
        let tokens: Vec<TokenTree> = source.parse::<proc_macro2::TokenStream>().unwrap().into_iter().collect();
        let imports = Imports::read(&tokens);
        let text = |path: &Path| format!("{}{}", if path.is_global { "::" } else { "" }, path.segments.join("::"));
        let found: Vec<(String, String)> =
            imports.names.iter().map(|(name, path)| (name.clone(), text(path))).collect();
        let found: Vec<(&str, &str)> = found.iter().map(|(name, path)| (&**name, &**path)).collect();
        assert_eq!(found, names, "{source}");
        assert_eq!(imports.globs.iter().map(text).collect::<Vec<_>>(), globs, "{source}");
        assert_eq!(imports.items.iter().collect::<Vec<_>>(), items, "{source}");
    }

    #[test]
    fn every_form_of_use_is_read() {
        check("use std::time;", &[("time", "std::time")], &[], &[]);
        check("use ::std::time::Instant as Clock;", &[("Clock", "::std::time::Instant")], &[], &[]);
        check(
            "pub(crate) use std::{time::{self, SystemTime as Clock,}, env, fs::*};",
            &[("Clock", "std::time::SystemTime"), ("env", "std::env"), ("time", "std::time")],
            &["std::fs"],
            &[],
        );
        check("use std::fs::{self as files};", &[("files", "std::fs")], &[], &[]);
        check("use {std::fs, ::rand::random};", &[("fs", "std::fs"), ("random", "::rand::random")], &[], &[]);
        check("use r#mod::r#fn;", &[("fn", "mod::fn")], &[], &[]);
        check("use rand::*; use super::*;", &[], &["rand", "super"], &[]);
        check("use", &[], &[], &[]);
        check("let f: impl Fn() + use<'a>;", &[], &[], &[]);
    }

    #[test]
    fn items_and_aliases_are_read() {
        check(
            "type Clock = std::time::SystemTime; async fn sleep() {} mod time {} struct S; macro_rules! p { () => {} }",
            &[("Clock", "std::time::SystemTime")],
            &[],
            &["S", "p!", "sleep", "time"],
        );
    }

    #[test]
    fn declarations_are_no_code() {
        let tokens: Vec<TokenTree> =
            "a; use b::c; d".parse::<proc_macro2::TokenStream>().unwrap().into_iter().collect();
        assert_eq!(Imports::read(&tokens).declarations.first(), Some(&(2..7)));
    }
}
