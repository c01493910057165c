//! Which durable functions this program has.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;

use crate::Context;
use crate::function::DurableFunction;
use crate::panics::message_of;
use crate::payload::{Codec, Payload};
use crate::value;

/// A function's result on its way into the journal.
#[derive(Debug)]
pub(crate) struct Returned {
    pub(crate) result: Payload,
    pub(crate) failed: bool,
}

/// A run's code: resolves to what the function returned, encoded, or to why it can't be encoded.
pub(crate) type Code = Pin<Box<dyn Future<Output = Result<Returned, String>> + Send>>;

/// What `#[durable]` registers for each function, so that recovery finds it by name.
pub struct Registration {
    pub(crate) name: &'static str,
    pub(crate) version: u32,
    pub(crate) fingerprint: u64,
    pub(crate) module: &'static str,
    pub(crate) call: fn(Context, &Payload, Codec, usize) -> Result<Code, String>,
}

impl Registration {
    /// The registration of `F`.
    pub const fn of<F: DurableFunction>() -> Self {
        Self {
            name: F::NAME,
            version: F::VERSION,
            fingerprint: F::FINGERPRINT,
            module: F::MODULE,
            call: call::<F>,
        }
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").field("name", &self.name).field("module", &self.module).finish_non_exhaustive()
    }
}

inventory::collect!(Registration);

fn call<F: DurableFunction>(
    context: Context,
    input: &Payload,
    codec: Codec,
    bytes_max: usize,
) -> Result<Code, String> {
    let input = catch_unwind(AssertUnwindSafe(|| input.decode::<F::Input>()))
        .map_err(|panic| format!("its deserialization panicked: {}", message_of(&*panic)))?
        .map_err(|error| error.to_string())?;
    let code = F::call(context, input);
    Ok(Box::pin(async move {
        let output = code.await;
        let result = Payload::encode(codec, &output, bytes_max).map_err(|error| error.to_string())?;
        Ok(Returned { result, failed: value::is_err(&output) })
    }))
}

/// The program's functions, by name.
#[derive(Debug)]
pub(crate) struct Registry {
    by_name: BTreeMap<&'static str, &'static Registration>,
}

/// Two functions of one name.
#[derive(Debug)]
pub(crate) struct Duplicate {
    pub(crate) name: &'static str,
    pub(crate) modules: [&'static str; 2],
}

impl Registry {
    /// Collects what `#[durable]` registered in this program.
    ///
    /// # Errors
    /// [`Duplicate`] if two functions have the same name: the journal could not tell them apart.
    pub(crate) fn collect() -> Result<Self, Duplicate> {
        let mut by_name = BTreeMap::new();
        for registration in inventory::iter::<Registration> {
            if let Some(first) = by_name.insert(registration.name, registration) {
                let mut modules = [first.module, registration.module];
                modules.sort_unstable();
                return Err(Duplicate { name: registration.name, modules });
            }
        }
        Ok(Self { by_name })
    }

    pub(crate) fn get(&self, name: &str) -> Option<&'static Registration> {
        self.by_name.get(name).copied()
    }
}
