//! A step's arguments as a journal keeps them.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bincode::{Decode, Encode};
use serde::Serialize;

use crate::payload::{Payload, json_beginning};

/// How much of a step's arguments is kept, in bytes.
pub(crate) const ARGUMENTS_BYTES_MAX: usize = 1_024;

/// The arguments of an operation as JSON text, a list of them in order: for people only. Whether they are the same is
/// told by their digest.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Arguments {
    /// At most [`ARGUMENTS_BYTES_MAX`] bytes.
    pub(crate) text: String,
    /// Whether there was more.
    pub(crate) is_cut: bool,
}

impl Arguments {
    /// The arguments for people; `None` if there are none, if they have no JSON form, or if their `Serialize` panics.
    ///
    /// Only for arguments that have a digest: others may be nested so deeply that encoding them ends the process.
    pub(crate) fn of<A: Serialize>(arguments: &A) -> Option<Self> {
        // A `Serialize` of the user's may panic; what is only for people must not stop the run.
        let beginning = catch_unwind(AssertUnwindSafe(|| json_beginning(arguments, ARGUMENTS_BYTES_MAX))).ok()??;
        // What serde makes of `()`: the step has no arguments.
        let is_nothing = beginning.text == "null";
        (!is_nothing).then_some(Self { text: beginning.text, is_cut: beginning.is_cut })
    }

    /// Those of an operation with one argument, which is recorded as a value; `None` if that is not JSON.
    pub(crate) fn of_recorded(value: &Payload) -> Option<Self> {
        let text = value.to_json_text()?;
        let shown = &text[..text.floor_char_boundary(ARGUMENTS_BYTES_MAX - "[".len())];
        let is_cut = text.len() > ARGUMENTS_BYTES_MAX - "[]".len();
        Some(Self { text: format!("[{shown}{}", if is_cut { "" } else { "]" }), is_cut })
    }
}

impl fmt::Display for Arguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        if self.is_cut { f.write_str("…") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use serde::Serializer;

    use super::*;

    struct Panicking;

    impl Serialize for Panicking {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            panic!("no, thank you")
        }
    }

    fn shown<A: Serialize>(arguments: &A) -> Option<String> {
        Arguments::of(arguments).map(|arguments| arguments.to_string())
    }

    #[test]
    fn arguments_are_a_list_and_no_arguments_are_nothing() {
        assert_eq!(shown(&("ord_1", Some(250))).as_deref(), Some(r#"["ord_1",250]"#));
        assert_eq!(shown(&((),)).as_deref(), Some("[null]"));
        assert_eq!(shown(&()), None);
    }

    #[test]
    fn arguments_whose_serialize_panics_are_not_shown() {
        assert_eq!(shown(&(Panicking,)), None);
    }

    /// R14.
    #[test]
    fn long_arguments_are_cut_and_say_so() {
        let shown = shown(&("ä".repeat(2_000),)).expect("they have a JSON form");
        assert!(shown.ends_with("ä…"), "{shown}");
        assert_eq!(shown.len(), ARGUMENTS_BYTES_MAX + "…".len());
    }
}
