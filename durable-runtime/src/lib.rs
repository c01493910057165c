//! Durable functions: ordinary async Rust that continues where it stopped after a crash.
//!
//! This page is the guide; read it first. What is promised under which failure, rule by rule and test by
//! test, is in `docs/guarantees.md`; how the crate is built, in `ARCHITECTURE.md`.
//!
//! # A first run
//!
//! A durable function is an `async fn` with [`#[durable]`](durable). What it does outside itself, it does in
//! *steps*: `ctx.run(function, arguments…)`. A step's outcome is written down before anything builds on it. After a
//! crash the function is run again from the top, with the recorded outcomes in place of the steps that have
//! ended, and so arrives where it was.
//!
//! ```
//! use durable_runtime::{Context, Runtime, durable};
//!
//! async fn price(quantity: u32) -> u64 {
//!     u64::from(quantity) * 250
//! }
//!
//! async fn charge(cents: u64) -> String {
//!     format!("{cents} cents charged")
//! }
//!
//! #[durable]
//! async fn checkout(ctx: Context, quantity: u32) -> String {
//!     let cents = ctx.run(price, quantity).await;
//!     let charge = ctx.run(charge, cents).await;
//!     ctx.run("confirm", async || format!("{charge}, thank you")).await
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path().join("orders.durable");
//! let runtime = Runtime::open(&folder).await?; // continues what is unfinished, by itself
//! let run = runtime.start("ord_abc123", checkout, 3).await?; // from here on it ends, whatever happens to us
//! assert_eq!(run.await?, "750 cents charged, thank you");
//! // Start, first step, second step, and third step together with the result: four commits, one sync each.
//! assert_eq!(runtime.stats().commits, 4);
//!
//! // The same id again is the same run: the recorded result, and no step runs.
//! assert_eq!(runtime.start("ord_abc123", checkout, 3).await?.await?, "750 cents charged, thank you");
//! assert_eq!(runtime.stats().steps_executed, 3);
//! # Ok(())
//! # }
//! ```
//!
//! # Words
//!
//! | word | meaning |
//! |---|---|
//! | durable function | the definition: an `async fn` under `#[durable]` |
//! | run | one execution of it, known by its [`RunId`]: usually the business id |
//! | step | a recorded unit of outside work |
//! | attempt | one try of a step, from 1 |
//! | operation | what the code asks the runtime for: a step, a timer, a wait for a signal, a promise, a publication. Each has a *key* |
//! | timer | a recorded wait for a time |
//! | signal | a value that somebody outside sends to a run, recorded with it |
//! | promise | what somebody outside who has its id settles once: with a value, or with a refusal |
//! | publication | a value that the code shows outside while the run goes on, under a name and with a number |
//! | event | one fact in the journal |
//! | journal | a run's events, in order |
//! | checkpoint | the event that holds an operation's outcome |
//! | replay | running the code again with the journal's outcomes |
//! | recovery | finding unfinished runs and replaying them, when a store is opened |
//! | divergence | code and journal disagree |
//! | halted | stopped by the machinery, and waiting for [`Runtime::resume`] |
//!
//! # What happens after a crash
//!
//! The function is called with its recorded input. Each `ctx.run` claims the next key; a step whose outcome is
//! recorded resolves to it, in the order in which outcomes were recorded. No step's body begins before the
//! whole journal has been replayed. From there on it is an ordinary execution.
//!
//! Here the first life has no gateway, so the second step halts the run; the next life brings one:
//!
//! ```
//! # use std::sync::Arc;
//! # use std::time::Duration;
//! use durable_runtime::store::MemoryStore;
//! use durable_runtime::{Context, RunError, Runtime, StepContext, durable};
//!
//! struct Gateway;
//!
//! async fn price(quantity: u32) -> u64 {
//!     u64::from(quantity) * 250
//! }
//!
//! async fn charge(step: StepContext, cents: u64) -> String {
//!     let _gateway = step.dependency::<Gateway>(); // there is none yet
//!     format!("{cents} cents under {}", step.idempotency_key())
//! }
//!
//! #[durable]
//! async fn settle(ctx: Context, quantity: u32) -> String {
//!     let cents = ctx.run(price, quantity).await;
//!     ctx.run(charge, cents).await
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = Arc::new(MemoryStore::default());
//! let first_life = Runtime::builder().open_store(store.clone()).await?;
//! let halted = first_life.start("ord_1", settle, 3).await?.await;
//! assert!(matches!(halted, Err(RunError::Halted { .. })));
//! first_life.shutdown(Duration::from_secs(1)).await;
//!
//! let second_life = Runtime::builder().dependency(Gateway).open_store(store).await?;
//! second_life.resume("ord_1").await?;
//! assert_eq!(second_life.attach("ord_1", settle).await?.await?, "750 cents under ord_1:charge");
//! assert_eq!(second_life.stats().steps_replayed, 1); // price
//! assert_eq!(second_life.stats().steps_executed, 1); // charge
//! # Ok(())
//! # }
//! ```
//!
//! # Writing steps
//!
//! A step runs **at least once**, and exactly one outcome of it is recorded. If the process dies between the
//! effect and its record, the step runs again. So let the outside tell a repetition: pass
//! [`StepContext::idempotency_key`] to it (`ord_1:charge`: the same on every attempt, after every crash), or write
//! so that writing twice is writing once (an upsert by the business id). What can do neither runs
//! [at most once](Step::at_most_once): then the code is told if it was interrupted.
//!
//! ```
//! use std::time::Duration;
//! use durable_runtime::{Context, Failure, ResultExt, Retry, StepContext, durable};
//!
//! async fn reserve(sku: &str, count: u32) -> Result<u32, Failure> {
//!     let _stock: u32 = sku.parse().context("not a stock number").permanent()?; // never tried again
//!     Ok(count)
//! }
//!
//! async fn announce(step: StepContext, text: &str) -> Result<(), Failure> {
//!     println!("{} (attempt {}): {text}", step.idempotency_key(), step.attempt());
//!     Ok(())
//! }
//!
//! /// A helper: a part of its caller's run, called directly.
//! #[durable]
//! async fn reserve_both(ctx: &Context, first: &str, second: &str) -> Result<u32, Failure> {
//!     let (a, b) = tokio::try_join!(ctx.run(reserve, first, 1), ctx.run(reserve, second, 2))?;
//!     Ok(a + b)
//! }
//!
//! #[durable]
//! async fn shipment(ctx: Context, first: String, second: String) -> Result<u32, Failure> {
//!     let reserved = reserve_both(&ctx, &first, &second).await?;
//!     let patient = Retry::exponential(Duration::from_millis(500)).max_attempts(5);
//!     ctx.run(announce, "reserved").named("announce reservation").timeout(Duration::from_secs(5)).retry(patient).await?;
//!     // An inline step borrows what surrounds it, and may take the StepContext.
//!     let label = ctx.run("print label", async |step| format!("{}: {reserved}", step.run_id())).await;
//!     ctx.run(announce, &label).await?;
//!     Ok(reserved)
//! }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! # let runtime = durable_runtime::Runtime::builder().in_memory().await.unwrap();
//! # let run = runtime.start("s", shipment, ("7".to_owned(), "8".to_owned())).await.unwrap();
//! # assert_eq!(run.await.unwrap(), Ok(3));
//! # let keys: Vec<_> = runtime.get("s").await.unwrap().unwrap().steps.into_iter().map(|step| step.key).collect();
//! # assert_eq!(keys, ["reserve", "reserve#2", "announce reservation", "print label", "announce"]);
//! # }
//! ```
//!
//! * **Arguments** may be borrowed; there may be up to 16. They must be `Serialize` and `Clone` (references are):
//!   their digest is recorded and compared on replay, and a retry needs them again.
//! * **Results** must be [`Recorded`]: any owned type that serde can write and read. The code is given the value as it
//!   was recorded, also the first time. What can't be recorded halts the run.
//! * **Keys**: the step's name, with `#2`, `#3` … when a name comes again. They are claimed when `ctx.run` is
//!   *called*, in the order of the calls.
//! * **Concurrency** is what you know: `join!`, `try_join!`, `select!`, `join_all`, `FuturesUnordered`. Which branch won
//!   is recorded by the order of outcomes. A step that loses a race is dropped; its effect may have happened.
//!   [`Context::map`] does the same for many items, so many at a time, until enough have succeeded.
//! * **[`Retry`]**, **timeouts** ([`Step::timeout`]) and **dependencies** ([`StepContext::dependency`]) have their own
//!   pages. Attempts and the time of the next one survive restarts.
//!
//! # Waiting
//!
//! A run may wait for a month, or for a human. [`Context::sleep`] and [`Context::timeout`] last over restarts, and
//! [`Context::signal`] waits for what [`Runtime::signal`] sends, which is kept until it is asked for:
//!
//! ```
//! use std::time::Duration;
//! use durable_runtime::{Context, Runtime, durable};
//!
//! const WEEK: Duration = Duration::from_secs(7 * 86_400);
//!
//! #[durable]
//! async fn expense(ctx: Context, cents: u64) -> String {
//!     ctx.run("ask", async || ()).await;
//!     match ctx.timeout(WEEK, ctx.signal::<String>("approved by")).await {
//!         Ok(manager) => format!("{cents} cents, approved by {manager}"),
//!         Err(_) => "nobody has answered".to_owned(),
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let runtime = Runtime::builder().in_memory().await?;
//! let run = runtime.start("expense-17", expense, 119_000).await?;
//! // With an id, a click that is sent again because no answer came is the same click.
//! runtime.signal("expense-17", "approved by", &"Grace").id("click-4711").await?;
//! runtime.signal("expense-17", "approved by", &"Grace").id("click-4711").await?;
//! assert_eq!(run.await?, "119000 cents, approved by Grace");
//! # Ok(())
//! # }
//! ```
//!
//! [`Context::promise`] is for one answer: it has an [id](PromiseId) that can stand in a link, and the first who
//! [resolves](Runtime::resolve) or [rejects](Runtime::reject) it wins; whoever comes later is told so.
//!
//! A run that only waits is [suspended](RunStatus::Suspended): it leaves memory, and is replayed when its time, a signal, or
//! what somebody has made of a promise comes.
//!
//! A run that goes on for ever has [`Context::continue_as_new`]: now and then it begins its function anew with what it has come to, and its
//! journal with it.
//!
//! # Being seen from outside
//!
//! [`Context::publish`] shows a value outside while the run goes on: how far it is, or one more part of what it makes. Each is
//! recorded once, under its name and the next number, and seen when it is durable. [`Runtime::published`] reads the latest one,
//! and [`Runtime::follow`] is a stream of all, from any number on: who comes again with the next number misses nothing.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use durable_runtime::{Context, Runtime, durable};
//! use futures::TryStreamExt as _;
//!
//! # async fn write_chapter(chapter: u32) -> String { format!("chapter {chapter}") }
//! #[durable]
//! async fn writes_a_book(ctx: Context, chapters: u32) {
//!     for chapter in 1..=chapters {
//!         let text = ctx.run(write_chapter, chapter).await;
//!         ctx.publish("chapters", &text);
//!     }
//! }
//!
//! let runtime = Runtime::builder().in_memory().await?;
//! runtime.start("book-1", writes_a_book, 3).await?;
//! // What the handler of GET /books/1/chapters with `Last-Event-ID: 0` does.
//! let mut chapters = runtime.follow::<String>("book-1", "chapters", 1);
//! let mut read = Vec::new();
//! while let Some((number, text)) = chapters.try_next().await? {
//!     read.push(format!("{number}: {text}"));
//! }
//! assert_eq!(read, ["1: chapter 2", "2: chapter 3"]);
//! # Ok(())
//! # }
//! ```
//!
//! Where another system is to learn of it for certain, [`Context::emit`] records an event with the checkpoint before it, and the
//! [sink](RuntimeBuilder::sink) of its channel is called until it has taken it.
//!
//! # Code that can be replayed
//!
//! Between steps, the code must ask for the same steps in the same order, with equal arguments, whenever it is given
//! the same outcomes. What is written outside of steps happens again on every replay.
//!
//! | instead of, in a durable function | write |
//! |---|---|
//! | the clock | `ctx.now()` |
//! | `rand`, `Uuid::new_v4` | `ctx.rng()`, `ctx.uuid()` |
//! | `tokio::time::sleep`, `timeout` | `ctx.sleep`, `ctx.timeout` |
//! | environment, files, network | `ctx.run("name", async \|\| …)` |
//! | looping over a `HashMap` or `HashSet` | `BTreeMap`, `BTreeSet`, or sort first |
//! | `tokio::spawn` | `join!`, `select!`, `FuturesUnordered` inside the function |
//! | awaiting a channel or a lock | do it inside a step |
//! | `println!`, a metric | a step. `tracing` is fine: it is silent while code is repeated |
//! | changing a captured variable in an inline step | return the value from the step |
//!
//! Most of it the compiler checks. What is awaited must be a [`DurableFuture`]: a step, a helper, an `async` block, or
//! `futures`' combinators over these. What the table names does not compile where the body calls it by name
//! (`SystemTime::now`, `rand::random`, `tokio::spawn`, `println!` …), nor do `futures::select!`, a step inside an inline
//! step, and an assignment to a captured variable. `tokio::select!`, `join!` and `try_join!` poll their branches in the
//! written order (`biased;` is added). Code that something else wakes halts when that happens, and everything else is
//! noticed on replay: a [divergence](HaltReason::Divergence) halts the run before any new effect, with both places in
//! the source and what to do. `docs/determinism.md` has the contract line by line, and the escape hatches.
//!
//! # Deploying changed code
//!
//! Finished runs are never replayed. An unfinished run is replayed by the code that is there now, and goes on if that
//! asks for the recorded steps. You may change anything behind the last recorded step, the bodies of steps, and, with
//! JSON payloads, add fields: `#[serde(default)]` for what is read back; an added `Option` that is `None` does not change
//! the digest of an argument. Steps inserted, removed, renamed or given other arguments before that point halt the run,
//! unless the code keeps the old way for it: `if ctx.patched("id") { /* new */ } else { /* old */ }`
//! ([`Context::patched`]), or is to find what is recorded by the steps' names ([`OnChange::Resume`]). A run that is halted
//! goes on with the old code, or with either of these. `#[durable(version = 2)]` is recorded, shown in that message, and
//! counts as a change; it selects nothing. A renamed function keeps its runs with `#[durable(name = "its_old_name")]`.
//!
//! **Before it serves**, let the new program look at the runs that are there. [`Runtime::check`] replays every unfinished
//! journal with the present code; no step runs, and nothing is written. Open with
//! [`recover_later`](RuntimeBuilder::recover_later), so that nothing goes on before you have the answer:
//!
//! ```
//! # use std::time::Duration;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path().join("orders.durable");
//! let runtime = durable_runtime::Runtime::builder().recover_later().open(&folder).await?;
//! let check = runtime.check().await?;
//! if !check.fits() {
//!     runtime.shutdown(Duration::ZERO).await; // everything is as it was
//!     return Err(check.to_string().into()); // names each stranded run, with what differs and where
//! }
//! runtime.recover().await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`Runtime::verify`] asks it of one run: also of a halted one, before you resume it, and of one that has ended.
//!
//! **Before it is merged**, hold it with golden journals (feature `testing`): journals of real runs, recorded once, kept in
//! version control, and replayed by every later `cargo test`, each as a whole and at every prefix, as if the
//! deploy had come then:
//!
//! ```ignore
//! #[tokio::test]
//! async fn process_order_goes_on_with_old_runs() {
//!     let runtime = Runtime::builder().dependency(TestGateway).in_memory().await.unwrap();
//!     testing::golden("journals/process_order").run(&runtime, process_order, order()).await;
//! }
//! ```
//!
//! The first time, run `DURABLE_GOLDEN=record cargo test`, and commit the folder.
//!
//! # Errors
//!
//! * A **step's `Err`** is data: recorded, and returned with its type, also on replay.
//! * A **function's `Err`** is its result: the run has [failed](RunStatus::Failed), and that is final.
//! * **Failures of the machinery** (a panic, a divergence, a value that can't be recorded, the store) are never shown to
//!   the function, which could only swallow them. They halt the run: see [`Halt`], [`Runtime::resume`].
//! * **Calls of the runtime** answer with [`OpenError`], [`StartError`], [`RunError`], [`SignalError`], [`PromiseError`],
//!   [`PublishedError`], [`AdminError`].
//!
//! Every message begins with a code such as `[D0402]`; `docs/errors/` has a page for each.
//!
//! # Keeping house
//!
//! Runs are found by what was said of them when they were started ([`Start::tag`]), by status, function, time, and the
//! beginning of their ids ([`RunFilter`]). One that ended wrong can go on from any operation as a run of its own, after what was wrong was mended
//! ([`Runtime::fork`]); one can be taken to another store ([`Runtime::journal`], [`Runtime::import`]). Those that ended long ago are
//! deleted with [`Runtime::prune`], or every hour by themselves ([`RuntimeBuilder::retention`]).
//!
//! ```
//! use std::time::Duration;
//! use durable_runtime::{Context, Retention, RunFilter, RunStatus, Runtime, StepContext, durable};
//!
//! async fn ship(step: StepContext, address: &str) -> Result<String, String> {
//!     let is_again = step.run_id().as_str().ends_with("-again"); // the parcel service is back
//!     if is_again { Ok(format!("to {address}")) } else { Err("nobody answers".to_owned()) }
//! }
//!
//! #[durable]
//! async fn parcel(ctx: Context, address: String) -> Result<String, String> {
//!     ctx.run("pack", async || 2).await;
//!     ctx.run(ship, &address).await
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let runtime = Runtime::builder().in_memory().await?;
//! runtime.start("parcel-7", parcel, "Rome".to_owned()).tag("customer", "42").await?.await?.unwrap_err();
//!
//! let filter = RunFilter::new().status(RunStatus::Failed).function("parcel").tag("customer", "42");
//! for run in runtime.list(&filter, None, 100).await?.runs {
//!     let again = format!("{}-again", run.id);
//!     runtime.fork(&run.id, "ship", &again).await?; // it is packed already
//!     assert_eq!(runtime.attach(&again, parcel).await?.await?, Ok("to Rome".to_owned()));
//! }
//! assert_eq!(runtime.prune(Retention::new().failed(Duration::ZERO)).await?, 1);
//! # Ok(())
//! # }
//! ```
//!
//! # Testing your functions
//!
//! A function is right if it is right wherever the process dies. With the feature `testing`, one line tries that: at every
//! commit, before, in and after every step, once and twice, in virtual time.
//!
//! ```ignore
//! #[test]
//! fn an_order_is_charged_once_wherever_the_process_dies() {
//!     testing::explore(pay_order, order()).dependency_with(FakeGateway::default).check(|world| {
//!         assert_eq!(world.dependency::<FakeGateway>().charges(), 1);
//!     });
//! }
//! ```
//!
//! What fails is shown as the shortest schedule that fails, line by line, with a command that plays it again.
//! `testing::explore` is documented with examples that run; `docs/testing.md` has how to write and read such tests, and
//! `examples/` three programs that are tested so.
//!
//! Without it: [`RuntimeBuilder::in_memory`] needs no folder. To test a restart, keep a
//! [`MemoryStore`](store::MemoryStore) and open it again, as above. [`Runtime::stats`] tells executed from replayed steps,
//! [`Runtime::get`] shows what is recorded, and [`Runtime::journal`] gives the journal itself, as text if you like. Time is
//! injected: with a [`Clock`] of your own, hours of retries take no time; `testing::ManualClock` is one that a test moves.
//!
//! ```
//! use std::sync::atomic::{AtomicU64, Ordering};
//! use std::time::Duration;
//! use durable_runtime::{Clock, Context, Failure, Retry, Runtime, Sleep, StepContext, Timestamp, durable};
//!
//! /// Whoever sleeps moves the time.
//! #[derive(Debug, Default)]
//! struct Skipping(AtomicU64);
//!
//! impl Clock for Skipping {
//!     fn now(&self) -> Timestamp {
//!         Timestamp(self.0.load(Ordering::SeqCst))
//!     }
//!     fn sleep_until(&self, due: Timestamp) -> Sleep {
//!         self.0.fetch_max(due.0, Ordering::SeqCst);
//!         Box::pin(std::future::ready(()))
//!     }
//! }
//!
//! async fn third_time_lucky(step: StepContext) -> Result<u32, Failure> {
//!     if step.attempt() < 3 { Err(Failure::new("not yet")) } else { Ok(step.attempt()) }
//! }
//!
//! #[durable]
//! async fn patient(ctx: Context) -> Result<u32, Failure> {
//!     ctx.run(third_time_lucky).retry(Retry::fixed(Duration::from_secs(3_600))).await
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let runtime = Runtime::builder().clock(Skipping::default()).in_memory().await?;
//! assert_eq!(runtime.start("p", patient, ()).await?.await?, Ok(3));
//! let step = &runtime.get("p").await?.expect("it was started").steps[0];
//! assert_eq!(step.failed_attempts[0].error, r#"{"Err":{"message":"not yet","causes":[],"permanent":false}}"#);
//! assert_eq!(step.updated_at, Timestamp(2 * 3_600_000));
//! # Ok(())
//! # }
//! ```
//!
//! The feature `testing` has `testing::golden` and `testing::replay` for journals of your functions, see
//! [deploying changed code](#deploying-changed-code), and the conformance suite for stores of your own.
//!
//! # Starting runs
//!
//! [`Runtime::start`] can say more of a run than its function and its input: what it is to be found by, what it belongs
//! to, and when it is to begin. All of it is recorded with the run, so it holds over restarts, and none of it tells one run
//! from another: the same id with the same input attaches. [`Runtime::start_many`] starts many, which share commits.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use durable_runtime::{Context, Runtime, StepContext, durable};
//!
//! async fn send(step: StepContext, reader: &str) -> String {
//!     format!("to {reader}, X-Request-Id: {}", step.correlation_id())
//! }
//!
//! #[durable]
//! async fn reminds(ctx: Context, reader: String) -> String {
//!     ctx.run(send, &reader).await
//! }
//!
//! let runtime = Runtime::builder().in_memory().await?;
//! let readers = ["Ada", "Grace"].map(|reader| (format!("reminder-{reader}"), reader.to_owned()));
//! let reminders = runtime
//!     .start_many(reminds, readers)
//!     .tag("campaign", "spring")
//!     .correlation_id("request-9")
//!     .delay(Duration::from_millis(20)) // in the store only, until then
//!     .await;
//! for reminder in reminders {
//!     assert!(reminder?.await?.ends_with("X-Request-Id: request-9"));
//! }
//! let info = runtime.get("reminder-Ada").await?.expect("it was started");
//! assert_eq!(info.tags["campaign"], "spring");
//! assert!(info.began_at >= info.not_before);
//! # Ok(())
//! # }
//! ```
//!
//! # Not yet
//!
//! `continue_as_new`, an outbox, `PostgreSQL` and several workers.

