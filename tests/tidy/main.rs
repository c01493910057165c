//! What neither compiler nor clippy can hold: small checks over the text of this repository.
//!
//! A check that is in the way is changed here, with its reason, or the exception is added to its list, with its reason.

mod rules;
mod source;

use std::collections::BTreeSet;

use expect_test::expect_file;
use source::{SourceFile, files, read, root, words};

/// A file is a sitting. Beyond this it is two files.
const LINES_MAX: usize = 600;
/// From here on it is listed, so that it does not come as a surprise.
const LINES_MANY: usize = 400;

/// Files that are longer than [`LINES_MAX`], each with why and how long at most.
const LONG_FILES: &[(&str, usize, &str)] =
    &[("durable-macros/src/tests.rs", 800, "one snapshot of an expansion beside the other")];

/// Where library code may panic, each with what is panicked about.
const PANICS: &[(&str, &str)] = &[
    ("durable-runtime/src/context/director.rs", "a test's fake returned what the step does not"),
    (
        "durable-runtime/src/context/shared/place.rs",
        "a misused operation has no value to return (R10); the run is halted",
    ),
    ("durable-runtime/src/context/step_context.rs", "a missing dependency; the step's panic halts the run (R8)"),
    ("durable-runtime/src/entropy.rs", "a machine without random numbers runs nothing"),
    ("durable-runtime/src/store/sled/disk.rs", "the database is there until the store is dropped"),
    ("durable-runtime/src/store/sled/fuzz.rs", "a target for fuzzing reports by panicking"),
    ("durable-runtime/src/store/sled/write.rs", "a commit record just made has less than 4 GiB"),
    ("durable-runtime/src/testing/", "a test kit reports by panicking"),
];

/// All of our code.
fn sources() -> Vec<SourceFile> {
    ["durable-macros", "durable-runtime", "examples", "tests"].map(|folder| files(folder, "rs")).concat()
}

#[test]
fn replay_is_pure() {
    let impure = ["tokio", "time", "fs", "net", "thread", "env", "process", "rand", "HashMap", "HashSet"];
    for file in files("durable-runtime/src/replay", "rs") {
        for (number, line) in file.code() {
            let found = words(line).find(|word| impure.contains(word));
            assert_eq!(found, None, "{}:{number}: replay/ is a function of journal and claims alone", file.path);
        }
    }
}

#[test]
fn every_error_code_has_a_page_and_every_page_a_code() {
    let sources = [files("durable-runtime/src", "rs"), files("durable-macros/src", "rs")].concat();
    let codes: BTreeSet<String> = sources.iter().flat_map(|file| source::error_codes(&file.text)).collect();
    let pages: BTreeSet<String> = files("docs/errors", "md").iter().filter_map(page_of).collect();
    assert_eq!(codes, pages, "left: codes in the sources, right: pages in docs/errors");
    let index = read("docs/errors/README.md");
    for code in codes {
        let page = read(&format!("docs/errors/{code}.md"));
        assert!(page.starts_with(&format!("# {code}: ")), "docs/errors/{code}.md begins with its title");
        assert!(page.contains(&format!("[{code}]")), "docs/errors/{code}.md shows an example message");
        assert!(index.contains(&format!("({code}.md)")), "docs/errors/README.md links to {code}.md");
    }
}

fn page_of(file: &SourceFile) -> Option<String> {
    let name = file.path.strip_prefix("docs/errors/")?.strip_suffix(".md")?;
    (name != "README").then(|| name.to_owned())
}

#[test]
fn files_are_short() {
    for file in [files("durable-runtime/src", "rs"), files("durable-macros/src", "rs")].concat() {
        let lines = file.text.lines().count();
        let excepted = LONG_FILES.iter().find(|(path, ..)| *path == file.path);
        let lines_max = excepted.map_or(LINES_MAX, |(_, lines_max, _)| *lines_max);
        assert!(lines <= lines_max, "{} has {lines} lines, more than {lines_max}: split it", file.path);
        assert!(excepted.is_none() || lines > LINES_MAX, "{} is short again: drop it from LONG_FILES", file.path);
        if lines > LINES_MANY {
            println!("{lines} lines: {}", file.path);
        }
    }
}

