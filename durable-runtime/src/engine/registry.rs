//! Which durable functions this program has.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;

use crate::context::Ended;
use crate::context::patch::Patch;
use crate::function::{CallSite, DurableFunction, OnChange};
use crate::panics::message_of;
use crate::payload::{Codec, PAYLOAD_BYTES_MAX, Payload};
use crate::value;
use crate::{Context, Digest, Recorded};

/// A function's result on its way into the journal.
#[derive(Debug)]
pub(crate) struct Returned {
    pub(crate) result: Payload,
    pub(crate) failed: bool,
}

/// A run's code: resolves to what the function returned, encoded, or to why it can't be encoded.
pub(crate) type Code = Pin<Box<dyn Future<Output = Ended<Result<Returned, String>>> + Send>>;

/// What `#[durable]` registers for each function, so that recovery finds it by name.
pub struct Registration {
    pub(crate) name: &'static str,
    pub(crate) version: u32,
    pub(crate) fingerprint: u64,
    pub(crate) module: &'static str,
    pub(crate) on_change: OnChange,
    pub(crate) call_sites: &'static [CallSite],
    pub(crate) may_undo: bool,
    pub(crate) call: fn(Context, &Payload, Codec, usize) -> Result<Code, String>,
    /// What an encoded result says, or why it is none of this function.
    pub(crate) read_result: fn(&Payload) -> Result<Meaning, String>,
}

impl Registration {
    /// The registration of `F`.
    pub const fn of<F: DurableFunction>() -> Self {
        Self {
            name: F::NAME,
            version: F::VERSION,
            fingerprint: F::FINGERPRINT,
            module: F::MODULE,
            on_change: F::ON_CHANGE,
            call_sites: F::CALL_SITES,
            may_undo: F::MAY_UNDO,
            call: call::<F>,
            read_result: read_result::<F>,
        }
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").field("name", &self.name).field("module", &self.module).finish_non_exhaustive()
    }
}

inventory::collect!(Registration);

fn call<F: DurableFunction>(context: Context, input: &Payload, codec: Codec, bytes_max: usize) -> Result<Code, String> {
    let input = decode::<F::Input>(input)?;
    let undone = context.clone();
    let code = F::call(context, input);
    let returned = async move {
        let output = code.await;
        let result = Payload::encode(codec, &output, bytes_max).map_err(|error| error.to_string())?;
        Ok(Returned { result, failed: value::is_err(&output) })
    };
    // What can't be recorded halts the run, which is no failure of the function.
    Ok(Box::pin(async move {
        undone.follow(returned, |returned| matches!(returned, Ok(Returned { failed: true, .. }))).await
    }))
}

/// What a value says, however it is encoded.
#[derive(Debug)]
pub(crate) struct Meaning {
    pub(crate) digest: Digest,
    /// For people.
    pub(crate) text: String,
}

fn read_result<F: DurableFunction>(result: &Payload) -> Result<Meaning, String> {
    let output = decode::<F::Output>(result)?;
    let meaning = || {
        let digest = value::digest(&output).map_err(|error| error.to_string())?;
        let readable = Payload::encode(Codec::Json, &output, PAYLOAD_BYTES_MAX);
        Ok(Meaning { digest, text: readable.as_ref().unwrap_or(result).text() })
    };
    catch_unwind(AssertUnwindSafe(meaning))
        .map_err(|panic| format!("its serialization panicked: {}", message_of(&*panic)))?
}

fn decode<T: Recorded>(payload: &Payload) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(|| payload.decode::<T>()))
        .map_err(|panic| format!("its deserialization panicked: {}", message_of(&*panic)))?
        .map_err(|error| error.to_string())
}

/// The program's functions, by name.
#[derive(Debug)]
pub(crate) struct Registry {
    by_name: BTreeMap<&'static str, Vec<&'static Registration>>,
    patches: BTreeSet<&'static str>,
}

/// Why a name does not say which function is meant.
#[derive(Debug)]
pub(crate) enum NotFound {
    /// No function has the name.
    Unregistered,
    /// Several have it, in these modules.
    Ambiguous { modules: Vec<&'static str> },
}

impl Registry {
    /// Collects what `#[durable]` registered in this program.
    pub(crate) fn collect() -> Self {
        let mut by_name: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for registration in inventory::iter::<Registration> {
            by_name.entry(registration.name).or_default().push(registration);
        }
        let patches = inventory::iter::<Patch>.into_iter().filter_map(Patch::id).collect();
        Self { by_name, patches }
    }

    /// The ids of the program's patches, in a fixed order.
    pub(crate) fn patches(&self) -> impl Iterator<Item = &'static str> {
        self.patches.iter().copied()
    }

    /// The one function of this name.
    ///
    /// # Errors
    /// [`NotFound`]: runs are recorded by name, so after a crash nobody could tell which of two was meant.
    pub(crate) fn get(&self, name: &str) -> Result<&'static Registration, NotFound> {
        match self.by_name.get(name).map(Vec::as_slice) {
            Some([one]) => Ok(one),
            None | Some([]) => Err(NotFound::Unregistered),
            Some(several) => {
                let mut modules: Vec<_> = several.iter().map(|registration| registration.module).collect();
                modules.sort_unstable();
                Err(NotFound::Ambiguous { modules })
            }
        }
    }
}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unregistered => f.write_str("is not part of this program"),
            Self::Ambiguous { modules } => {
                write!(f, "is the name of several functions of this program (in {})", modules.join(" and in "))
            }
        }
    }
}
