//! What a step's body may know of itself.

use std::any::{Any, TypeId, type_name};
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::{Arc, OnceLock};

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::shared::RunShared;
use crate::RunId;
use crate::emission::Sinks;
use crate::halt::{Halt, HaltReason};
use crate::payload::{Payload, PayloadError};
use crate::replay::ClaimNumber;

/// What a step may ask for: its key, its attempt, the application's dependencies.
///
/// A step that wants it takes it as its first parameter; `#[durable]` passes it along. It has no
/// durable operations, so a step inside a step does not compile.
///
/// ```
/// use durable_runtime::{Context, StepContext, durable};
///
/// struct Gateway;
/// impl Gateway {
///     async fn charge(&self, cents: u64, idempotency_key: &str) -> String {
///         format!("charged {cents} for {idempotency_key}")
///     }
/// }
///
/// async fn charge_card(step: StepContext, cents: u64) -> String {
///     step.dependency::<Gateway>().charge(cents, step.idempotency_key()).await
/// }
///
/// #[durable]
/// async fn pay(ctx: Context, cents: u64) -> String {
///     ctx.run(charge_card, cents).await
/// }
/// ```
#[derive(Clone)]
pub struct StepContext {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<RunShared>,
    claim: ClaimNumber,
    key: Arc<str>,
    attempt: u32,
    idempotency_key: OnceLock<String>,
    cancellation: CancellationToken,
}

impl StepContext {
    pub(crate) fn new(shared: Arc<RunShared>, claim: ClaimNumber, key: Arc<str>, attempt: u32) -> Self {
        let (idempotency_key, cancellation) = (OnceLock::new(), CancellationToken::new());
        Self { inner: Arc::new(Inner { shared, claim, key, attempt, idempotency_key, cancellation }) }
    }

    /// The id of the run that the step belongs to.
    pub fn run_id(&self) -> &RunId {
        &self.inner.shared.id
    }

    /// What the run belongs to, together with others: what [`Start::correlation_id`](crate::Start::correlation_id) said, else
    /// the run's own id. For what the step calls, so that what happens there can be found together with the run.
    pub fn correlation_id(&self) -> &str {
        self.inner.shared.correlation_id()
    }

    /// The step's key within its run: `charge_card`, or `charge_card#2` for the second of that name.
    pub fn key(&self) -> &str {
        &self.inner.key
    }

    /// `<run id>:<key>`, such as `ord_abc123:charge_card`: the same on every attempt, after every crash
    /// and on every replay (R4). Pass it to whatever the step talks to, so that it can tell a repetition.
    ///
    /// When the run has [continued as new](crate::Context::continue_as_new), it goes on with `@2`, then `@3` …:
    /// `ord_abc123:charge_card@2`. No two steps share one: a `:`, `%` or `@` in a step's own name is written `%3A`, `%25` or `%40` here.
    pub fn idempotency_key(&self) -> &str {
        let Inner { shared, key, .. } = &*self.inner;
        self.inner.idempotency_key.get_or_init(|| idempotency_key(&shared.id, key, shared.part))
    }

    /// Where what runs emit is delivered to.
    pub(crate) fn sinks(&self) -> &Sinks {
        &self.inner.shared.environment.sinks
    }

    /// Which attempt this is, if each part of the run makes so many.
    pub(crate) fn attempt_of_all(&self, of_each_part: u32) -> u32 {
        let before = u32::try_from(self.inner.shared.part - 1).unwrap_or(u32::MAX).saturating_mul(of_each_part);
        before.saturating_add(self.attempt())
    }

    /// Which attempt this is, from 1: one more than those that failed and were to be followed by another one, which is recorded, and so counted
    /// across restarts (R11). An attempt that has no outcome recorded, because the process died or the run was halted while it
    /// was under way, is not counted: the next one has the same number, and the same [`idempotency_key`](Self::idempotency_key).
    pub fn attempt(&self) -> u32 {
        self.inner.attempt
    }

    /// Says how far this attempt has come, for those who look at the run: [`RunInfo::running`](crate::RunInfo::running) shows what
    /// was said last, while the attempt is running. It is not recorded, and forgotten when the attempt is over.
    ///
    /// # Errors
    /// A [`PayloadError`] if the value can't be encoded, or not in
    /// [`Limits::payload_bytes`](crate::Limits::payload_bytes). What was said before stays.
    ///
    /// ```
    /// use durable_runtime::{Context, Failure, StepContext, durable};
    ///
    /// async fn copy(step: StepContext, files: u32) -> Result<u32, Failure> {
    ///     for file in 0..files {
    ///         step.report(&format!("{file} of {files} files"))?;
    ///     }
    ///     Ok(files)
    /// }
    ///
    /// #[durable]
    /// async fn copies(ctx: Context) -> Result<u32, Failure> {
    ///     ctx.run(copy, 100).await
    /// }
    /// ```
    pub fn report<T: Serialize + ?Sized>(&self, progress: &T) -> Result<(), PayloadError> {
        let Inner { shared, claim, attempt, .. } = &*self.inner;
        let environment = &shared.environment;
        let progress = Payload::encode(environment.codec, progress, environment.limits.payload_bytes)?;
        shared.progressed(*claim, *attempt, progress);
        Ok(())
    }

