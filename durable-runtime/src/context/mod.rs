//! What user code holds: the [`Context`] of a run, the [`Step`]s it asks for, and the [`StepContext`]
//! that a step's body gets.

mod answers;
pub(crate) mod callee;
mod child;
mod continuing;
#[cfg(feature = "testing")]
pub(crate) mod director;
mod emit;
mod fallible;
mod map;
mod outside;
pub(crate) mod patch;
mod promise;
mod publish;
mod retrying;
mod scope;
mod shared;
mod signal;
mod step;
mod step_context;
mod suspension;
mod timer;
mod undo;
mod wakes;
mod work;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

pub(crate) use answers::{Stop, Wants};
pub use child::{Child, ChildCancelled};
pub use continuing::ContinueAsNew;
#[cfg(feature = "testing")]
pub(crate) use director::{Attempt, Cue, Director};
pub(crate) use map::MayFail;
pub use map::{Map, MapAll, MapAtLeast, MapFirstOk, MapTolerate, Mapped};
pub use patch::PATCH_ID_BYTES_MAX;
pub use promise::{Promise, PromiseFailure};
pub use retrying::Retrying;
pub(crate) use scope::Scope;
pub use shared::STEP_NAME_BYTES_MAX;
pub(crate) use shared::{
    AtWork, Born, ChildStart, Environment, Named, Received, RunShared, Waits, check_name, delivery,
};
pub use signal::Signal;
pub use step::Step;
pub(crate) use step_context::Dependencies;
pub use step_context::StepContext;
pub(crate) use step_context::idempotency_key;
pub(crate) use suspension::{Origin, Suspension};
pub use timer::{Elapsed, Timeout, Timer};
pub use undo::Undo;
pub(crate) use undo::{Ended, Planned};
pub(crate) use wakes::BodyWakes;

use self::callee::{Asked, Called, StepKind};
use crate::chance::RunRng;
use crate::clock::Timestamp;
use crate::future::DurableFuture;
use crate::journal::Arguments;
use crate::retry::{Retry, RetryOn};
use crate::{Recorded, RunId};

/// A durable function's hold on its run: the first parameter of every `#[durable]` function.
///
/// Inside such a function, `ctx.run(callee, arguments…)` is a *step*: it runs once, its outcome is
/// recorded, and after a crash the function is run again from the top with the recorded outcomes.
/// `#[durable]` rewrites that call, so that arguments may be borrowed and their number is free; the
/// call yields a [`Step`], which is a future.
///
/// * `ctx.run(charge_card, &order, total)` calls `charge_card(&order, total)`, or, if it takes a
///   leading [`StepContext`], `charge_card(step, &order, total)`.
/// * `ctx.run("label", async || { … })` is an inline step. Its body borrows what surrounds it and does
///   not run on replay.
///
/// # Undoing
///
/// `ctx.undo(refund, &charge)` plans a step, in the same spelling, that is run only if the function returns an `Err` or the run is
/// [cancelled](crate::Runtime::cancel): what was planned last comes first, and each is run to its end before the next one. Nothing is to be
/// awaited; what can be said of the step is at [`Undo`]. Arguments that are written as borrowed (`&charge`) are cloned, because they outlive the
/// function's code; others must not borrow: write `&*text` for a `text: &str`.
///
/// A step that undoes is tried again when it fails: after 1 s, then twice as long each time, up to 5 min, 20 times in all, if nothing else is said with
/// [`retry`](Undo::retry). When that is used up, the run is halted ([`HaltReason::NotUndone`](crate::HaltReason::NotUndone)), and the step
/// is tried again when the run is resumed.
///
/// It is planned from where it is written on, and that is durable before any later step begins. If a step may have had its effect without returning, because the run
/// is cancelled while it is under way, plan before it what finds out by itself whether there is something to undo.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use durable_runtime::{Context, Failure, Runtime, durable};
///
/// async fn charge(order: &str) -> Result<String, Failure> {
///     Ok(format!("charge of {order}"))
/// }
///
/// async fn refund(charge: &str) {
///     println!("{charge} is given back");
/// }
///
/// async fn ship(order: &str) -> Result<(), Failure> {
///     Err(Failure::new(format!("{order} is out of stock")))
/// }
///
/// #[durable]
/// async fn charges_and_ships(ctx: Context, order: String) -> Result<(), Failure> {
///     let charge = ctx.run(charge, &order).await?;
///     ctx.undo(refund, &charge);
///     ctx.run(ship, &order).await
/// }
///
/// let runtime = Runtime::builder().in_memory().await?;
/// let failed = runtime.start("ord_1", charges_and_ships, "ord_1".to_owned()).await?.await?.unwrap_err();
/// assert_eq!(failed.to_string(), "ord_1 is out of stock");
/// let steps = runtime.get("ord_1").await?.expect("it was started").steps;
/// assert!(steps.iter().any(|step| step.key == "refund" && step.output.is_some()));
/// # Ok(())
/// # }
/// ```
///
/// # Keys
///
/// A key is claimed when `ctx.run` is called, not when its future is first polled: the step's name,
/// with `#2`, `#3` … for later claims of the same name in the same run.
///
/// ```
/// use durable_runtime::{Context, durable};
///
/// async fn double(number: u32) -> u32 {
///     number * 2
/// }
///
/// #[durable]
/// async fn quadruple(ctx: Context, number: u32) -> u32 {
///     let twice = ctx.run(double, number).await;
///     ctx.run(double, twice).await
/// }
/// ```
#[derive(Clone)]
pub struct Context {
    shared: Arc<RunShared>,
    planned: Planned,
}

