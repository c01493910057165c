//! The same for each of many items, so many at a time, until enough have succeeded or too many failed: `ctx.map`.

mod running;

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};

use serde::{Deserialize, Serialize};

use self::running::Running;
use super::shared::RunShared;

/// A future that may fail.
pub trait MayFail: Future<Output = Result<Self::Success, Self::Error>> {
    /// What is in an `Ok`.
    type Success;
    /// What is in an `Err`.
    type Error;
}

impl<F, T, E> MayFail for F
where
    F: Future<Output = Result<T, E>>,
{
    type Success = T;
    type Error = E;
}

/// The same for each of many items, made by [`Context::map`](crate::Context::map); say how it is to end, and await that.
///
/// | | it resolves | to |
/// |---|---|---|
/// | [`all`](Self::all) | when all have ended | what they have returned, in the order of the items |
/// | [`first_ok`](Self::first_ok) | when one has succeeded, or all have failed | the success, or all errors |
/// | [`at_least`](Self::at_least) | when so many have succeeded, or can't any more | what has succeeded and failed until then |
/// | [`tolerate`](Self::tolerate) | when all have ended, or more than so many have failed | the same |
///
/// What is still running then is dropped, and what ends later does not count: a step that was running may or may not have
/// had its effect, and a child run goes on to its own end. An item whose turn has not come is not begun.
///
/// # Order
///
/// The closure is called for one item after the other, for the next one as soon as there is a place. So their operations
/// claim their keys in an order that is the same on every replay. For one step per item it is that of the items: `quote`,
/// `quote#2`, … .
#[must_use = "it does nothing before it is said how it is to end, and that is awaited"]
pub struct Map<'a, F> {
    shared: Arc<RunShared>,
    // Not generic over the items and the closure: the compiler forgets lifetimes when it asks whether a future is `Send`, and
    // would not know any more that the closure takes these items.
    items: Option<Box<dyn ExactSizeIterator<Item = (usize, F)> + Send + 'a>>,
    running: Running<F>,
    max_concurrency: usize,
}

