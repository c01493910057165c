//! Golden journals: runs that were recorded once, and that all later code must be able to go on with.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use xxhash_rust::xxh3::xxh3_64;

use super::replay::replay_with;
use crate::engine::{Registration, Registry, Verification};
use crate::function::DurableFunction;
use crate::id::RunId;
use crate::journal::{Event, Journal, Site};
use crate::runtime::Runtime;
use crate::value;

/// The environment variable that lets golden journals be recorded, and its one value.
const VARIABLE: &str = "DURABLE_GOLDEN";
const RECORD: &str = "record";

/// The most prefixes of one journal that are replayed: of a longer one, they are spread evenly.
const PREFIXES_MAX: usize = 2_000;

/// Tells apart the files that this process is writing.
static PARTS: AtomicU64 = AtomicU64::new(0);

/// A folder of golden journals: one line in a test that fails when a change strands runs in flight.
///
/// Each file is the journal of one run, as [`Journal::to_lines`] writes it. [`replay`](Golden::replay) replays all of them
/// with the present code, and of each also every prefix, which is a run that was in flight at that point when this code
/// was deployed. No step runs.
///
/// A relative folder is one of the package that is tested, as cargo tells it in `CARGO_MANIFEST_DIR`. The folder is
/// kept in version control. Its journals are recorded with `DURABLE_GOLDEN=record cargo test`, and are never changed
/// afterwards; when no run like a journal can be in flight any more, its file is deleted.
///
/// ```no_run
/// use durable_runtime::{Context, Runtime, durable, testing};
///
/// async fn price(quantity: u32) -> u64 {
///     u64::from(quantity) * 250
/// }
///
/// #[durable]
/// async fn place_order(ctx: Context, quantity: u32) -> u64 {
///     ctx.run(price, quantity).await
/// }
///
/// // #[tokio::test]
/// async fn place_order_goes_on_with_old_runs() {
///     let runtime = Runtime::builder().in_memory().await.unwrap(); // with test doubles as dependencies
///     testing::golden("journals/place_order").run(&runtime, place_order, 3).await;
/// }
/// ```
///
/// # Panics
/// If `DURABLE_GOLDEN` has another value than `record`.
pub fn golden(folder: impl AsRef<Path>) -> Golden {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default();
    let mode = match std::env::var(VARIABLE).as_deref() {
        Err(std::env::VarError::NotPresent) | Ok("") => Mode::Replay,
        Ok(RECORD) => Mode::Record,
        other => panic!("{VARIABLE} is {other:?}: its one value is `{RECORD}`"),
    };
    Golden { folder: package.join(folder), mode }
}

/// A folder of golden journals; see [`golden`].
#[derive(Debug, Clone)]
#[must_use = "it replays nothing until `run` or `replay` is called"]
pub struct Golden {
    folder: PathBuf,
    mode: Mode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Replay,
    Record,
}

/// A journal that the present code does not go on with.
struct Failure {
    name: String,
    text: String,
}

impl Golden {
    /// Records, whatever the environment says: for tools, and for tests of tests.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use durable_runtime::{Context, Runtime, durable, testing};
    ///
    /// #[durable]
    /// async fn twice(ctx: Context, value: u32) -> u32 {
    ///     ctx.run("double", async || value * 2).await
    /// }
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let folder = folder.path().join("journals");
    /// let runtime = Runtime::builder().in_memory().await?;
    /// let golden = testing::golden(&folder).recording();
    /// assert_eq!(golden.run(&runtime, twice, 21).await, 42);
    /// assert_eq!(std::fs::read_dir(&folder)?.count(), 1);
    ///
    /// testing::golden(&folder).replay().await; // from now on, in every test
    /// # Ok(())
    /// # }
    /// ```
    pub fn recording(mut self) -> Self {
        self.mode = Mode::Record;
        self
    }

