//! The crash explorer: a durable function, in a world of its own for everything that can go wrong.

mod clock;
mod disk;
mod judge;
mod mishap;
mod order;
mod play;
mod quiet;
mod report;
mod schedule;
mod script;
mod search;
mod stage;
mod telling;
mod timeline;
mod world;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

pub use mishap::Crash;
pub use report::Explored;
pub use script::FakeCall;
pub use timeline::Timeline;
pub use world::World;

use script::{Script, Sending};

use crate::context::Dependencies;
use crate::engine::Limits;
use crate::function::DurableFunction;
use crate::id::{RUN_ID_BYTES_MAX, RunId};
use crate::payload::{Codec, PAYLOAD_BYTES_MAX};

/// Makes one dependency of a world.
type Make = Box<dyn Fn(&mut Dependencies) + Send + Sync>;

/// Describes worlds in which a durable function runs: [`check`](Exploration::check) plays very many of them and kills the
/// process everywhere, [`run`](Exploration::run) plays the one that is described.
///
/// A *world* is what outlives processes: a store, a clock, and the dependencies that stand for what is outside. In it one
/// process after the other lives, until the run has returned. Everything happens in virtual time, on one thread: a step
/// that waits for thirty days takes microseconds, and the same schedule gives the same world.
///
/// ```
/// use std::collections::BTreeSet;
/// use std::sync::Mutex;
/// use durable_runtime::{Context, StepContext, durable, testing};
///
/// /// What stands for the payment gateway: it knows idempotency keys, as the real one does.
/// #[derive(Default)]
/// struct FakeGateway {
///     charged: Mutex<BTreeSet<String>>,
/// }
///
/// async fn charge_card(step: StepContext, cents: u64) -> u64 {
///     let gateway = step.dependency::<FakeGateway>();
///     gateway.charged.lock().unwrap().insert(step.idempotency_key().to_owned());
///     cents
/// }
///
/// #[durable]
/// async fn pay_order(ctx: Context, quantity: u64) -> u64 {
///     let cents = ctx.run("price", async || quantity * 250).await;
///     ctx.run(charge_card, cents).await
/// }
///
/// # if true {
/// // In `cargo test`:
/// testing::explore(pay_order, 3).dependency_with(FakeGateway::default).check(|world| {
///     assert_eq!(world.dependency::<FakeGateway>().charged.lock().unwrap().len(), 1);
/// });
/// # }
/// ```
#[expect(clippy::missing_panics_doc, reason = "the name of a function, cut, can be an id")]
pub fn explore<F: DurableFunction>(function: F, input: F::Input) -> Exploration<F> {
    // A name that is too long for an id is cut: within its world, any id will do.
    let id = RunId::new(&F::NAME[..F::NAME.floor_char_boundary(RUN_ID_BYTES_MAX)]);
    Exploration {
        function,
        input,
        id: id.unwrap_or_else(|error| panic!("the name of a function is no run id: {error}")),
        make: Vec::new(),
        script: Arc::new(Script::default()),
        codec: Codec::default(),
        limits: Limits::default(),
        depth: 2,
        worlds_max: 20_000,
        seeds: 0..200,
    }
}

/// Worlds in which a durable function runs; see [`explore`].
///
/// What [`check`](Self::check) plays, one world for each:
///
/// * one in which nothing goes wrong. It is played several times, to see that it is always the same, and once with the run
///   leaving memory and being replayed at every await;
/// * every one in which one thing goes wrong. At each commit: the process dies before it, when it is written and not synced
///   (and lost), when it is synced and the run is not told, when the run was told and is not polled; or the store
///   fails, before or after it took the commit. At each attempt of a step: the process dies before its body is called,
///   while the body waits, and when it has returned and nothing of that is recorded; or, if another attempt follows, it
///   fails there;
/// * every one in which that happens a second time, during recovery or later ([`depth`](Self::depth));
/// * random ones, by [`seeds`](Self::seeds): many crashes and failures, commits and steps that take some time and so end in
///   another order, and clocks that are set.
///
/// What must hold in each of them:
///
/// * the run returns, and what it returns and [publishes](crate::Context::publish) it also returns and publishes in a world in which the process does not die: with these or
///   other latencies, and if need be with its steps acting and ending in the same order, and the same attempts failing.
///   Where that order can't be had without a crash, the result is counted as [`unconfirmed`](Explored::unconfirmed).
///   Asked again, the run gives the same, and runs nothing;
/// * no step is executed whose outcome is recorded, no operation has two outcomes, attempts are counted across lives;
/// * a step that is executed again has the same idempotency key and the same arguments;
/// * every prefix of the journal replays, and to the same next steps as whenever the same was recorded;
/// * the check passes.
///
/// If something does not, `check` looks for the shortest schedule that shows it, and panics with what is wrong, that
/// schedule, what happened line by line, and a command with `DURABLE_SEED=…` that plays this one world again.
///
/// Not simulated are threads, files, sockets and the machine's clock: fakes that use them make worlds that differ from one
/// time to the next; if the timeline shows that, `check` notices, and says so. `tokio::time` is virtual; a process in which
/// nothing happens for 366 days is taken for one that waits for ever. When a process dies, the futures of its steps are
/// dropped, which a killed process would not do: what a fake does in `drop` happens.
#[must_use = "nothing is played until `check` or `run` is called"]
pub struct Exploration<F: DurableFunction> {
    function: F,
    input: F::Input,
    id: RunId,
    make: Vec<Make>,
    script: Arc<Script>,
    codec: Codec,
    limits: Limits,
    depth: u32,
    worlds_max: usize,
    seeds: std::ops::Range<u64>,
}