impl<'a, F: Future> Map<'a, F> {
    pub(super) fn new<I: Send + 'a>(
        shared: &Arc<RunShared>,
        items: impl IntoIterator<Item = I>,
        mut each: impl FnMut(I) -> F + Send + 'a,
    ) -> Self {
        let items: Vec<I> = items.into_iter().collect();
        Self {
            shared: Arc::clone(shared),
            items: Some(Box::new(items.into_iter().enumerate().map(move |(index, item)| (index, each(item))))),
            running: Running::new(),
            max_concurrency: usize::MAX,
        }
    }

    /// So many at a time at the most; without it, all at once. 0 is taken as 1.
    ///
    /// ```
    /// use durable_runtime::{Context, durable};
    ///
    /// async fn resize(picture: &str) -> usize {
    ///     picture.len()
    /// }
    ///
    /// #[durable]
    /// async fn resizes(ctx: Context, pictures: Vec<String>) -> Vec<usize> {
    ///     ctx.map(&pictures, |picture| ctx.run(resize, picture)).max_concurrency(4).all().await
    /// }
    /// ```
    pub fn max_concurrency(self, count: usize) -> Self {
        Self { max_concurrency: count.max(1), ..self }
    }

    /// Waits for all: what they have returned, in the order of the items. None of them stops the others.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use durable_runtime::{Context, Runtime, durable};
    ///
    /// async fn parse(text: &str) -> Result<u32, String> {
    ///     text.parse().map_err(|_| format!("{text} is no number"))
    /// }
    ///
    /// #[durable]
    /// async fn parses_all(ctx: Context, texts: Vec<String>) -> Vec<Result<u32, String>> {
    ///     ctx.map(&texts, |text| ctx.run(parse, text)).all().await
    /// }
    ///
    /// let runtime = Runtime::builder().in_memory().await?;
    /// let texts = ["7", "x"].map(str::to_owned).to_vec();
    /// let parsed = runtime.start("p-1", parses_all, texts).await?.await?;
    /// assert_eq!(parsed, [Ok(7), Err("x is no number".to_owned())]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn all(self) -> MapAll<'a, F> {
        MapAll { map: self, outputs: BTreeMap::new(), is_over: false }
    }

    /// Waits for the first that succeeds; if none does, the errors of all, in the order of the items.
    ///
    /// With [`max_concurrency(1)`](Self::max_concurrency) the next one is tried when the one before has failed.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use durable_runtime::{Context, Runtime, durable};
    ///
    /// async fn download(mirror: &str) -> Result<String, String> {
    ///     if mirror == "c" { Ok("the file".to_owned()) } else { Err(format!("{mirror} is down")) }
    /// }
    ///
    /// #[durable]
    /// async fn downloads(ctx: Context, mirrors: Vec<String>) -> Result<String, Vec<String>> {
    ///     ctx.map(&mirrors, |mirror| ctx.run(download, mirror)).max_concurrency(1).first_ok().await
    /// }
    ///
    /// let runtime = Runtime::builder().in_memory().await?;
    /// let mirrors = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    /// let found = runtime.start("d-1", downloads, mirrors(&["a", "b", "c", "d"])).await?.await?;
    /// assert_eq!(found, Ok("the file".to_owned()));
    /// assert_eq!(runtime.stats().steps_executed, 3); // d was not asked
    /// let found = runtime.start("d-2", downloads, mirrors(&["a", "b"])).await?.await?;
    /// assert_eq!(found, Err(vec!["a is down".to_owned(), "b is down".to_owned()]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn first_ok(self) -> MapFirstOk<'a, F>
    where
        F: MayFail,
    {
        MapFirstOk { until: Until::new(self, Policy::AtLeast(1)) }
    }

    /// Waits until so many have succeeded: an `Err` as soon as too many have failed for that. 0 is `Ok` at once, and more
    /// than there are items an `Err` at once; nothing is begun for either.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use durable_runtime::{Context, Mapped, Runtime, durable};
    ///
    /// async fn sign(witness: &str) -> Result<String, String> {
    ///     if witness == "Bob" { Err("is ill".to_owned()) } else { Ok(format!("signed, {witness}")) }
    /// }
    ///
    /// #[durable]
    /// async fn two_sign(ctx: Context, witnesses: Vec<String>) -> Result<Mapped<String, String>, String> {
    ///     let signed = ctx.map(&witnesses, |witness| ctx.run(sign, witness)).max_concurrency(1).at_least(2).await;
    ///     signed.map_err(|too_few| format!("{} of 2", too_few.succeeded.len()))
    /// }
    ///
    /// let runtime = Runtime::builder().in_memory().await?;
    /// let witnesses = ["Ada", "Bob", "Eve"].map(str::to_owned).to_vec();
    /// let signed = runtime.start("will-1", two_sign, witnesses).await?.await??;
    /// assert_eq!(signed.succeeded, [(0, "signed, Ada".to_owned()), (2, "signed, Eve".to_owned())]);
    /// assert_eq!(signed.failed, [(1, "is ill".to_owned())]);
    /// let witnesses = ["Ada", "Bob"].map(str::to_owned).to_vec();
    /// assert_eq!(runtime.start("will-2", two_sign, witnesses).await?.await?, Err("1 of 2".to_owned()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn at_least(self, successes: usize) -> MapAtLeast<'a, F>
    where
        F: MayFail,
    {
        MapAtLeast { until: Until::new(self, Policy::AtLeast(successes)) }
    }

    /// Waits for all, unless more than so many fail: then it is an `Err` at once. `tolerate(0)` ends with the first error.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use durable_runtime::{Context, Mapped, Runtime, durable};
    ///
    /// async fn import(line: &str) -> Result<u32, String> {
    ///     line.parse().map_err(|_| format!("{line:?} is no number"))
    /// }
    ///
    /// #[durable]
    /// async fn imports(ctx: Context, lines: Vec<String>) -> Result<Mapped<u32, String>, Mapped<u32, String>> {
    ///     ctx.map(&lines, |line| ctx.run(import, line)).max_concurrency(8).tolerate(1).await
    /// }
    ///
    /// let runtime = Runtime::builder().in_memory().await?;
    /// let lines = ["1", "", "3"].map(str::to_owned).to_vec();
    /// let imported = runtime.start("i-1", imports, lines).await?.await?.expect("one is tolerated");
    /// assert_eq!(imported.succeeded, [(0, 1), (2, 3)]);
    /// let lines = ["", "", "3"].map(str::to_owned).to_vec();
    /// let failed = runtime.start("i-2", imports, lines).await?.await?.expect_err("two are not");
    /// assert_eq!(failed.failed.len(), 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn tolerate(self, failures: usize) -> MapTolerate<'a, F>
    where
        F: MayFail,
    {
        MapTolerate { until: Until::new(self, Policy::Tolerate(failures)) }
    }

    /// Polls what was woken, in the order of the items, and gives what has ended to `ended`, until that says it is enough. A
    /// place that becomes free is taken at once. Ready when it is enough, or nothing is left.
    fn poll_each(&mut self, task: &mut TaskContext<'_>, mut ended: impl FnMut(usize, F::Output) -> bool) -> Poll<()> {
        self.running.attend(task.waker());
        let mut next = 0;
        loop {
            while self.running.len() < self.max_concurrency
                && let Some((index, future)) = self.items.as_mut().and_then(Iterator::next)
            {
                self.running.push(index, future);
            }
            // Each once: one that wakes itself has woken the task, too.
            let Some((index, polled)) = self.running.poll_from(next) else { break };
            next = index + 1;
            if let Poll::Ready(output) = polled
                && ended(index, output)
            {
                return Poll::Ready(());
            }
        }
        if self.running.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl<F> Map<'_, F> {
    /// What has lost ends here, and not when the caller happens to drop this.
    fn end(&mut self) {
        self.items = None;
        self.running.clear();
    }

    /// How many items are left whose turn has not come.
    fn waiting(&self) -> usize {
        self.items.as_ref().map_or(0, ExactSizeIterator::len)
    }

    fn show(&self, f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
        f.debug_struct(name)
            .field("run", &self.shared.id)
            .field("running", &self.running.len())
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}

/// What became of the items of [`Context::map`](crate::Context::map), until it was decided.
///
/// ```
/// use durable_runtime::Mapped;
/// let mapped = Mapped { succeeded: vec![(0, "Ada"), (2, "Eve")], failed: vec![(1, "is ill")] };
/// let names: Vec<_> = mapped.succeeded.into_iter().map(|(_, name)| name).collect();
/// assert_eq!(names, ["Ada", "Eve"]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapped<T, E> {
    /// What has succeeded, each with the index of its item, in the order of the items.
    pub succeeded: Vec<(usize, T)>,
    /// What has failed, likewise.
    pub failed: Vec<(usize, E)>,
}