impl Context {
    pub(crate) fn new(shared: Arc<RunShared>) -> Self {
        Self { shared, planned: Planned::default() }
    }

    /// What the code does behind this: see [`Planned::follow`].
    pub(crate) fn follow<T>(
        &self,
        code: impl Future<Output = T> + Send,
        has_failed: impl Fn(&T) -> bool,
    ) -> impl Future<Output = Ended<T>> {
        self.planned.clone().follow(Arc::clone(&self.shared), code, has_failed)
    }

    /// The id of this run. Where a [fork](crate::Runtime::fork) repeats what it was forked from, it is that run's: the code
    /// asks for the same again.
    ///
    /// ```
    /// use durable_runtime::{Context, durable};
    ///
    /// #[durable]
    /// async fn who_am_i(ctx: Context) -> String {
    ///     ctx.run_id().as_str().to_owned()
    /// }
    /// ```
    pub fn run_id(&self) -> &RunId {
        self.shared.told().0
    }

    /// What this run belongs to, together with others: what [`Start::correlation_id`](crate::Start::correlation_id) said,
    /// else the run's own id. The same in every life of the run.
    ///
    /// ```
    /// use durable_runtime::{Context, durable};
    ///
    /// #[durable]
    /// async fn what_for(ctx: Context) -> String {
    ///     ctx.correlation_id().to_owned()
    /// }
    /// ```
    pub fn correlation_id(&self) -> &str {
        self.shared.correlation_id()
    }

    /// The time, as far as the run knows it: when the newest outcome that the code was told was recorded, or when the run
    /// was started.
    ///
    /// It is read from the journal, so a replay sees the same, and it never goes back. It stands still between one
    /// outcome and the next; what the clock says while a step runs is for the step to read.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use durable_runtime::{Context, Runtime, durable};
    ///
    /// #[durable]
    /// async fn sleeps_and_looks(ctx: Context) -> Duration {
    ///     let before = ctx.now();
    ///     ctx.sleep(Duration::from_millis(20)).await;
    ///     ctx.now().since(before)
    /// }
    ///
    /// let runtime = Runtime::builder().in_memory().await?;
    /// let slept = runtime.start("s-1", sleeps_and_looks, ()).await?.await?;
    /// assert!(slept >= Duration::from_millis(20));
    /// # Ok(())
    /// # }
    /// ```
    pub fn now(&self) -> Timestamp {
        self.shared.check_place(&"`ctx.now()`");
        self.shared.now()
    }

