//! Which tests check which rule: read from the tests themselves.
//!
//! A test checks the rules that it names: at the beginning of its name (`r3_…`, `s04_…`), in its doc comment, or in the
//! `//!` comment of its file. `R1 to R9` names all nine. Tests are functions under `#[test]` or `#[tokio::test]`, what
//! `tests/kill9` runs, and the functions of the stores' conformance suite.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};

use crate::source::{SourceFile, files, read, words};

const SUITE: &str = "durable-runtime/src/testing/conformance";
const PROCESS_TESTS: &str = "tests/kill9/main.rs";

/// `R3` or `S11`, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rule {
    series: char,
    number: u32,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.series, self.number)
    }
}

impl Rule {
    /// A word that is a rule's name.
    fn of(word: &str) -> Option<Self> {
        let series = word.chars().next().filter(|series| matches!(series, 'R' | 'S'))?;
        let digits = &word[1..];
        let is_number = matches!(digits.len(), 1 | 2) && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| Self { series, number: digits.parse().expect("one or two digits") })
    }

    /// The rule that a function's name begins with.
    fn of_function(name: &str) -> Option<Self> {
        Self::of(&name.split_once('_')?.0.to_uppercase())
    }

    /// The rules that a text names.
    pub(crate) fn all_in(text: &str) -> BTreeSet<Self> {
        let words: Vec<&str> = words(text).collect();
        let mut rules: BTreeSet<Self> = words.iter().filter_map(|word| Self::of(word)).collect();
        for range in words.windows(3).filter(|range| range[1] == "to") {
            if let (Some(first), Some(last)) = (Self::of(range[0]), Self::of(range[2])) {
                rules.extend((first.number..=last.number).map(|number| Self { number, ..first }));
            }
        }
        rules
    }
}

/// The rules with what they are called, from the two pages that define them.
pub(crate) fn titles() -> BTreeMap<Rule, String> {
    let mut titles = BTreeMap::new();
    for heading in read("docs/guarantees.md").lines().filter_map(|line| line.strip_prefix("## ")) {
        if let Some((rule, title)) = heading.split_once(' ').and_then(|(word, title)| Some((Rule::of(word)?, title))) {
            titles.insert(rule, title.to_owned());
        }
    }
    for row in read("docs/store-contract.md").lines().filter_map(|line| line.strip_prefix("| ")) {
        if let Some((rule, says)) = row.split_once(" | ").and_then(|(word, says)| Some((Rule::of(word)?, says))) {
            let end = [". ", ".|", ": ", "; ", " |"].iter().filter_map(|end| says.find(end)).min();
            titles.insert(rule, says[..end.unwrap_or(says.len())].to_owned());
        }
    }
    titles
}

/// The rules that the comments and the names of functions speak of.
pub(crate) fn named(file: &SourceFile) -> BTreeSet<Rule> {
    let comments = file.text.lines().filter_map(|line| line.split_once("//")).map(|(_, comment)| comment);
    let functions = crate::source::functions(&file.text).filter_map(Rule::of_function);
    comments.flat_map(Rule::all_in).chain(functions).collect()
}

/// The tests of each rule, by the file they are in.
pub(crate) fn checked(sources: &[SourceFile]) -> BTreeMap<Rule, BTreeMap<String, BTreeSet<String>>> {
    let suite = suite();
    let process_tests: BTreeSet<String> = quoted(&read(PROCESS_TESTS)).collect();
    let mut checked: BTreeMap<Rule, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for file in sources {
        let is_test = |function: &Function<'_>| {
            function.is_test
                || file.path.starts_with(SUITE) && suite.contains(function.name)
                || file.path.starts_with("tests/kill9/") && process_tests.contains(function.name)
        };
        let about: String = file.text.lines().map_while(|line| line.strip_prefix("//!")).collect::<Vec<_>>().join("\n");
        let of_file = if file.path.starts_with(SUITE) { BTreeSet::new() } else { Rule::all_in(&about) };
        for function in documented_functions(&file.text).filter(is_test) {
            let own = Rule::all_in(&function.about).into_iter().chain(Rule::of_function(function.name));
            for rule in own.chain(of_file.iter().copied()) {
                let tests = checked.entry(rule).or_default().entry(file.path.clone()).or_default();
                tests.insert(function.name.to_owned());
            }
        }
    }
    checked
}