#[test]
fn the_library_panics_only_where_it_is_documented() {
    let panics = [".unwrap()", ".expect(", "panic!(", "todo!(", "unimplemented!(", "unreachable!("];
    let mut used: BTreeSet<&str> = BTreeSet::new();
    for file in files("durable-runtime/src", "rs") {
        let place = PANICS.iter().find(|(path, _)| file.path.starts_with(path));
        for (number, line) in file.code() {
            let Some(panic) = panics.iter().find(|panic| line.contains(**panic)) else { continue };
            assert!(place.is_some(), "{}:{number}: `{panic}` outside of tests; give an error instead", file.path);
            used.extend(place.map(|(path, _)| path));
        }
    }
    assert_eq!(used.len(), PANICS.len(), "PANICS has a place that no longer panics; used are {used:?}");
}

#[test]
fn the_commands_of_the_readme_are_run_by_the_gate() {
    let readme = read("README.md");
    let commands: Vec<&str> = source::code_blocks(&readme, "sh").flat_map(str::lines).map(uncommented).collect();
    assert!(!commands.is_empty(), "README.md shows no commands");
    let gate = read(".ci/run");
    let gate: BTreeSet<&str> = gate.lines().map(uncommented).collect();
    for command in commands {
        assert!(gate.contains(command), "README.md says `{command}`, .ci/run does not run it");
    }
}

/// Everybody who ends a process at a fail point goes through this list, so nothing may be missing in it.
#[test]
fn every_fail_point_is_listed_and_documented() {
    let sources = files("durable-runtime/src", "rs");
    let lines = sources.iter().flat_map(|file| file.code().map(|(_, line)| line));
    let mut in_the_source: Vec<&str> =
        lines.filter_map(|line| line.trim().strip_prefix("fail_point!(\"")?.strip_suffix("\");")).collect();
    in_the_source.sort_unstable();
    let calls = sources.iter().map(|file| file.text.matches("fail_point!(\"").count()).sum::<usize>();
    assert_eq!(in_the_source.len(), calls, "a fail point is a line of its own: `fail_point!(\"…\");`");

    let listed = durable_runtime::testing::FAIL_POINTS;
    let page = read("docs/fail-points.md");
    let (_, list) = page.split_once("\n## The list\n").expect("docs/fail-points.md has the list");
    let rows = list.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    assert!(listed.iter().copied().eq(rows), "docs/fail-points.md has the fail points in the order of FAIL_POINTS");
    let mut listed = listed.to_vec();
    listed.sort_unstable();
    assert_eq!(in_the_source, listed, "left: fail points in the sources, each once, right: FAIL_POINTS");
    for name in listed {
        let parts: Vec<&str> = name.split('.').collect();
        let is_word = |part: &&str| source::words(part).eq([*part]);
        assert!(parts.len() == 3 && parts.iter().all(is_word), "{name} is not <part>.<what>.<moment>");
    }
}

fn uncommented(line: &str) -> &str {
    line.split('#').next().unwrap_or_default().trim()
}

#[test]
fn every_example_is_in_the_readme() {
    let readme = read("README.md");
    for name in source::example_names() {
        assert!(readme.contains(&name), "README.md does not mention the example {name}");
    }
    for name in readme.split("--example ").skip(1).filter_map(|rest| words(rest).next()) {
        assert!(source::example_names().contains(name), "README.md runs the example {name}, which does not exist");
    }
}

/// Everything that is written to be read.
fn pages() -> Vec<SourceFile> {
    let outer = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"].map(SourceFile::of);
    files("docs", "md").into_iter().chain(outer).collect()
}

