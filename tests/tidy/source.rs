//! Reading this repository's own text, as far as [tidy](crate) needs it: no parser, and no surprise for one who greps.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A file and where it is, from the root of the repository.
#[derive(Debug, Clone)]
pub(crate) struct SourceFile {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl SourceFile {
    pub(crate) fn of(path: &str) -> Self {
        Self { path: path.to_owned(), text: read(path) }
    }

    /// The lines of code with their numbers: without comments, and without tests.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let is_test = self.path.ends_with("tests.rs") || self.path.contains("/tests/");
        let lines = if is_test { "" } else { &*self.text };
        let lines = lines.split("\nmod tests {").next().unwrap_or_default().lines();
        (1..).zip(lines).filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is in the repository").to_owned()
}

/// A file's text.
pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The files below a folder with this extension, in the order of their paths.
pub(crate) fn files(folder: &str, extension: &str) -> Vec<SourceFile> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root().join(&folder)).unwrap_or_else(|error| panic!("{folder}: {error}")) {
            let entry = entry.expect("an entry of a folder");
            let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                folders.push(path);
            } else if entry.path().extension().is_some_and(|found| found == extension) {
                found.push(SourceFile::of(&path));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Names and words of a text.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character: char| !(character.is_alphanumeric() || character == '_')).filter(|word| !word.is_empty())
}

/// The words that look like `D0123`.
pub(crate) fn error_codes(text: &str) -> impl Iterator<Item = String> {
    let is_code = |word: &&str| {
        word.len() == 5 && word.starts_with("D0") && word.bytes().skip(1).all(|byte| byte.is_ascii_digit())
    };
    words(text).filter(is_code).map(str::to_owned)
}

/// The names behind `fn`, those of tests that a macro makes included.
pub(crate) fn functions(text: &str) -> impl Iterator<Item = &str> {
    text.split("fn ").skip(1).filter_map(|rest| words(rest).next())
}

/// Whether this can only be a name of ours: `no_step_begins_before_the_journal_is_replayed`.
pub(crate) fn is_long_name(text: &str) -> bool {
    let is_name = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    is_name && !text.starts_with('_') && text.matches('_').count() >= 2
}

/// The contents of the code blocks in this language.
pub(crate) fn code_blocks<'a>(page: &'a str, language: &str) -> impl Iterator<Item = &'a str> {
    let fence = format!("```{language}\n");
    let starts: Vec<usize> = page.match_indices(&fence).map(|(start, _)| start + fence.len()).collect();
    starts.into_iter().filter_map(|start| page[start..].split("```").next())
}

/// Where the links of a page lead.
pub(crate) fn links(page: &str) -> impl Iterator<Item = &str> {
    page.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

/// The headings of a page, as links name them.
pub(crate) fn headings(page: &str) -> impl Iterator<Item = String> {
    let is_kept = |character: &char| character.is_alphanumeric() || matches!(character, ' ' | '-' | '_');
    page.lines()
        .filter(|line| line.starts_with('#'))
        .map(move |line| line.trim_start_matches('#').trim().to_lowercase().chars().filter(is_kept).collect::<String>())
        .map(|heading| heading.replace(' ', "-"))
}

/// The example targets: files and folders in `examples/` that have a `main`.
pub(crate) fn example_names() -> BTreeSet<String> {
    let mains = files("examples", "rs").into_iter().filter(|file| file.text.contains("fn main()"));
    let name = |path: String| {
        let name = path.strip_prefix("examples/")?.split('/').next()?.trim_end_matches(".rs").to_owned();
        Some(name)
    };
    mains.filter_map(|file| name(file.path)).collect()
}