/// All of [`Context::map`](crate::Context::map), made by [`Map::all`]; await it.
#[must_use = "a durable future does nothing unless it is awaited"]
pub struct MapAll<'a, F: Future> {
    map: Map<'a, F>,
    outputs: BTreeMap<usize, F::Output>,
    is_over: bool,
}

impl<F: Future> Future for MapAll<'_, F> {
    type Output = Vec<F::Output>;

    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        if self.is_over {
            return Poll::Pending;
        }
        let this = &mut *self;
        let outputs = &mut this.outputs;
        ready!(this.map.poll_each(task, |index, output| {
            outputs.insert(index, output);
            false
        }));
        this.is_over = true;
        Poll::Ready(std::mem::take(outputs).into_values().collect())
    }
}

/// The first success of [`Context::map`](crate::Context::map), made by [`Map::first_ok`]; await it.
#[must_use = "a durable future does nothing unless it is awaited"]
pub struct MapFirstOk<'a, F: MayFail> {
    until: Until<'a, F>,
}

impl<F: MayFail> Future for MapFirstOk<'_, F> {
    type Output = Result<F::Success, Vec<F::Error>>;

    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        ready!(self.until.poll(task));
        let (succeeded, failed) = self.until.take();
        Poll::Ready(match succeeded.into_values().next() {
            Some(value) => Ok(value),
            None => Err(failed.into_values().collect()),
        })
    }
}

/// Enough successes of [`Context::map`](crate::Context::map), made by [`Map::at_least`]; await it.
#[must_use = "a durable future does nothing unless it is awaited"]
pub struct MapAtLeast<'a, F: MayFail> {
    until: Until<'a, F>,
}

impl<F: MayFail> Future for MapAtLeast<'_, F> {
    type Output = MappedResult<F>;

    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        self.until.poll_mapped(task)
    }
}

/// All of [`Context::map`](crate::Context::map) but for some failures, made by [`Map::tolerate`]; await it.
#[must_use = "a durable future does nothing unless it is awaited"]
pub struct MapTolerate<'a, F: MayFail> {
    until: Until<'a, F>,
}

