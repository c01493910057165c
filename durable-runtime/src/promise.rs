//! Settling a promise, from outside.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::engine::NotReceived;
use crate::error::PromiseError;
use crate::id::{PromiseId, PromiseIdParts};
use crate::journal::{PromiseSettled, Settlement};
use crate::payload::{Payload, PayloadError};
use crate::replay::{Incoming, Sent, Settled};
use crate::runtime::Runtime;
use crate::value;

impl Runtime {
    /// Resolves a promise that a run has made with [`Context::promise`](crate::Context::promise): the run's code is given
    /// the value.
    ///
    /// When it returns, that is durable. The first who settles a promise wins: everybody later is told so, with
    /// [`PromiseError::Settled`], and changes nothing. The run may be wherever it is: in memory, suspended (then it is
    /// woken), halted (it learns of it when it is resumed), or not recovered yet.
    ///
    /// # Errors
    /// A [`PromiseError`]; unless it is [`Store`](PromiseError::Store), nothing was recorded. To try again is always safe.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use durable_runtime::{Context, PromiseError, PromiseFailure, PromiseId, Runtime, StepContext, durable};
    ///
    /// # type Letters = std::sync::mpsc::Sender<PromiseId>;
    /// async fn mail(step: StepContext, id: &PromiseId) {
    ///     // The link is https://shop.example/approve/{id}
    /// #   step.dependency::<Letters>().send(id.clone()).unwrap();
    /// }
    ///
    /// #[durable]
    /// async fn asks_by_mail(ctx: Context) -> Result<u32, PromiseFailure> {
    ///     let answer = ctx.promise::<u32>("answer");
    ///     ctx.run(mail, &answer.id()).await;
    ///     answer.await
    /// }
    ///
    /// # let (letters, mailbox) = std::sync::mpsc::channel::<PromiseId>();
    /// # let runtime = Runtime::builder().dependency(letters).in_memory().await?;
    /// let run = runtime.start("question-1", asks_by_mail, ()).await?;
    /// # let link = tokio::task::spawn_blocking(move || mailbox.recv()).await??;
    /// // Whoever clicks the link:
    /// runtime.resolve(&link, &42).await?;
    /// let late = runtime.reject(&link, "I don't know").await;
    /// assert!(matches!(late, Err(PromiseError::Settled { as_asked: false, .. })));
    /// assert_eq!(run.await?, Ok(42));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn resolve<T: Serialize + ?Sized>(
        &self,
        promise: impl AsRef<str>,
        value: &T,
    ) -> Result<(), PromiseError> {
        let parts = PromiseId::parts(promise.as_ref())?;
        let environment = &self.inner.engine.environment;
        let settlement =
            Payload::encode(environment.codec, value, environment.limits.payload_bytes).and_then(|payload| {
                let digest = value::digest(value).map_err(|error| {
                    let (type_name, codec) = (std::any::type_name::<T>(), environment.codec);
                    PayloadError::Encode { type_name, codec, detail: error.to_string() }
                })?;
                Ok(Settlement::Resolved { value: payload, digest: digest.0 })
            });
        self.settle(parts, settlement).await
    }

    /// Rejects a promise that a run has made with [`Context::promise`](crate::Context::promise): the run's code is given
    /// [`PromiseFailure::Rejected`](crate::PromiseFailure::Rejected) with the reason.
    ///
    /// All that is said of [`resolve`](Self::resolve) is true of it, too. The reason may have as many bytes as a payload.
    ///
    /// # Errors
    /// A [`PromiseError`]; unless it is [`Store`](PromiseError::Store), nothing was recorded. To try again is always safe.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use durable_runtime::{PromiseError, Runtime};
    ///
    /// let runtime = Runtime::builder().in_memory().await?;
    /// let refused = runtime.reject("what the browser sent", "it is too expensive").await;
    /// assert!(matches!(refused, Err(PromiseError::InvalidId(_))));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn reject(&self, promise: impl AsRef<str>, reason: impl fmt::Display) -> Result<(), PromiseError> {
        let parts = PromiseId::parts(promise.as_ref())?;
        let environment = &self.inner.engine.environment;
        let reason = reason.to_string();
        let fits = Payload::encode(environment.codec, &reason, environment.limits.payload_bytes);
        self.settle(parts, fits.map(|_| Settlement::Rejected(reason.into()))).await
    }

    async fn settle(
        &self,
        parts: PromiseIdParts,
        settlement: Result<Settlement, PayloadError>,
    ) -> Result<(), PromiseError> {
        let PromiseIdParts { run, key, token } = parts;
        let settlement = match settlement {
            Ok(settlement) => settlement,
            Err(source) => return Err(PromiseError::Value { run, key, source: Arc::new(source) }),
        };
        let engine = &self.inner.engine;
        let at = engine.environment.clock.now().0;
        let settled = PromiseSettled { key: key.clone().into(), settlement, at };
        match engine.send(&run, &Incoming::Promise { settled, token }).await {
            Ok(Sent::New) => Ok(()),
            Ok(Sent::Settled(Settled { state, at, as_asked })) => {
                Err(PromiseError::Settled { run, key, state, at, as_asked })
            }
            // The others are said of other things.
            Ok(
                Sent::NoSuchPromise
                | Sent::NoSuchChild
                | Sent::NotBegun
                | Sent::Again
                | Sent::Conflicts
                | Sent::TooMany,
            ) => Err(PromiseError::Unknown { run, why: "the run has made none such, or was deleted and started anew" }),
            Err(NotReceived::Unknown) => {
                Err(PromiseError::Unknown { run, why: "the run is not there, or not any more" })
            }
            Err(NotReceived::Finished(status)) => Err(PromiseError::Finished { run, key, status }),
            Err(NotReceived::ShuttingDown) => Err(PromiseError::ShuttingDown { run, key }),
            Err(NotReceived::Store(source)) => Err(PromiseError::Store { run, key, source }),
        }
    }
}
