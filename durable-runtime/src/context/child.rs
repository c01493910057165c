//! Another durable function, as a run of its own: what `ctx.run` makes of one.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::shared::{ChildRequest, RunShared};
use super::signal::read_or_halt;
use crate::function::DurableFunction;
use crate::halt::{Halt, HaltReason};
use crate::journal::{Arguments, ChildEnd, OperationKind};
use crate::payload::Payload;
use crate::replay::{Answer, ClaimNumber, Request};
use crate::start::Said;
use crate::value;

/// Another durable function that was asked for with `ctx.run(…)`: a run of its own, with a journal of its own. Await it for what
/// it returns.
///
/// It is started when it is first polled, or by [`spawn`](Self::spawn), once everything that this run knows is durable, under
/// the id [`run_id`](Self::run_id). What it returns is recorded here, too, so a replay gives the same, also after the child was deleted.
/// It goes on when this run waits for something else, is suspended, or dies with the process; and this run leaves memory while it
/// waits for nothing but children, times and signals. A child waits for a place among
/// [`Limits::active_runs`](crate::Limits::active_runs).
///
/// Dropping it, as a lost race does, does not stop the child: it goes on to its own end. When this run is
/// [cancelled](crate::Runtime::cancel), all of its children are that have not ended. If a child is halted, this run waits until somebody
/// [resumes](crate::Runtime::resume) or cancels that.
///
/// If the child's id is taken by a run that this one has not started, this one is halted with
/// [`HaltReason::Misuse`]; nothing is lost: delete the other one, and resume this one.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use durable_runtime::{ChildCancelled, Context, Runtime, durable};
///
/// async fn weigh(parcel: u32) -> u32 {
///     parcel * 10
/// }
///
/// #[durable]
/// async fn ships_a_parcel(ctx: Context, parcel: u32) -> u32 {
///     ctx.run(weigh, parcel).await
/// }
///
/// #[durable]
/// async fn ships_two(ctx: Context) -> Result<u32, ChildCancelled> {
///     let first = ctx.run(ships_a_parcel, 1).spawn();
///     let second = ctx.run(ships_a_parcel, 2).await?;
///     Ok(first.await? + second)
/// }
///
/// let runtime = Runtime::builder().in_memory().await?;
/// assert_eq!(runtime.start("order-1", ships_two, ()).await?.await?, Ok(30));
/// assert_eq!(runtime.attach("order-1:ships_a_parcel#2", ships_a_parcel).await?.await?, 20);
/// # Ok(())
/// # }
/// ```
#[must_use = "a child run is not started unless it is awaited, spawned or detached"]
pub struct Child<F: DurableFunction> {
    shared: Arc<RunShared>,
    claim: ClaimNumber,
    /// Until it is asked for.
    request: Option<ChildRequest>,
    is_over: bool,
    function: PhantomData<fn() -> F>,
}

impl<F: DurableFunction> Child<F> {
    pub(super) fn claim(
        shared: &Arc<RunShared>,
        name: &'static str,
        site: &'static Location<'static>,
        input: &F::Input,
    ) -> Self {
        shared.check_place(&format_args!("`ctx.run({name}, …)` at {site}"));
        let unusable = |error: &dyn fmt::Display| {
            let message = format!("its input at {site} can't be recorded: {error}");
            shared.halt(Halt::new(HaltReason::Value, Some(name.into()), message));
        };
        let digest = value::digest(input).inspect_err(|error| unusable(error)).map_or(0, |digest| digest.0);
        let environment = &shared.environment;
        let encoded = Payload::encode(environment.codec, input, environment.limits.payload_bytes);
        // What can't be read back would be a run that can never begin.
        let checked = encoded.and_then(|payload| payload.decode::<F::Input>().map(|_| payload));
        let request = Request { name: Cow::Borrowed(name), kind: OperationKind::Child, digest, site: site.into() };
        let (claim, differs) = shared.claim(request);
        let arguments = if differs || !shared.is_recorded(claim) { Arguments::of(input) } else { None };
        if differs {
            shared.show(claim, arguments.clone());
        }
        let request = checked.inspect_err(|error| unusable(error)).ok().map(|input| ChildRequest {
            function: F::NAME,
            input,
            digest,
            arguments,
            attached: true,
            kept: false,
            said: Said::default(),
        });
        Self { shared: Arc::clone(shared), claim, request, is_over: false, function: PhantomData }
    }

