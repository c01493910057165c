//! What a panic said.

use std::any::Any;

/// The message of a caught panic.
pub(crate) fn message_of(panic: &(dyn Any + Send)) -> String {
    const BYTES_MAX: usize = 16 * 1_024;
    let message = panic
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a message");
    message[..message.floor_char_boundary(BYTES_MAX)].to_owned()
}