impl<F: MayFail> Future for MapTolerate<'_, F> {
    type Output = MappedResult<F>;

    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        self.until.poll_mapped(task)
    }
}

/// What became of the items: whether that is enough.
type MappedResult<F> = Result<
    Mapped<<F as MayFail>::Success, <F as MayFail>::Error>,
    Mapped<<F as MayFail>::Success, <F as MayFail>::Error>,
>;

/// When it is decided, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    /// With so many successes, or when there can't be as many.
    AtLeast(usize),
    /// When all have ended, or with one failure more than that.
    Tolerate(usize),
}

/// How many items there are, and what became of them so far.
#[derive(Debug, Clone, Copy)]
struct Score {
    items: usize,
    succeeded: usize,
    failed: usize,
}

impl Policy {
    /// Whether it is `Ok`, if that is decided.
    fn verdict(self, Score { items, succeeded, failed }: Score) -> Option<bool> {
        match self {
            Self::AtLeast(successes) if succeeded >= successes => Some(true),
            Self::AtLeast(successes) => (items - failed < successes).then_some(false),
            Self::Tolerate(failures) if failed > failures => Some(false),
            Self::Tolerate(_) => (succeeded + failed == items).then_some(true),
        }
    }
}

/// The items until it is decided.
struct Until<'a, F: MayFail> {
    map: Map<'a, F>,
    policy: Policy,
    score: Score,
    succeeded: BTreeMap<usize, F::Success>,
    failed: BTreeMap<usize, F::Error>,
    is_over: bool,
}

impl<'a, F: MayFail> Until<'a, F> {
    fn new(map: Map<'a, F>, policy: Policy) -> Self {
        let score = Score { items: map.waiting(), succeeded: 0, failed: 0 };
        Self { map, policy, score, succeeded: BTreeMap::new(), failed: BTreeMap::new(), is_over: false }
    }

    /// Whether it is `Ok`.
    fn poll(&mut self, task: &mut TaskContext<'_>) -> Poll<bool> {
        if self.is_over {
            return Poll::Pending;
        }
        let Self { map, policy, score, succeeded, failed, .. } = self;
        // Before anything is begun, and after each: what ends behind that does not count.
        let mut verdict = policy.verdict(*score);
        if verdict.is_none() {
            ready!(map.poll_each(task, |index, output| {
                match output {
                    Ok(value) => drop(succeeded.insert(index, value)),
                    Err(error) => drop(failed.insert(index, error)),
                }
                (score.succeeded, score.failed) = (succeeded.len(), failed.len());
                verdict = policy.verdict(*score);
                verdict.is_some()
            }));
        }
        // Without a verdict an item is missing: code that has caught a panic of its closure or its future has gone on.
        let is_ok = verdict.unwrap_or(false);
        self.is_over = true;
        self.map.end();
        Poll::Ready(is_ok)
    }

    fn poll_mapped(&mut self, task: &mut TaskContext<'_>) -> Poll<MappedResult<F>> {
        let is_ok = ready!(self.poll(task));
        let (succeeded, failed) = self.take();
        let mapped = Mapped { succeeded: succeeded.into_iter().collect(), failed: failed.into_iter().collect() };
        Poll::Ready(if is_ok { Ok(mapped) } else { Err(mapped) })
    }

    fn take(&mut self) -> (BTreeMap<usize, F::Success>, BTreeMap<usize, F::Error>) {
        (std::mem::take(&mut self.succeeded), std::mem::take(&mut self.failed))
    }
}

// Nothing in them is pinned: the futures that run are in boxes.
impl<F: Future> Unpin for MapAll<'_, F> {}
impl<F: MayFail> Unpin for MapFirstOk<'_, F> {}
impl<F: MayFail> Unpin for MapAtLeast<'_, F> {}
impl<F: MayFail> Unpin for MapTolerate<'_, F> {}

impl<F> fmt::Debug for Map<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.show(f, "Map")
    }
}

impl<F: Future> fmt::Debug for MapAll<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.map.show(f, "MapAll")
    }
}

impl<F: MayFail> fmt::Debug for MapFirstOk<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.until.map.show(f, "MapFirstOk")
    }
}

impl<F: MayFail> fmt::Debug for MapAtLeast<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.until.map.show(f, "MapAtLeast")
    }
}

impl<F: MayFail> fmt::Debug for MapTolerate<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.until.map.show(f, "MapTolerate")
    }
}