    /// Gives it another name, and with it another key and another [id](Self::run_id), as [`Step::named`](crate::Step::named) does.
    /// Write it directly behind `ctx.run(…)`.
    ///
    /// ```
    /// use durable_runtime::{ChildCancelled, Context, durable};
    ///
    /// #[durable]
    /// async fn picks(_ctx: Context, sku: String) -> usize {
    ///     sku.len()
    /// }
    ///
    /// #[durable]
    /// async fn picks_for(ctx: Context, sku: String) -> Result<usize, ChildCancelled> {
    ///     ctx.run(picks, sku.clone()).named(format!("pick {sku}")).await
    /// }
    /// ```
    pub fn named(self, name: impl Into<Cow<'static, str>>) -> Self {
        self.shared.name(self.claim, name.into());
        self
    }

    /// Has it started in a queue: it is recorded at once, and begins when it is its turn, as [`Start::queue`](crate::Start::queue) says. So at
    /// most so many of the children of all runs are at work at once.
    ///
    /// A child is started however many [may wait](crate::Queue::capacity). In a queue that this process does not have it can't be started: this
    /// run is halted with [`HaltReason::Misuse`], and goes on when it is resumed by a process that has it. The same if this run has a place in that
    /// queue and waits for the child: each would wait for the other one. The queue of one that is started already stays as it is.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use durable_runtime::{ChildCancelled, Context, Queue, Runtime, durable};
    ///
    /// #[durable]
    /// async fn prints_in_turn(_ctx: Context, label: String) -> usize {
    ///     label.len()
    /// }
    ///
    /// #[durable]
    /// async fn ships(ctx: Context, labels: Vec<String>) -> Vec<Result<usize, ChildCancelled>> {
    ///     ctx.map(labels, |label| ctx.run(prints_in_turn, label).queue("printer")).all().await
    /// }
    ///
    /// let runtime = Runtime::builder().queue(Queue::new("printer").concurrency(2)).in_memory().await?;
    /// let labels = ["Ada".to_owned(), "Grace".to_owned(), "Mary".to_owned()];
    /// assert_eq!(runtime.start("order-1", ships, labels.to_vec()).await?.await?, [Ok(3), Ok(5), Ok(4)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn queue(self, name: impl Into<String>) -> Self {
        self.say(|said| said.queue(name.into()))
    }

    /// Says how urgent it is in its [queue](Self::queue), as [`Start::priority`](crate::Start::priority).
    ///
    /// ```
    /// use durable_runtime::{ChildCancelled, Context, durable};
    ///
    /// #[durable]
    /// async fn prints(_ctx: Context, label: String) -> usize {
    ///     label.len()
    /// }
    ///
    /// #[durable]
    /// async fn prints_at_once(ctx: Context, label: String) -> Result<usize, ChildCancelled> {
    ///     ctx.run(prints, label).queue("printer").priority(0).await
    /// }
    /// ```
    pub fn priority(self, priority: u32) -> Self {
        self.say(|said| said.priority(priority))
    }

    /// Says what it is about in its [queue](Self::queue), as [`Start::key`](crate::Start::key): of those with one key, one at a time
    /// has begun.
    ///
    /// ```
    /// use durable_runtime::{ChildCancelled, Context, durable};
    ///
    /// #[durable]
    /// async fn books(_ctx: Context, account: String) -> usize {
    ///     account.len()
    /// }
    ///
    /// #[durable]
    /// async fn books_in_turn(ctx: Context, account: String) -> Result<usize, ChildCancelled> {
    ///     ctx.run(books, account.clone()).queue("bookings").key(account).await
    /// }
    /// ```
    pub fn key(self, key: impl Into<String>) -> Self {
        self.say(|said| said.key(key.into()))
    }

    fn say(mut self, say: impl FnOnce(&mut Said)) -> Self {
        if let Some(request) = &mut self.request {
            say(&mut request.said);
        }
        self
    }

    /// The id of the child: that of this run, a `:`, and the key, as for the
    /// [idempotency key](crate::StepContext::idempotency_key) of a step.
    ///
    /// ```
    /// use durable_runtime::{ChildCancelled, Context, durable};
    ///
    /// #[durable]
    /// async fn packs(_ctx: Context) {}
    ///
    /// #[durable]
    /// async fn tells_the_id(ctx: Context) -> Result<String, ChildCancelled> {
    ///     let child = ctx.run(packs).spawn();
    ///     let id = child.run_id(); // order-1:packs, if this run is order-1
    ///     child.await?;
    ///     Ok(id)
    /// }
    /// ```
    pub fn run_id(&self) -> String {
        self.shared.child_id(self.claim)
    }

    /// Has it started without being awaited; it can be awaited later, or be dropped. It is started when this run waits for
    /// something next, or returns.
    ///
    /// ```
    /// use durable_runtime::{ChildCancelled, Context, durable};
    ///
    /// #[durable]
    /// async fn counts_words(_ctx: Context, text: String) -> usize {
    ///     text.split_whitespace().count()
    /// }
    ///
    /// #[durable]
    /// async fn counts_both(ctx: Context, one: String, other: String) -> Result<usize, ChildCancelled> {
    ///     let first = ctx.run(counts_words, one).spawn();
    ///     let second = ctx.run(counts_words, other).spawn();
    ///     Ok(first.await? + second.await?)
    /// }
    /// ```
    pub fn spawn(mut self) -> Self {
        self.ask(true);
        self
    }

    /// Has it started as a run that is not this one's any more: this run is not told of its end, and it is not cancelled with this one.
    ///
    /// It is started when this run waits for something next, or returns: this run has not ended before that is durable.
    ///
    /// ```
    /// use durable_runtime::{Context, durable};
    ///
    /// #[durable]
    /// async fn sends_a_newsletter(_ctx: Context, user: String) -> usize {
    ///     user.len()
    /// }
    ///
    /// #[durable]
    /// async fn signs_up(ctx: Context, user: String) -> String {
    ///     ctx.run(sends_a_newsletter, user).detach()
    /// }
    /// ```
    pub fn detach(mut self) -> String {
        if let Some(request) = &mut self.request {
            request.attached = false;
        }
        self.ask(true);
        self.run_id()
    }

    fn ask(&mut self, kept: bool) {
        self.shared.check_place(&"a child run");
        if let Some(request) = self.request.take() {
            self.shared.ask_child(self.claim, ChildRequest { kept, ..request });
        }
    }
}

