//! What can be kept in a journal.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A value that can be recorded and read back: what a step or a durable function returns, and what a
/// durable function is started with. Implemented for every type that serde can write and read.
///
/// ```
/// fn can_be_recorded<T: durable_runtime::Recorded>() {}
/// can_be_recorded::<Result<Vec<u32>, String>>();
/// ```
///
/// ```compile_fail,E0277
/// # fn can_be_recorded<T: durable_runtime::Recorded>() {}
/// can_be_recorded::<std::io::Error>();
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be recorded in a journal",
    label = "this value is recorded, so that a restart finds it again",
    note = "derive `serde::Serialize` and `serde::Deserialize` for it; in a `Result`, for the value and for the error",
    note = "for an error of another crate, return `durable_runtime::Failure`, into which `?` turns any standard error"
)]
pub trait Recorded: Serialize + DeserializeOwned + Send + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + Send + 'static> Recorded for T {}