#[test]
fn links_lead_somewhere() {
    for page in pages() {
        let folder = root().join(&page.path).parent().expect("a page is in a folder").to_owned();
        for link in source::links(&page.text).filter(|link| !link.contains("://")) {
            let (path, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { root().join(&page.path) } else { folder.join(path) };
            assert!(target.exists(), "{}: the link to {link} leads nowhere", page.path);
            if !heading.is_empty() {
                let text = std::fs::read_to_string(&target).expect("a page");
                assert!(source::headings(&text).any(|one| one == heading), "{}: {link} names no heading", page.path);
            }
        }
    }
}

/// A name in backticks with three or more `_` is that of a function of ours, or of a program in `tests/ui`.
#[test]
fn names_in_the_docs_exist() {
    let sources = sources();
    let mut existing: BTreeSet<&str> = sources.iter().flat_map(|file| source::functions(&file.text)).collect();
    existing.extend(sources.iter().filter_map(|file| file.path.strip_suffix(".rs")?.rsplit('/').next()));
    for page in pages() {
        for name in page.text.split('`').skip(1).step_by(2).filter(|name| source::is_long_name(name)) {
            assert!(existing.contains(name), "{} names {name}, which does not exist", page.path);
        }
    }
}

/// Each section `## R<n> …` of the guarantees has a line that begins with `Tests:` and names in backticks tests that say
/// themselves that they check the rule.
#[test]
fn every_guarantee_names_tests_that_check_it() {
    let checked = rules::checked(&sources());
    let guarantees = read("docs/guarantees.md");
    let mut rules = 0;
    for section in guarantees.split("\n## ").filter(|section| section.starts_with('R')) {
        rules += 1;
        let title = section.lines().next().unwrap_or_default();
        assert!(title.starts_with(&format!("R{rules} ")), "rule {rules} is followed by {title}");
        let (_, tests) = section.split_once("\nTests: ").unwrap_or_else(|| panic!("{title} has no line `Tests: …`"));
        let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "{title} names no test");
        let rule = rules::Rule::all_in(title).into_iter().next().expect("the rule of a section");
        let tests: BTreeSet<&String> =
            checked.get(&rule).into_iter().flat_map(|files| files.values().flatten()).collect();
        for name in named {
            assert!(tests.iter().any(|test| *test == name), "{title} names {name}, which is no test that names {rule}");
        }
    }
    assert_eq!(rules, 14, "docs/guarantees.md has all rules");
}

#[test]
fn every_rule_has_tests_and_the_page_lists_them() {
    let sources = sources();
    let titles = rules::titles();
    assert_eq!(titles.len(), 28, "R1 to R14 and S1 to S14 have a title");
    for file in &sources {
        for rule in rules::named(file) {
            assert!(titles.contains_key(&rule), "{} names the rule {rule}, which does not exist", file.path);
        }
    }
    let checked = rules::checked(&sources);
    for (rule, title) in &titles {
        assert!(checked.contains_key(rule), "{rule} {title}: no test names it");
    }
    expect_file!["../../docs/rules-and-tests.md"].assert_eq(&rules::page(&sources));
}

/// Each store of the library, say `MemoryStore`, is put through the suite by a file of its name, say `memory.rs`.
#[test]
fn every_store_is_put_through_the_whole_conformance_suite() {
    let left_out: Vec<String> = rules::offered_by_the_suite().difference(&rules::suite()).cloned().collect();
    assert!(left_out.is_empty(), "`store_conformance!` leaves out {left_out:?}");
    let sources = sources();
    let users = rules::users_of_the_suite(&sources);
    // A store of a test is none of the library's.
    for file in files("durable-runtime/src", "rs").into_iter().filter(|file| !file.path.contains("/tests/")) {
        for store in file.text.split("\nimpl Store for ").skip(1).filter_map(|rest| words(rest).next()) {
            let name = format!("/{}.rs", store.trim_end_matches("Store").to_lowercase());
            assert!(users.iter().any(|user| user.path.ends_with(&name)), "no `store_conformance!` for {store}");
        }
    }
}