// `#[durable]` names this crate by its path; inside it, that path is this.
#[allow(unused_extern_crates, reason = "used by the expansion in unit tests only")]
extern crate self as durable_runtime;

#[macro_use]
mod fail_point;

mod admin;
mod chance;
mod clock;
mod context;
mod emission;
mod engine;
mod entropy;
mod error;
mod failure;
mod function;
mod future;
mod halt;
mod id;
mod interrupted;
mod journal;
mod panics;
mod payload;
mod promise;
mod published;
mod queue;
mod replay;
mod retry;
mod run;
mod runtime;
pub mod schedule;
mod signal;
mod start;
mod start_many;
pub mod store;
mod sync;
#[cfg(feature = "testing")]
pub mod testing;
mod timed_out;
mod value;

pub use durable_macros::durable;
pub use emission::{DELIVERY_FUNCTION, EVENT_BYTES_MAX, Emission};

pub use admin::{
    AttemptInfo, CHECK_LIST_MAX, Check, ChildInfo, EmittedInfo, FORK_KEYS_MAX, Finding, ForkedFrom, LIST_LOOKS_MAX,
    LIST_MAX, PromiseInfo, PublishedInfo, QueueInfo, Retention, RunFilter, RunInfo, RunPage, RunSummary, RunningStep,
    SignalInfo, StepInfo, StepStatus, StoreReport, Stranded, TimerInfo,
};
pub use chance::RunRng;
pub use clock::{Clock, Sleep, SystemClock, Timestamp};
pub use context::{
    Child, ChildCancelled, Context, ContinueAsNew, Elapsed, Map, MapAll, MapAtLeast, MapFirstOk, MapTolerate, Mapped,
    PATCH_ID_BYTES_MAX, Promise, PromiseFailure, Retrying, STEP_NAME_BYTES_MAX, Signal, Step, StepContext, Timeout,
    Timer, Undo,
};
pub use engine::{Flaw, Limits, Recovery, Stats, Verification};
pub use error::{AdminError, JournalError, OpenError, PromiseError, RunError, SignalError, StartError};
pub use failure::{FAILURE_CAUSES_MAX, FAILURE_MESSAGE_BYTES_MAX, Failure, ResultExt};
pub use function::{CallSite, DurableFunction, OnChange};
pub use future::{BoxDurableFuture, DurableFuture, DurableStream};
pub use halt::{Halt, HaltReason};
pub use id::{Fence, InvalidPromiseId, InvalidRunId, Position, PromiseId, RUN_ID_BYTES_MAX, RunId};
pub use interrupted::Interrupted;
pub use journal::Journal;
pub use payload::{Codec, PAYLOAD_BYTES_MAX, Payload, PayloadError};
pub use published::{Follow, PublishedError};
pub use queue::{QUEUE_KEY_BYTES_MAX, QUEUE_NAME_BYTES_MAX, Queue, QueueStats};
pub use replay::PromiseState;
pub use retry::{Always, DelayFrom, Retry, RetryOn};
pub use run::Run;
pub use runtime::{Runtime, RuntimeBuilder, Shutdown};
pub use schedule::{CATCH_UP_MAX, CatchUp, Cron, InvalidCron, Overlap, SCHEDULE_NAME_BYTES_MAX, Schedule};
pub use signal::{SIGNAL_ID_BYTES_MAX, SendSignal, SignalSent};
pub use start::{CORRELATION_ID_BYTES_MAX, Start, TAG_NAME_BYTES_MAX, TAG_VALUE_BYTES_MAX, TAGS_MAX};
pub use start_many::{START_BATCH_MAX, StartMany};
pub use store::{Durability, RunStatus};
pub use timed_out::TimedOut;
pub use value::Recorded;
pub use value::digest::Digest;

/// What `#[durable]` expands to. Not for use by hand: anything here may change at any time.
#[doc(hidden)]
pub mod __private {
    pub use inventory;

    pub use crate::context::callee::*;
    pub use crate::context::patch::Patch;
    pub use crate::engine::Registration;
    pub use crate::future::{Awaited, Block, block, checked};
}

/// The code of the README, compiled and run with the other examples.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
