//! Sending a signal to a run, from outside.

use std::fmt;
use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::Arc;

use serde::Serialize;

use crate::context::check_name;
use crate::engine::NotReceived;
use crate::error::SignalError;
use crate::id::RunId;
use crate::journal::SignalReceived;
use crate::payload::{Payload, PayloadError};
use crate::replay::{Incoming, Sent};
use crate::runtime::Runtime;
use crate::value;

/// The longest id of a signal, in bytes.
pub const SIGNAL_ID_BYTES_MAX: usize = 1_024;

/// A signal that is about to be sent, made by [`Runtime::signal`]; await it to send it.
#[must_use = "a signal is sent when it is awaited"]
pub struct SendSignal {
    runtime: Runtime,
    prepared: Result<(RunId, SignalReceived), SignalError>,
}

/// What became of a signal that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignalSent {
    /// It is recorded, and will be given to the run's code once.
    Recorded,
    /// It had been recorded before, under the same [id](SendSignal::id), and is not recorded again.
    Duplicate,
}

impl Runtime {
    /// Sends a signal to a run, which receives it with [`Context::signal`](crate::Context::signal).
    ///
    /// When awaiting it returns, the signal is durable, and given to the run's code once, when that asks for one of this
    /// name: now, later, or after a crash. A suspended run is woken; a halted one gets it when it is resumed. To be able
    /// to send it again when it is not known whether it arrived, give it an [id](SendSignal::id).
    ///
    /// Signals of one name arrive in the order in which they were acknowledged. Those that the run has not asked for when
    /// it ends are never given to it.
    ///
    /// # Errors
    /// A [`SignalError`]; unless it is [`Store`](SignalError::Store), nothing was recorded.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use durable_runtime::{Context, Runtime, SignalSent, durable};
    ///
    /// #[durable]
    /// async fn adds_up(ctx: Context) -> u32 {
    ///     ctx.signal::<u32>("number").await + ctx.signal::<u32>("number").await
    /// }
    ///
    /// let runtime = Runtime::builder().in_memory().await?;
    /// let run = runtime.start("sum-1", adds_up, ()).await?;
    /// assert_eq!(runtime.signal("sum-1", "number", &30).id("click-1").await?, SignalSent::Recorded);
    /// assert_eq!(runtime.signal("sum-1", "number", &30).id("click-1").await?, SignalSent::Duplicate);
    /// runtime.signal("sum-1", "number", &12).await?;
    /// assert_eq!(run.await?, 42);
    /// # Ok(())
    /// # }
    /// ```
    pub fn signal<T: Serialize + ?Sized>(&self, run: impl AsRef<str>, name: impl AsRef<str>, value: &T) -> SendSignal {
        SendSignal { runtime: self.clone(), prepared: self.prepare(run.as_ref(), name.as_ref(), value) }
    }

    fn prepare<T: Serialize + ?Sized>(
        &self,
        run: &str,
        name: &str,
        value: &T,
    ) -> Result<(RunId, SignalReceived), SignalError> {
        let run = RunId::new(run)?;
        check_name(name).map_err(|why| SignalError::Name { run: run.clone(), why })?;
        let environment = &self.inner.engine.environment;
        let refused = |source| SignalError::Value { run: run.clone(), name: name.to_owned(), source: Arc::new(source) };
        let payload = Payload::encode(environment.codec, value, environment.limits.payload_bytes).map_err(refused)?;
        let digest = value::digest(value).map_err(|error| {
            let (type_name, codec) = (std::any::type_name::<T>(), environment.codec);
            refused(PayloadError::Encode { type_name, codec, detail: error.to_string() })
        })?;
        let at = environment.clock.now().0;
        Ok((run, SignalReceived { name: name.to_owned().into(), id: None, value: payload, digest: digest.0, at }))
    }
}

impl SendSignal {
    /// Gives the signal an id of the sender's: another one that is sent to the same run under the same id is the same
    /// signal, and is recorded once, however often it is sent. 1 to [`SIGNAL_ID_BYTES_MAX`] bytes.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        let id = id.into();
        self.prepared = self.prepared.and_then(|(run, signal)| {
            if id.is_empty() || id.len() > SIGNAL_ID_BYTES_MAX {
                let why = format!("its id has {} bytes, and must have 1 to {SIGNAL_ID_BYTES_MAX}", id.len());
                return Err(SignalError::Name { run, why });
            }
            Ok((run, SignalReceived { id: Some(id.into()), ..signal }))
        });
        self
    }

    async fn send(self) -> Result<SignalSent, SignalError> {
        let (run, signal) = self.prepared?;
        let engine = &self.runtime.inner.engine;
        let (name, id) = (signal.name.to_string(), signal.id.clone());
        match engine.send(&run, &Incoming::Signal(signal)).await {
            Ok(Sent::New) => Ok(SignalSent::Recorded),
            Ok(Sent::Again) => Ok(SignalSent::Duplicate),
            Ok(Sent::Conflicts) => {
                Err(SignalError::Conflict { run, name, id: id.map(|id| id.to_string()).unwrap_or_default() })
            }
            Ok(Sent::TooMany) => Err(SignalError::TooMany { run, limit: engine.environment.limits.signals }),
            // The first three are said of other things; never is something said to be recorded that is not.
            Ok(Sent::Settled(_) | Sent::NoSuchPromise | Sent::NoSuchChild | Sent::NotBegun)
            | Err(NotReceived::Unknown) => Err(SignalError::Unknown { run }),
            Err(NotReceived::Finished(status)) => Err(SignalError::Finished { run, status }),
            Err(NotReceived::ShuttingDown) => Err(SignalError::ShuttingDown { run }),
            Err(NotReceived::Store(source)) => Err(SignalError::Store { run, source }),
        }
    }
}

impl IntoFuture for SendSignal {
    type Output = Result<SignalSent, SignalError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

impl fmt::Debug for SendSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signal = self.prepared.as_ref().map(|(run, signal)| (run, &signal.name, &signal.id));
        f.debug_struct("SendSignal").field("signal", &signal).finish_non_exhaustive()
    }
}