/// What a [`Child`] yields that was cancelled before it returned.
///
/// ```
/// use durable_runtime::ChildCancelled;
/// let error = ChildCancelled { run: "order-1:ship".to_owned(), reason: "lost".to_owned() };
/// assert_eq!(error.to_string(), "[D0311] the child run order-1:ship was cancelled: lost");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, Error)]
#[error("[D0311] the child run {run} was cancelled: {reason}")]
pub struct ChildCancelled {
    /// The id of the child.
    pub run: String,
    /// What whoever did it says.
    pub reason: String,
}

impl<F: DurableFunction> Future for Child<F> {
    type Output = Result<F::Output, ChildCancelled>;

    fn poll(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let child = self.get_mut();
        child.shared.check_place(&"a child run");
        if child.is_over {
            return Poll::Pending;
        }
        let Some(answer) = child.shared.take_child(child.claim, &mut child.request, task.waker()) else {
            return Poll::Pending;
        };
        child.is_over = true;
        match answer {
            Answer::Child(ChildEnd::Returned { result, .. }) => {
                match read_or_halt(&child.shared, child.claim, &result, &"the child run returned") {
                    Some(value) => Poll::Ready(Ok(value)),
                    None => Poll::Pending,
                }
            }
            Answer::Child(ChildEnd::Cancelled { reason }) => {
                Poll::Ready(Err(ChildCancelled { run: child.run_id(), reason }))
            }
            // Not for a child: of which kind an operation is was compared (R9).
            Answer::Step(_) | Answer::Fired | Answer::Signal(_) | Answer::Promise(_) => Poll::Pending,
        }
    }
}

// Nothing in it is pinned.
impl<F: DurableFunction> Unpin for Child<F> {}

impl<F: DurableFunction> Drop for Child<F> {
    fn drop(&mut self) {
        self.shared.abandon(self.claim);
    }
}

impl<F: DurableFunction> fmt::Debug for Child<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child").field("run", &self.run_id()).field("function", &F::NAME).finish_non_exhaustive()
    }
}