    /// Random numbers that a replay repeats: another sequence with each call.
    ///
    /// Nothing is recorded for it. Which sequence it is, is told by the run's seed and by how many calls of `rng` and
    /// [`uuid`](Self::uuid) were before this one: a call that is inserted before others changes what those draw, so
    /// insert it behind [`patched`](Self::patched) where runs are under way.
    ///
    /// ```
    /// use durable_runtime::{Context, durable};
    /// use rand::RngExt as _;
    ///
    /// #[durable]
    /// async fn rolls_a_die(ctx: Context) -> u32 {
    ///     ctx.rng().random_range(1..=6)
    /// }
    /// ```
    #[must_use]
    pub fn rng(&self) -> RunRng {
        self.shared.check_place(&"`ctx.rng()`");
        let (seed, call) = self.shared.draw();
        RunRng::new(seed, call)
    }

    /// A random id (version 4) that a replay repeats; as [`rng`](Self::rng) is.
    ///
    /// ```
    /// use durable_runtime::{Context, durable};
    ///
    /// #[durable]
    /// async fn names_an_order(ctx: Context) -> String {
    ///     ctx.uuid().to_string()
    /// }
    /// ```
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        self.shared.check_place(&"`ctx.uuid()`");
        let (seed, call) = self.shared.draw();
        RunRng::new(seed, call).uuid()
    }

    /// Waits so long, counted from [`now`](Self::now), across restarts.
    ///
    /// Its key is `sleep`. The time is rounded up to a millisecond. See [`Timer`] for what it promises.
    ///
    /// ```
    /// use std::time::Duration;
    /// use durable_runtime::{Context, durable};
    ///
    /// async fn remind(user: &str) {
    ///     println!("dear {user}");
    /// }
    ///
    /// #[durable]
    /// async fn reminds_after_a_week(ctx: Context, user: String) {
    ///     ctx.sleep(Duration::from_secs(7 * 86_400)).await;
    ///     ctx.run(remind, &user).await;
    /// }
    /// ```
    #[track_caller]
    pub fn sleep(&self, duration: Duration) -> Timer {
        Timer::claim(&self.shared, "sleep", self.shared.now().after(duration), &duration, &duration)
    }

    /// Waits until then, across restarts; not at all if that is past.
    ///
    /// Its key is `sleep_until`. See [`Timer`] for what it promises.
    ///
    /// ```
    /// use durable_runtime::{Context, Timestamp, durable};
    ///
    /// #[durable]
    /// async fn waits_for_the_sale(ctx: Context, begins_at_millis: u64) {
    ///     ctx.sleep_until(Timestamp(begins_at_millis)).await;
    /// }
    /// ```
    #[track_caller]
    pub fn sleep_until(&self, due: Timestamp) -> Timer {
        Timer::claim(&self.shared, "sleep_until", due, &due.0, &due.0)
    }

    /// Awaits a durable future for so long at the most, counted from [`now`](Self::now), across restarts: what it
    /// yields, or [`Elapsed`] if it took longer.
    ///
    /// The limit is a [`Timer`] with the key `timeout`. The future may be anything that is durable, such as an `async`
    /// block with several steps; when the time is up, it is dropped where it is. To stop single attempts of a step, and
    /// try again, there is [`Step::timeout`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use durable_runtime::{Context, Elapsed, durable};
    ///
    /// async fn fetch(part: u32) -> String {
    ///     format!("part {part}")
    /// }
    ///
    /// #[durable]
    /// async fn both_within_an_hour(ctx: Context) -> Result<String, Elapsed> {
    ///     let both = async { ctx.run(fetch, 1).await + &ctx.run(fetch, 2).await };
    ///     ctx.timeout(Duration::from_secs(3_600), both).await
    /// }
    /// ```
    #[track_caller]
    pub fn timeout<F: DurableFuture>(&self, limit: Duration, future: F) -> Timeout<F> {
        let timer = Timer::claim(&self.shared, "timeout", self.shared.now().after(limit), &limit, &limit);
        Timeout::new(future, timer, limit)
    }

    /// Tries several operations again together: `block` is called, and what it returns awaited; if that is an `Err`, then
    /// as `policy` says again, after a while.
    ///
    /// The block is a closure that returns an `async` block, not an `async` closure.
    ///
    /// Each time all of its operations are new ones, with keys of their own, and nothing of the attempts before is undone.
    /// A wait between two attempts is a timer with the key `retry`, so it lasts over restarts. A
    /// [`Failure`](crate::Failure) marked permanent ends it. What `policy` says of an error is not recorded: it is asked again on a
    /// replay, so its closures must know nothing but the error, and a policy that allows less than before is a change of
    /// the code for runs that have tried more often. To try a single step again there is [`Step::retry`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use durable_runtime::{Context, Failure, Retry, durable};
    ///
    /// async fn quote(sku: &str) -> Result<u32, Failure> {
    ///     Ok(sku.len() as u32)
    /// }
    ///
    /// async fn order_at(price: u32) -> Result<String, Failure> {
    ///     Ok(format!("ordered for {price}"))
    /// }
    ///
    /// /// A price is good for a few seconds: when the order comes too late, another quote is needed.
    /// #[durable]
    /// async fn orders(ctx: Context, sku: String) -> Result<String, Failure> {
    ///     let policy = Retry::exponential(Duration::from_secs(1)).max_attempts(5);
    ///     ctx.retry(policy, || async {
    ///         let price = ctx.run(quote, &sku).await?;
    ///         ctx.run(order_at, price).await
    ///     })
    ///     .await
    /// }
    /// ```
    #[track_caller]
    pub fn retry<B, F, P, T, E>(&self, policy: Retry<P>, block: B) -> Retrying<B, F, P>
    where
        B: FnMut() -> F,
        F: DurableFuture<Output = Result<T, E>>,
        P: RetryOn<E>,
        E: 'static,
    {
        self.shared.check_place(&"`ctx.retry(…)`");
        Retrying::new(&self.shared, policy, block)
    }

    /// The same for each of many items: `each` is called for one after the other, so many at a time as
    /// [`max_concurrency`](Map::max_concurrency) says, and the futures that it returns are run until enough have succeeded or too
    /// many failed. Say when that is, and await it: [`all`](Map::all), [`first_ok`](Map::first_ok), [`at_least`](Map::at_least),
    /// [`tolerate`](Map::tolerate).
    ///
    /// The future may be anything that is durable: a step, a child run, a helper, or an `async move` block with several
    /// operations. The items are taken from the iterator here; each waits until its turn comes.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use durable_runtime::{Context, Runtime, durable};
    ///
    /// async fn quote(hotel: &str) -> Result<u32, String> {
    ///     if hotel.is_empty() { Err("no name".to_owned()) } else { Ok(hotel.len() as u32 * 1_000) }
    /// }
    ///
    /// async fn in_euros(cents: u32) -> u32 {
    ///     cents / 100
    /// }
    ///
    /// #[durable]
    /// async fn cheapest(ctx: Context, hotels: Vec<String>) -> Option<u32> {
    ///     let quotes = ctx.map(hotels, |hotel| async move {
    ///         let cents = ctx.run(quote, &hotel).await?;
    ///         Ok::<_, String>(ctx.run(in_euros, cents).await)
    ///     });
    ///     quotes.max_concurrency(8).all().await.into_iter().flatten().min()
    /// }
    ///
    /// let runtime = Runtime::builder().in_memory().await?;
    /// let hotels = ["Astoria", "", "Central"].map(str::to_owned).to_vec();
    /// assert_eq!(runtime.start("trip-1", cheapest, hotels).await?.await?, Some(70));
    /// # Ok(())
    /// # }
    /// ```
    pub fn map<'a, T, F>(&self, items: T, each: impl FnMut(T::Item) -> F + Send + 'a) -> Map<'a, F>
    where
        T: IntoIterator<Item: Send + 'a>,
        F: DurableFuture,
    {
        self.shared.check_place(&"`ctx.map(…)`");
        Map::new(&self.shared, items, each)
    }

    /// Waits for a signal of this name: what [`Runtime::signal`](crate::Runtime::signal) sends to the run.
    ///
    /// Signals of one name are buffered, also before the run waits for them, and given out in the order in which they came,
    /// each once. Its key is the name, which has 1 to [`STEP_NAME_BYTES_MAX`] bytes and no `#`. See [`Signal`] for what it
    /// promises.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use durable_runtime::{Context, Runtime, durable};
    ///
    /// #[durable]
    /// async fn asks_a_human(ctx: Context) -> String {
    ///     match ctx.timeout(Duration::from_secs(7 * 86_400), ctx.signal::<bool>("decision")).await {
    ///         Ok(true) => "approved".to_owned(),
    ///         Ok(false) => "rejected".to_owned(),
    ///         Err(_) => "nobody has answered".to_owned(),
    ///     }
    /// }
    ///
    /// let runtime = Runtime::builder().in_memory().await?;
    /// let run = runtime.start("request-1", asks_a_human, ()).await?;
    /// runtime.signal("request-1", "decision", &true).await?;
    /// assert_eq!(run.await?, "approved");
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn signal<T: DeserializeOwned>(&self, name: impl Into<Cow<'static, str>>) -> Signal<T> {
        Signal::claim(&self.shared, name.into())
    }

    /// A promise of this name: it has an id that can be handed out, and whoever has that settles it with
    /// [`Runtime::resolve`](crate::Runtime::resolve) or [`Runtime::reject`](crate::Runtime::reject).
    ///
    /// Unlike a [signal](Self::signal) it is settled once, and whoever comes later is told so. Its key is the name, which
    /// has 1 to [`STEP_NAME_BYTES_MAX`] bytes and no `#`. See [`Promise`] for what it promises.
    ///
    /// ```
    /// use std::time::Duration;
    /// use durable_runtime::{Context, PromiseFailure, PromiseId, durable};
    ///
    /// async fn ask(manager: &str, promise: &PromiseId) {
    ///     println!("to {manager}: https://shop.example/approve/{promise}");
    /// }
    ///
    /// #[durable]
    /// async fn asks_the_manager(ctx: Context) -> String {
    ///     let approval = ctx.promise::<u64>("approval").timeout(Duration::from_secs(3 * 86_400));
    ///     ctx.run(ask, "Ada", &approval.id()).await;
    ///     match approval.await {
    ///         Ok(cents) => format!("{cents} cents are approved"),
    ///         Err(PromiseFailure::Rejected(reason)) => format!("nothing: {reason}"),
    ///         Err(PromiseFailure::TimedOut) => "Ada is on holiday".to_owned(),
    ///     }
    /// }
    /// ```
    #[track_caller]
    pub fn promise<T: DeserializeOwned>(&self, name: impl Into<Cow<'static, str>>) -> Promise<T> {
        Promise::claim(&self.shared, name.into())
    }

    /// What `#[durable]` makes of `ctx.run(…)`.
    #[doc(hidden)]
    #[track_caller]
    pub fn __step<'a, F, A, Kind, Fut>(&self, name: &'static str, arguments: A, call: F) -> Kind::Operation
    where
        F: Fn(StepContext, A) -> Called<Kind, Fut> + Send + 'a,
        A: Serialize + Clone + Send + 'a,
        Kind: Asked<'a, Fut>,
        Fut: Future<Output: Recorded> + Send + 'a,
    {
        Kind::ask(self, name, std::panic::Location::caller(), arguments, call)
    }

    /// What `#[durable]` makes of `ctx.undo(…)`.
    #[doc(hidden)]
    #[track_caller]
    pub fn __undo<F, A, Kind, Fut>(&self, name: &'static str, arguments: A, call: F) -> Undo<Fut::Output>
    where
        F: Fn(StepContext, A) -> Called<Kind, Fut> + Send + 'static,
        A: Serialize + Clone + Send + 'static,
        Kind: StepKind,
        Fut: Future<Output: Recorded> + Send + 'static,
    {
        let site = std::panic::Location::caller();
        let recorded = Arguments::of(&arguments);
        let step =
            Step::claim(&self.shared, name, site, arguments, move |step, arguments| call(step, arguments).future());
        self.shared.plan(step.claim_number(), recorded);
        Undo::new(self, step)
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("run", &self.shared.id).finish_non_exhaustive()
    }
}