    /// Runs the function once, [records](Self::record) its journal if that is asked for, and
    /// [replays](Self::replay) the whole folder. Also replays what it just ran: code that is not deterministic fails
    /// at once. Returns what the function returned.
    ///
    /// The run's id is made of the function's name and its input.
    ///
    /// # Panics
    /// If the run does not end, or a journal does not fit the present code.
    pub async fn run<F: DurableFunction>(&self, runtime: &Runtime, function: F, input: F::Input) -> F::Output {
        let digest = value::digest(&input).unwrap_or_else(|error| panic!("the input has no digest: {error}"));
        let id = format!("golden-{}-{digest}", F::NAME);
        let run = runtime.start(&id, function, input).await.unwrap_or_else(|error| panic!("{error}"));
        let output = run.await.unwrap_or_else(|error| panic!("{error}"));
        let journal = recorded(runtime, &id).await;
        if let Some(text) = first_misfit(&journal, &Registration::of::<F>()).await {
            panic!("the function does not repeat what it has just done:{text}");
        }
        self.keep(&journal);
        self.replay().await;
        output
    }

    /// With `DURABLE_GOLDEN=record`: writes the journal of a run into the folder, and returns the file. Without, or if
    /// the folder has an equal journal, writes nothing.
    ///
    /// Equal are journals of the same events, whatever their run, times, call sites, and the version and fingerprint of
    /// the function. In the file each event has its position for a time, so that the same run gives the same
    /// file. The run may still be in flight.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use durable_runtime::{Context, Runtime, durable, testing};
    /// # #[durable]
    /// # async fn nothing_to_do(_ctx: Context) {}
    /// # let folder = tempfile::tempdir()?;
    /// # let folder = folder.path();
    /// let runtime = Runtime::builder().in_memory().await?;
    /// runtime.start("ord_1", nothing_to_do, ()).await?.await?;
    /// let golden = testing::golden(folder).recording();
    /// assert!(golden.record(&runtime, "ord_1").await.is_some());
    /// assert_eq!(golden.record(&runtime, "ord_1").await, None, "it is there already");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    /// If there is no such run, or the file can't be written.
    pub async fn record(&self, runtime: &Runtime, run: impl AsRef<str>) -> Option<PathBuf> {
        self.keep(&recorded(runtime, run.as_ref()).await)
    }

    /// Replays all journals of the folder, and all their prefixes, with the functions of this program.
    ///
    /// # Panics
    /// If the present code does not go on with one of them, or does not repeat one that has ended: the message
    /// names the files, after which event, and what differs. Also if the folder has no journals, or what is none.
    pub async fn replay(&self) {
        let registry = Registry::collect();
        let files = self.files();
        assert!(
            !files.is_empty(),
            "there are no golden journals in {}: record what the present code does, and commit it\n    {}",
            self.folder.display(),
            command()
        );
        let mut failures = Vec::new();
        for file in &files {
            let journal = read(file);
            let function = journal.function().unwrap_or_default();
            let misfit = match registry.get(function) {
                Ok(registration) => first_misfit(&journal, registration).await,
                Err(not_found) => Some(format!(
                    " the function {function} {not_found}. If it was renamed, keep its runs with #[durable(name = \"{function}\")]"
                )),
            };
            failures.extend(misfit.map(|text| Failure { name: name_of(file), text }));
        }
        assert!(failures.is_empty(), "{}", self.told(&failures, files.len()));
    }

    fn told(&self, failures: &[Failure], journals: usize) -> String {
        let (count, folder) = (failures.len(), self.folder.display());
        let mut told =
            format!("{count} of {journals} golden journals in {folder} are not what the present code does\n");
        for Failure { name, text } in failures {
            let _ = write!(told, "\n{name}:{text}\n");
        }
        let _ = write!(
            told,
            "\nRuns like these that are in flight when this code is deployed halt. If none can be there any more, delete the files, and record what the present code does:\n    {}",
            command()
        );
        told
    }

