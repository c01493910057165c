//! Waiting for somebody who was given an id: `ctx.promise`.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::shared::RunShared;
use super::signal::read_or_halt;
use crate::chance::promise_token;
use crate::clock::Timestamp;
use crate::id::{PromiseId, PromiseIdParts};
use crate::journal::{OperationKind, Settlement};
use crate::replay::{Answer, ClaimNumber, Request};

/// A promise, made with [`Context::promise`](crate::Context::promise); give its [id](Self::id) to whoever is to keep it,
/// and await it.
///
/// The first who [resolves](crate::Runtime::resolve) or [rejects](crate::Runtime::reject) it wins, be it before the code
/// awaits it, and everybody later is told so. So is the [time](Self::timeout), if it has one. A replay gives the same.
/// Dropping it does not make it settled: whoever settles it then is told that it was done.
///
/// What it is resolved with is read as a `T` when it is given out. If it can't be, the run is halted
/// ([`HaltReason::Value`](crate::HaltReason::Value)), and nothing is lost: deploy code that reads it, and resume the run.
#[must_use = "a promise does nothing unless it is awaited"]
pub struct Promise<T> {
    shared: Arc<RunShared>,
    claim: ClaimNumber,
    key: Arc<str>,
    due: Option<Timestamp>,
    is_over: bool,
    value: PhantomData<fn() -> T>,
}

impl<T> Promise<T> {
    #[track_caller]
    pub(super) fn claim(shared: &Arc<RunShared>, name: Cow<'static, str>) -> Self {
        let site = Location::caller();
        shared.check_place(&format_args!("`ctx.promise({name:?})` at {site}"));
        let request = Request { name: name.clone(), kind: OperationKind::Promise, digest: 0, site: site.into() };
        let (claim, _) = shared.claim_named(request);
        let key = shared.operation(claim).map_or_else(|| name.into(), |operation| operation.key);
        Self { shared: Arc::clone(shared), claim, key, due: None, is_over: false, value: PhantomData }
    }

    /// What the promise is known by outside of the run: the same after a crash, and hard to guess.
    ///
    /// ```
    /// use durable_runtime::{Context, PromiseFailure, PromiseId, durable};
    ///
    /// async fn mail(link: &str) {
    ///     println!("please click {link}");
    /// }
    ///
    /// #[durable]
    /// async fn confirms_an_address(ctx: Context) -> Result<(), PromiseFailure> {
    ///     let click = ctx.promise::<()>("click");
    ///     let link = format!("https://shop.example/confirm/{}", click.id());
    ///     ctx.run(mail, &link).await;
    ///     click.await
    /// }
    /// ```
    pub fn id(&self) -> PromiseId {
        let ((run, seed), key) = (self.shared.told(), self.key.to_string());
        let token = promise_token(seed, &key);
        PromiseId::of(&PromiseIdParts { run: run.clone(), key, token })
    }

    /// Gives it so long, counted from [`Context::now`](crate::Context::now), across restarts. If nobody has settled it by
    /// then, it yields [`PromiseFailure::TimedOut`], and whoever comes later is told that it was too late.
    ///
    /// The time is recorded when the promise is awaited. [`Context::timeout`](crate::Context::timeout) ends the wait, too,
    /// but nobody is told.
    ///
    /// ```
    /// use std::time::Duration;
    /// use durable_runtime::{Context, PromiseFailure, durable};
    ///
    /// #[durable]
    /// async fn waits_for_a_week(ctx: Context) -> Result<bool, PromiseFailure> {
    ///     ctx.promise("approval").timeout(Duration::from_secs(7 * 86_400)).await
    /// }
    /// ```
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.due = Some(self.shared.now().after(limit));
        self
    }
}

/// What a promise yields that nobody has resolved.
///
/// ```
/// use durable_runtime::PromiseFailure;
/// let failure = PromiseFailure::Rejected("it is too expensive".to_owned());
/// assert_eq!(failure.to_string(), "[D0308] the promise was rejected: it is too expensive");
/// assert_eq!(PromiseFailure::TimedOut.to_string(), "[D0309] nobody has settled the promise in time");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, Error)]
pub enum PromiseFailure {
    /// Somebody has rejected it, for this reason.
    #[error("[D0308] the promise was rejected: {0}")]
    Rejected(String),
    /// Its [time](Promise::timeout) has passed.
    #[error("[D0309] nobody has settled the promise in time")]
    TimedOut,
}

impl<T: DeserializeOwned> Future for Promise<T> {
    type Output = Result<T, PromiseFailure>;

    fn poll(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let promise = self.get_mut();
        promise.shared.check_place(&"a promise");
        if promise.is_over {
            return Poll::Pending;
        }
        let Promise { shared, claim, key, due, .. } = promise;
        let Some(answer) = shared.take_promise(*claim, key, *due, task.waker()) else { return Poll::Pending };
        promise.is_over = true;
        match answer {
            Answer::Promise(Settlement::Resolved { value, .. }) => {
                match read_or_halt(&promise.shared, promise.claim, &value, &"the promise was resolved with") {
                    Some(value) => Poll::Ready(Ok(value)),
                    None => Poll::Pending,
                }
            }
            Answer::Promise(Settlement::Rejected(reason)) => {
                Poll::Ready(Err(PromiseFailure::Rejected(reason.to_string())))
            }
            Answer::Fired => Poll::Ready(Err(PromiseFailure::TimedOut)),
            // Not for a promise: of which kind an operation is was compared (R9).
            Answer::Step(_) | Answer::Signal(_) | Answer::Child(_) => Poll::Pending,
        }
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        self.shared.abandon(self.claim);
    }
}

impl<T> fmt::Debug for Promise<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Promise").field("run", &self.shared.id).field("key", &self.key).finish_non_exhaustive()
    }
}