    /// What tells that nobody waits for this attempt any more: it is cancelled when the attempt is over, and so also when it was
    /// dropped because it took too long or lost a race, when the run was [cancelled](crate::Runtime::cancel) or halted, and when
    /// the runtime was shut down or dropped.
    ///
    /// The attempt itself need not look at it, because it is dropped at its next `.await` then. It is for what the
    /// attempt has set off and a drop does not stop: a blocking thread, a task, a process.
    ///
    /// ```
    /// use durable_runtime::{Context, Failure, StepContext, durable};
    ///
    /// async fn count_primes(step: StepContext, below: u64) -> Result<usize, Failure> {
    ///     let cancellation = step.cancellation();
    ///     let counted = tokio::task::spawn_blocking(move || {
    ///         let is_prime = |number: &u64| (2..*number).all(|divisor| number % divisor != 0);
    ///         (2..below).take_while(|_| !cancellation.is_cancelled()).filter(is_prime).count()
    ///     });
    ///     Ok(counted.await?)
    /// }
    ///
    /// #[durable]
    /// async fn counts(ctx: Context) -> Result<usize, Failure> {
    ///     ctx.run(count_primes, 1_000_000).await
    /// }
    /// ```
    #[must_use]
    pub fn cancellation(&self) -> CancellationToken {
        self.inner.cancellation.clone()
    }

    /// The dependency of type `T` that was given to `RuntimeBuilder::dependency`.
    ///
    /// # Panics
    /// If there is none. The run is then halted with a message that says so, and can be resumed once
    /// the dependency is there.
    pub fn dependency<T: Send + Sync + 'static>(&self) -> Arc<T> {
        let shared = &self.inner.shared;
        shared.environment.dependencies.get::<T>().unwrap_or_else(|| {
            let message = format!(
                "there is no dependency of type `{}`: add `.dependency(…)` to `Runtime::builder()`, restart, and resume the run",
                type_name::<T>()
            );
            // Said here as well, because a retry policy would try again after the panic.
            shared.halt(Halt::new(HaltReason::Misuse, Some(Arc::clone(&self.inner.key)), message.clone()));
            panic!("[{}] {message}", HaltReason::Misuse.code())
        })
    }
}

/// The last `:` ends the run's id, so that run `a` with step `b:c` and run `a:b` with step `c` differ; and what is behind
/// the last `@` behind that is the run's part, if it is not the first one.
pub(crate) fn idempotency_key(run: &RunId, key: &str, part: u64) -> String {
    let mut whole = format!("{}:", run.as_str());
    for character in key.chars() {
        match character {
            '%' => whole.push_str("%25"),
            ':' => whole.push_str("%3A"),
            '@' => whole.push_str("%40"),
            other => whole.push(other),
        }
    }
    if part > 1 {
        // Writing to a string does not fail.
        let _ = write!(whole, "@{part}");
    }
    whole
}

impl fmt::Debug for StepContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepContext")
            .field("run", self.run_id())
            .field("key", &self.inner.key)
            .field("attempt", &self.inner.attempt)
            .finish_non_exhaustive()
    }
}

/// The application's dependencies, by type.
#[derive(Default)]
pub(crate) struct Dependencies {
    by_type: BTreeMap<TypeId, (&'static str, Arc<dyn Any + Send + Sync>)>,
}

impl Dependencies {
    pub(crate) fn insert<T: Send + Sync + 'static>(&mut self, dependency: Arc<T>) {
        self.by_type.insert(TypeId::of::<T>(), (type_name::<T>(), dependency));
    }

    pub(crate) fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.by_type.get(&TypeId::of::<T>()).and_then(|(_, dependency)| dependency.clone().downcast().ok())
    }
}

impl fmt::Debug for Dependencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_type.values().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R4.
    #[test]
    fn no_two_steps_share_an_idempotency_key() {
        let of = |run: &str, key: &str, part| idempotency_key(&RunId::new(run).expect("a valid id"), key, part);
        assert_eq!(of("ord_abc123", "charge_card#2", 1), "ord_abc123:charge_card#2");
        assert_eq!(of("ord_abc123", "charge_card#2", 25), "ord_abc123:charge_card#2@25");
        assert_eq!(of("a", "b:c", 1), "a:b%3Ac");
        assert_ne!(of("a", "b:c", 1), of("a:b", "c", 1));
        assert_ne!(of("a", "b:c", 1), of("a", "b%3Ac", 1));
        assert_ne!(of("a", "b", 2), of("a", "b@2", 1));
        assert_ne!(of("a", "b@2", 1), of("a", "b%402", 1));
        assert_ne!(of("a@2:b", "c", 1), of("a", "b", 2));
    }
}