    fn keep(&self, journal: &Journal) -> Option<PathBuf> {
        let meaning = meaning(journal);
        if self.mode == Mode::Replay || self.files().iter().any(|file| self::meaning(&read(file)) == meaning) {
            return None;
        }
        let function = journal.function().unwrap_or_default();
        let function: String =
            function.chars().map(|character| if character.is_alphanumeric() { character } else { '_' }).collect();
        let hash = xxh3_64(meaning.to_lines().as_bytes()) >> 32;
        let file = self.folder.join(format!("{function}-{hash:08x}.jsonl"));
        // There at once as a whole, because tests that run at the same time read the folder.
        let part = self.folder.join(format!(
            "{function}-{hash:08x}.{}-{}.part",
            std::process::id(),
            PARTS.fetch_add(1, Ordering::Relaxed)
        ));
        let written = std::fs::create_dir_all(&self.folder)
            .and_then(|()| std::fs::write(&part, without_times(journal).to_lines()))
            .and_then(|()| std::fs::rename(&part, &file));
        written.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        Some(file)
    }

    /// The journals of the folder, in the order of their names.
    fn files(&self) -> Vec<PathBuf> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => panic!("{}: {error}", self.folder.display()),
        };
        let paths =
            entries.map(|entry| entry.unwrap_or_else(|error| panic!("{}: {error}", self.folder.display())).path());
        let mut files: Vec<PathBuf> =
            paths.filter(|path| path.extension().is_some_and(|extension| extension == "jsonl")).collect();
        files.sort();
        files
    }
}

/// Where the present code leaves the journal, if it does: the shortest prefix that it does not go on with.
async fn first_misfit(journal: &Journal, registration: &Registration) -> Option<String> {
    let length = journal.length();
    let stride = length.div_ceil(PREFIXES_MAX).max(1);
    let prefixes = (1..length).step_by(stride).chain([length]);
    for prefix in prefixes {
        if let Verification::Differs { halt } = replay_with(&journal.prefix(prefix), registration).await {
            let last = prefix.checked_sub(1).and_then(|index| journal.events.get(index));
            let last = last.map(told).unwrap_or_default();
            let mut text = format!(" after event {prefix} of {length}, {last}");
            for line in halt.to_string().lines() {
                let _ = write!(text, "\n    {line}");
            }
            return Some(text);
        }
    }
    None
}

fn told(event: &Event) -> String {
    match event.operation() {
        Some(operation) => format!("{} {}", event.name(), operation.key),
        None => event.name().to_owned(),
    }
}

/// How to record, for this test if its name is known: the harness gives it to the thread.
fn command() -> String {
    let thread = std::thread::current();
    let test = thread.name().filter(|name| *name != "main" && !name.starts_with("tokio")).unwrap_or_default();
    format!("{VARIABLE}={RECORD} cargo test {test}").trim_end().to_owned()
}

async fn recorded(runtime: &Runtime, run: &str) -> Journal {
    let journal = runtime.journal(run).await.unwrap_or_else(|error| panic!("{error}"));
    journal.unwrap_or_else(|| panic!("there is no run {run}"))
}

fn read(file: &Path) -> Journal {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    Journal::from_lines(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn name_of(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The journal with each event's position for a time.
fn without_times(journal: &Journal) -> Journal {
    let mut journal = journal.clone();
    for (event, position) in journal.events.iter_mut().zip(0..) {
        event.set_what_differs(position);
    }
    journal
}

/// What two recordings of the same have in common.
fn meaning(journal: &Journal) -> Journal {
    let mut journal = without_times(journal);
    if let Ok(run) = RunId::new("any") {
        journal.run = run;
    }
    for event in &mut journal.events {
        if let Event::Started(started) = event {
            (started.version, started.fingerprint) = (0, 0);
            // Those of the whole program: the paths that this function took are told by its steps.
            started.patches.clear();
        }
        if let Event::Recovered { code, .. } = event {
            *code = None;
        }
        if let Some(operation) = event.operation_mut() {
            operation.site = Site { file: "".into(), line: 0, column: 0 };
            // For people only, and not in journals of older versions.
            operation.arguments = None;
        }
    }
    journal
}