impl<F: DurableFunction> Exploration<F> {
    /// Gives the steps something to work with, as [`RuntimeBuilder::dependency`](crate::RuntimeBuilder::dependency)
    /// does: a fake of what is outside. It outlives the processes of a world, and each world begins with a clone of it.
    ///
    /// The clones must not share what they remember, as those of an `Arc` do: if that changes what happens in a later world,
    /// or what the check says of it, `check` fails and says why. For what is no `Clone`, there is [`dependency_with`](Self::dependency_with).
    ///
    /// ```
    /// # use durable_runtime::{Context, StepContext, durable, testing};
    /// #[derive(Clone)]
    /// struct Rates { cents: u64 }
    ///
    /// #[durable]
    /// async fn rated(ctx: Context) -> u64 {
    ///     ctx.run("rate", async |step: StepContext| step.dependency::<Rates>().cents).await
    /// }
    ///
    /// let world = testing::explore(rated, ()).dependency(Rates { cents: 250 }).run();
    /// assert_eq!(*world.output(), 250);
    /// ```
    pub fn dependency<T: Clone + Send + Sync + 'static>(self, dependency: T) -> Self {
        self.dependency_with(move || dependency.clone())
    }

    /// Like [`dependency`](Self::dependency), for what can't be cloned: each world begins with what `make` returns.
    ///
    /// ```
    /// # use std::sync::atomic::{AtomicU32, Ordering};
    /// # use durable_runtime::{Context, StepContext, durable, testing};
    /// #[derive(Default)]
    /// struct Calls(AtomicU32);
    ///
    /// #[durable]
    /// async fn counted(ctx: Context) -> u32 {
    ///     ctx.run("call", async |step: StepContext| step.dependency::<Calls>().0.fetch_add(1, Ordering::Relaxed)).await
    /// }
    ///
    /// let world = testing::explore(counted, ()).dependency_with(Calls::default).run();
    /// assert_eq!(world.dependency::<Calls>().0.load(Ordering::Relaxed), 1);
    /// ```
    pub fn dependency_with<T: Send + Sync + 'static>(mut self, make: impl Fn() -> T + Send + Sync + 'static) -> Self {
        self.make.push(Box::new(move |dependencies| dependencies.insert(Arc::new(make()))));
        self
    }

    /// Calls this instead of the body of the step with this name, or with this key (`charge_card#2`), which is more
    /// precise. What it returns is recorded, and must read as what the step returns.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use durable_runtime::{Context, Failure, Retry, durable, testing};
    /// # async fn charge_card(cents: u64) -> Result<String, Failure> { unreachable!("{cents}") }
    /// #[durable]
    /// async fn charged_later(ctx: Context, cents: u64) -> Result<String, Failure> {
    ///     ctx.run(charge_card, cents).retry(Retry::fixed(Duration::from_hours(24)).max_attempts(3)).await
    /// }
    ///
    /// let world = testing::explore(charged_later, 750)
    ///     .fake("charge_card", |call| match call.attempt() {
    ///         1 => Err(Failure::new("the bank is closed")),
    ///         _ => Ok(format!("charged {}", call.argument::<u64>(0))),
    ///     })
    ///     .run();
    /// assert_eq!(*world.output(), Ok("charged 750".to_owned()));
    /// ```
    pub fn fake<R: Serialize>(
        self,
        step: impl Into<String>,
        fake: impl Fn(&FakeCall<'_>) -> R + Send + Sync + 'static,
    ) -> Self {
        self.fake_some(step, move |call| Some(fake(call)))
    }

    /// Like [`fake`](Self::fake); where it answers `None`, the body of the step is called.
    ///
    /// ```
    /// # use durable_runtime::{Context, durable, testing};
    /// #[durable]
    /// async fn twofold(ctx: Context) -> (u32, u32) {
    ///     (ctx.run("number", async || 1).await, ctx.run("number", async || 1).await)
    /// }
    ///
    /// let world = testing::explore(twofold, ()).fake_some("number", |call| (call.key() == "number#2").then_some(7)).run();
    /// assert_eq!(*world.output(), (1, 7));
    /// ```
    pub fn fake_some<R: Serialize>(
        mut self,
        step: impl Into<String>,
        fake: impl Fn(&FakeCall<'_>) -> Option<R> + Send + Sync + 'static,
    ) -> Self {
        self.script_mut().fakes.insert(step.into(), script::fake_of(fake));
        self
    }

    /// The step with this name or key takes so long, in virtual time, behind what its body takes.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use durable_runtime::{Context, durable, testing};
    /// #[durable]
    /// async fn faster(ctx: Context) -> String {
    ///     let (mail, phone) = (ctx.run("mail", async || ()), ctx.run("phone", async || ()));
    ///     tokio::select! {
    ///         () = mail => "mail".to_owned(),
    ///         () = phone => "phone".to_owned(),
    ///     }
    /// }
    ///
    /// let world = testing::explore(faster, ()).takes("mail", Duration::from_hours(24 * 30)).run();
    /// assert_eq!(*world.output(), "phone");
    /// ```
    pub fn takes(mut self, step: impl Into<String>, duration: Duration) -> Self {
        self.script_mut().takes.insert(step.into(), duration);
        self
    }

    /// The process dies there, once: when the step with this key comes to it. For crashes around a commit, the one that
    /// has the outcome of the step; `Started` and `Finished` stand for those records of the run.
    ///
    /// ```
    /// # use durable_runtime::{Context, durable, testing};
    /// use durable_runtime::testing::Crash;
    ///
    /// #[durable]
    /// async fn greeted_twice(ctx: Context) {
    ///     ctx.run("greet", async || ()).await;
    /// }
    ///
    /// let world = testing::explore(greeted_twice, ()).crash(Crash::AfterEffect, "greet").run();
    /// assert_eq!((world.lives(), world.executions("greet")), (2, 2));
    /// let world = testing::explore(greeted_twice, ()).crash(Crash::Acknowledged, "greet").run();
    /// assert_eq!((world.lives(), world.executions("greet")), (2, 1));
    /// ```
    pub fn crash(mut self, crash: Crash, key: impl Into<String>) -> Self {
        self.script_mut().crashes.push((crash, key.into()));
        self
    }

    /// Somebody outside sends the run this signal as soon as it is started. What is sent under one name arrives in the order
    /// of these calls. Each is sent again until it is acknowledged, and in random worlds sometimes once more, always with
    /// the same id.
    ///
    /// ```
    /// # use durable_runtime::{Context, durable, testing};
    /// #[durable]
    /// async fn approved(ctx: Context) -> bool {
    ///     ctx.signal("decision").await
    /// }
    ///
    /// let world = testing::explore(approved, ()).signal("decision", true).run();
    /// assert!(*world.output());
    /// ```
    pub fn signal<T: Serialize + Send + Sync + 'static>(self, name: impl Into<String>, value: T) -> Self {
        self.signal_after(Duration::ZERO, name, value)
    }

    /// Like [`signal`](Self::signal), so long after the run was started, in virtual time, and not before the signals of the
    /// calls before this one.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use durable_runtime::{Context, durable, testing};
    /// const DAY: Duration = Duration::from_secs(86_400);
    ///
    /// #[durable]
    /// async fn in_time(ctx: Context) -> bool {
    ///     ctx.timeout(DAY, ctx.signal::<()>("payment")).await.is_ok()
    /// }
    ///
    /// assert!(*testing::explore(in_time, ()).signal_after(DAY / 2, "payment", ()).run().output());
    /// assert!(!*testing::explore(in_time, ()).signal_after(DAY * 2, "payment", ()).run().output());
    /// ```
    pub fn signal_after<T: Serialize + Send + Sync + 'static>(
        mut self,
        after: Duration,
        name: impl Into<String>,
        value: T,
    ) -> Self {
        self.script_mut().sendings.push(Sending::signal(after, name.into(), value));
        self
    }

    /// Somebody outside resolves the promise with this key, such as `approval` or `approval#2`, so long after the run was
    /// started, in virtual time, and not before what the calls before this one send. It is tried again until it is known
    /// that the promise is settled, and in random worlds sometimes once more.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use durable_runtime::{Context, PromiseFailure, durable, testing};
    /// const DAY: Duration = Duration::from_secs(86_400);
    ///
    /// #[durable]
    /// async fn needs_approval(ctx: Context) -> Result<bool, PromiseFailure> {
    ///     ctx.promise("approval").timeout(DAY).await
    /// }
    ///
    /// let world = testing::explore(needs_approval, ()).resolve(DAY / 2, "approval", true).run();
    /// assert_eq!(*world.output(), Ok(true));
    /// let world = testing::explore(needs_approval, ()).resolve(DAY * 2, "approval", true).run();
    /// assert_eq!(*world.output(), Err(PromiseFailure::TimedOut));
    /// ```
    pub fn resolve<T: Serialize + Send + Sync + 'static>(
        mut self,
        after: Duration,
        key: impl Into<String>,
        value: T,
    ) -> Self {
        self.script_mut().sendings.push(Sending::promise(after, key.into(), Ok(value)));
        self
    }

    /// Somebody outside rejects the promise with this key, for this reason; otherwise like [`resolve`](Self::resolve).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use durable_runtime::{Context, PromiseFailure, durable, testing};
    /// #[durable]
    /// async fn hopes_for_approval(ctx: Context) -> Result<(), PromiseFailure> {
    ///     ctx.promise("approval").await
    /// }
    ///
    /// let world = testing::explore(hopes_for_approval, ()).reject(Duration::ZERO, "approval", "too expensive").run();
    /// assert_eq!(*world.output(), Err(PromiseFailure::Rejected("too expensive".to_owned())));
    /// ```
    pub fn reject(mut self, after: Duration, key: impl Into<String>, reason: impl Into<String>) -> Self {
        self.script_mut().sendings.push(Sending::promise::<()>(after, key.into(), Err(reason.into())));
        self
    }

    fn script_mut(&mut self) -> &mut Script {
        Arc::get_mut(&mut self.script).unwrap_or_else(|| panic!("the script is shared only while worlds are played"))
    }

    /// The id of the run; the function's name, unless set. Idempotency keys begin with it.
    ///
    /// # Panics
    /// If it can't be a run's id.
    pub fn id(mut self, id: impl AsRef<str>) -> Self {
        self.id = RunId::new(id).unwrap_or_else(|error| panic!("{error}"));
        self
    }

    /// The limits of the runtime; the default ones, unless set. How many crashes follow each other is not limited by
    /// [`recoveries_without_progress`](Limits::recoveries_without_progress) here: there are more of them than outside.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = Limits { payload_bytes: limits.payload_bytes.min(PAYLOAD_BYTES_MAX), ..limits };
        self
    }

    /// How values are encoded; as JSON, unless set.
    pub fn codec(mut self, codec: Codec) -> Self {
        self.codec = codec;
        self
    }

    /// How many mishaps follow each other in every possible way: 2 unless set. With 1, recovery itself is not crashed.
    pub fn depth(mut self, mishaps: u32) -> Self {
        self.depth = mishaps;
        self
    }

    /// How many worlds are played at the most for each number of mishaps: 20,000 unless set. If more are possible, so many
    /// are chosen among them, always the same; [`Explored`] says so.
    pub fn worlds_max(mut self, worlds: usize) -> Self {
        self.worlds_max = worlds;
        self
    }

    /// The seeds of random worlds: 0..200 unless set.
    pub fn seeds(mut self, seeds: std::ops::Range<u64>) -> Self {
        self.seeds = seeds;
        self
    }

    fn dependencies(&self) -> Dependencies {
        let mut dependencies = Dependencies::default();
        self.make.iter().for_each(|make| make(&mut dependencies));
        dependencies
    }
}

impl<F: DurableFunction> fmt::Debug for Exploration<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exploration").field("function", &F::NAME).field("script", &self.script).finish_non_exhaustive()
    }
}