/// What `store_conformance!` makes a test of.
pub(crate) fn suite() -> BTreeSet<String> {
    let text = read(&format!("{SUITE}/mod.rs"));
    let (_, list) = text.split_once("store_conformance! { $harness =>").expect("the list of the suite");
    words(list.split('}').next().unwrap_or_default()).map(str::to_owned).collect()
}

/// The functions that the suite offers, of which each must be in its list.
pub(crate) fn offered_by_the_suite() -> BTreeSet<String> {
    let offers = |file: SourceFile| {
        let names = documented_functions(&file.text).map(|function| function.name.to_owned());
        let names = names.filter(|name| Rule::of_function(name).is_some());
        names.collect::<Vec<_>>()
    };
    files(SUITE, "rs").into_iter().flat_map(offers).collect()
}

/// Where stores are put through the suite.
pub(crate) fn users_of_the_suite(sources: &[SourceFile]) -> Vec<&SourceFile> {
    let uses = |line: &str| {
        ["crate", "durable_runtime"].contains(&line.split("::store_conformance!(").next().unwrap_or_default().trim())
    };
    sources.iter().filter(|file| file.text.lines().any(uses)).collect()
}

/// The page that says it all.
pub(crate) fn page(sources: &[SourceFile]) -> String {
    let checked = checked(sources);
    let mut page = String::from(HEAD);
    let users: Vec<String> = users_of_the_suite(sources).iter().map(|file| format!("`{}`", file.path)).collect();
    writeln!(page, "{}.", users.join(", ")).expect("a string");
    let mut series = ' ';
    for (rule, title) in titles() {
        if rule.series != series {
            series = rule.series;
            page.push_str("\n| rule | in | tests |\n|---|---|---|\n");
        }
        let mut first = format!("{rule} {title}");
        for (path, tests) in checked.get(&rule).into_iter().flatten() {
            let tests: Vec<String> = tests.iter().map(|test| format!("`{test}`")).collect();
            writeln!(page, "| {first} | `{path}` | {} |", tests.join(", ")).expect("a string");
            first.clear();
        }
    }
    page
}

const HEAD: &str = "\
# Rules and tests

Which tests check which rule of the [guarantees](guarantees.md) (R) and of the [store contract](store-contract.md) (S).
Made from the tests themselves by `UPDATE_EXPECT=1 cargo test -p durable-tests --test tidy`; without the variable the same
command fails when this page is not up to date, when a rule has no test, or when a comment names a rule that does not
exist. A test checks the rules named at the beginning of its name (`r3_…`), in its doc comment, or in the `//!` comment of
its file.

The functions in `testing/conformance` are run against every store of the library:
";

/// A function and what stands right above it.
struct Function<'a> {
    name: &'a str,
    about: String,
    is_test: bool,
}

/// The functions of a text that begin a line. One that is ignored is no test.
fn documented_functions(text: &str) -> impl Iterator<Item = Function<'_>> {
    let mut above: Vec<&str> = Vec::new();
    text.lines().map(str::trim).filter_map(move |line| {
        if line.starts_with("///") || line.starts_with("#[") {
            above.push(line);
            return None;
        }
        let above = std::mem::take(&mut above);
        let words_before = ["pub ", "pub(crate) ", "pub(super) ", "async "];
        let mut item = line;
        while let Some(rest) = words_before.iter().find_map(|word| item.strip_prefix(word)) {
            item = rest;
        }
        let name = item.strip_prefix("fn ").filter(|name| !name.starts_with('$'))?;
        let is_marked = above.iter().any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"));
        let is_ignored = above.iter().any(|line| line.starts_with("#[ignore"));
        let about: Vec<&str> = above.into_iter().filter_map(|line| line.strip_prefix("///")).collect();
        Some(Function { name: words(name).next()?, about: about.join("\n"), is_test: is_marked && !is_ignored })
    })
}

/// The texts in quotes.
fn quoted(text: &str) -> impl Iterator<Item = String> {
    text.split('"').skip(1).step_by(2).map(str::to_owned)
}
