//! A ready-made error for steps that need no type of their own.

use std::error::Error;
use std::fmt::{self, Display, Write as _};

use serde::{Deserialize, Serialize};

/// The longest message a [`Failure`] keeps, in bytes; what is over is cut and ends in `…`.
pub const FAILURE_MESSAGE_BYTES_MAX: usize = 16 * 1024;

/// The most causes a [`Failure`] keeps; if there are more, the last one kept is `…`.
pub const FAILURE_CAUSES_MAX: usize = 64;

const CUT: &str = "…";

/// An error for steps and durable functions that need no error type of their own.
///
/// `?` turns any standard error into it, with its whole chain of sources, as text: what is recorded can't hold
/// a live error. To let `?` do that, `Failure` is not itself a [`std::error::Error`] (as with `anyhow`).
/// A failure is worth another attempt unless it is [permanent](Failure::permanent).
///
/// A message has at most [`FAILURE_MESSAGE_BYTES_MAX`] bytes, a chain at most [`FAILURE_CAUSES_MAX`] causes.
///
/// ```
/// use durable_runtime::{Failure, ResultExt};
///
/// fn quantity(text: &str) -> Result<u32, Failure> {
///     let quantity: u32 = text.parse().context("the quantity is not a number").permanent()?;
///     if quantity == 0 {
///         return Err(Failure::new("nothing was ordered").permanent());
///     }
///     Ok(quantity)
/// }
///
/// let failure = quantity("three").unwrap_err();
/// assert!(failure.is_permanent());
/// assert_eq!(format!("{failure}"), "the quantity is not a number");
/// assert_eq!(format!("{failure:#}"), "the quantity is not a number: invalid digit found in string");
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Failure {
    #[serde(default = "no_message")]
    message: String,
    #[serde(default)]
    causes: Vec<String>,
    #[serde(default)]
    permanent: bool,
}

fn no_message() -> String {
    "(no message)".to_owned()
}

impl Failure {
    /// A failure with a message of its own, worth another attempt.
    ///
    /// ```
    /// use durable_runtime::Failure;
    /// let failure = Failure::new(format_args!("{} is sold out", "ord_abc123"));
    /// assert_eq!(failure.message(), "ord_abc123 is sold out");
    /// assert!(!failure.is_permanent());
    /// ```
    pub fn new(message: impl Display) -> Self {
        Self { message: text(message), causes: Vec::new(), permanent: false }
    }

    /// Says that another attempt makes no sense. Steps ask for it with `.unless(Failure::is_permanent)`.
    ///
    /// ```
    /// use durable_runtime::Failure;
    /// assert!(Failure::new("the card was declined").permanent().is_permanent());
    /// ```
    #[must_use]
    pub fn permanent(self) -> Self {
        Self { permanent: true, ..self }
    }

    /// Puts a message in front; the one before becomes its first cause. Stays permanent if it was.
    ///
    /// ```
    /// use durable_runtime::Failure;
    /// let failure = Failure::new("connection refused").context("charging the card");
    /// assert_eq!(format!("{failure:#}"), "charging the card: connection refused");
    /// ```
    #[must_use]
    pub fn context(self, message: impl Display) -> Self {
        let Self { message: cause, mut causes, permanent } = self;
        causes.insert(0, cause);
        limit(&mut causes);
        Self { message: text(message), causes, permanent }
    }

    /// Whether another attempt makes no sense.
    ///
    /// ```
    /// use durable_runtime::Failure;
    /// assert!(!Failure::from(std::io::Error::other("timeout")).is_permanent());
    /// ```
    pub fn is_permanent(&self) -> bool {
        self.permanent
    }

    /// The outermost message, without its causes.
    ///
    /// ```
    /// use durable_runtime::Failure;
    /// assert_eq!(Failure::new("sold out").context("reserving").message(), "reserving");
    /// ```
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The message and its causes, outermost first.
    ///
    /// ```
    /// use durable_runtime::Failure;
    /// let failure = Failure::new("sold out").context("reserving");
    /// assert_eq!(failure.chain().collect::<Vec<_>>(), ["reserving", "sold out"]);
    /// ```
    pub fn chain(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.message()).chain(self.causes.iter().map(String::as_str))
    }
}

/// Takes over the error's message and those of its sources.
///
/// ```
/// use durable_runtime::Failure;
/// fn read(text: &str) -> Result<u8, Failure> {
///     Ok(text.parse()?)
/// }
/// assert_eq!(read("300").unwrap_err().message(), "number too large to fit in target type");
/// ```
impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        // One more than is kept, so that `limit` sees that there are more; a chain may have no end.
        let sources = std::iter::successors(error.source(), |error| (*error).source());
        let mut causes: Vec<_> = sources.take(FAILURE_CAUSES_MAX + 1).map(text).collect();
        limit(&mut causes);
        Self { message: text(&error), causes, permanent: false }
    }
}

impl Display for Failure {
    /// The message; with `{:#}` also its causes, in one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if f.alternate() {
            self.causes.iter().try_for_each(|cause| write!(f, ": {cause}"))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Failure {
    /// Made to be read, since this is what `unwrap` and `main` print: the message, and one line per cause.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if self.permanent {
            f.write_str(" (permanent)")?;
        }
        if !self.causes.is_empty() {
            f.write_str("\n\nCaused by:")?;
        }
        self.causes.iter().enumerate().try_for_each(|(index, cause)| write!(f, "\n    {index}: {cause}"))
    }
}

/// Says on a `Result` what [`Failure`] says on an error, so that it reads in the order it happens.
///
/// ```
/// use durable_runtime::{Failure, ResultExt};
/// fn port(text: &str) -> Result<u16, Failure> {
///     text.parse::<u16>().context(format_args!("{text:?} is not a port")).permanent()
/// }
/// assert_eq!(port("http").unwrap_err().message(), "\"http\" is not a port");
/// assert_eq!(port("80").unwrap(), 80);
/// ```
pub trait ResultExt<T> {
    /// Puts a message in front of the error, as [`Failure::context`] does. It is formatted only if there is one.
    ///
    /// # Errors
    /// The error as a [`Failure`], if there is one.
    fn context(self, message: impl Display) -> Result<T, Failure>;

    /// Says that another attempt makes no sense, as [`Failure::permanent`] does.
    ///
    /// # Errors
    /// The error as a [`Failure`], if there is one.
    fn permanent(self) -> Result<T, Failure>;
}

impl<T, E: Into<Failure>> ResultExt<T> for Result<T, E> {
    fn context(self, message: impl Display) -> Result<T, Failure> {
        self.map_err(|error| error.into().context(message))
    }

    fn permanent(self) -> Result<T, Failure> {
        self.map_err(|error| error.into().permanent())
    }
}

fn limit(causes: &mut Vec<String>) {
    if causes.len() > FAILURE_CAUSES_MAX {
        causes.truncate(FAILURE_CAUSES_MAX - 1);
        causes.push(CUT.to_owned());
    }
}

/// What `message` displays, cut to [`FAILURE_MESSAGE_BYTES_MAX`].
fn text(message: impl Display) -> String {
    let mut limited = Limited(String::new());
    // It fails when the text is cut, or when the Display itself fails: what it gave until then is still useful.
    let _ = write!(limited, "{message}");
    limited.0
}

/// Takes in text until it is full, so that a message without an end takes no memory without an end.
struct Limited(String);

impl fmt::Write for Limited {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        let Self(kept) = self;
        if kept.len() + piece.len() <= FAILURE_MESSAGE_BYTES_MAX {
            kept.push_str(piece);
            return Ok(());
        }
        let room = FAILURE_MESSAGE_BYTES_MAX - CUT.len();
        if kept.len() <= room {
            kept.push_str(&piece[..piece.floor_char_boundary(room - kept.len())]);
        } else {
            kept.truncate(kept.floor_char_boundary(room));
        }
        kept.push_str(CUT);
        Err(fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::TimedOut;

    #[derive(Debug)]
    struct Layer {
        message: String,
        source: Option<Box<Layer>>,
    }

    impl Display for Layer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(&self.message)
        }
    }

    impl Error for Layer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.source.as_deref().map(|source| source as _)
        }
    }

    /// An error with these messages, outermost first.
    fn layers<'a>(messages: impl DoubleEndedIterator<Item = &'a String>) -> Layer {
        let innermost_first = messages.rev().cloned();
        *innermost_first.fold(None, |source, message| Some(Box::new(Layer { message, source }))).expect("a message")
    }

    /// An error that is its own source.
    #[derive(Debug)]
    struct Circular;

    impl Display for Circular {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("circular")
        }
    }

    impl Error for Circular {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(self)
        }
    }

    #[test]
    fn the_question_mark_takes_any_standard_error() {
        fn step(what: u8) -> Result<(), Failure> {
            match what {
                0 => Err(std::io::Error::other(Circular))?,
                1 => Err(TimedOut { step: "a".to_owned(), attempt: 1, after: Duration::from_secs(5) })?,
                _ => Err(Failure::new("as it is").permanent())?,
            }
            Ok(())
        }
        assert_eq!(step(0).unwrap_err().message(), "circular");
        assert_eq!(step(1).unwrap_err().message(), "[D0301] attempt 1 of step a took longer than 5s");
        assert!(step(2).unwrap_err().is_permanent());
    }

    #[test]
    fn shows_itself_readably() {
        let failure = Failure::new("refused").context("connecting").context("charging").permanent();
        assert_eq!(format!("{failure}"), "charging");
        assert_eq!(format!("{failure:#}"), "charging: connecting: refused");
        assert_eq!(format!("{failure:?}"), "charging (permanent)\n\nCaused by:\n    0: connecting\n    1: refused");
        assert_eq!(format!("{:?}", Failure::new("alone")), "alone");
    }

    #[test]
    fn missing_and_unknown_fields_do_no_harm() {
        let read = |json| serde_json::from_str::<Failure>(json).unwrap();
        assert_eq!(read(r#"{"message":"a"}"#), Failure::new("a"));
        assert_eq!(read(r#"{"permanent":true,"added":[1]}"#), Failure::new("(no message)").permanent());
        let json = serde_json::to_string(&Failure::new("b").context("a").permanent()).unwrap();
        assert_eq!(json, r#"{"message":"a","causes":["b"],"permanent":true}"#);
    }

    #[test]
    fn a_chain_without_an_end_is_cut() {
        let failure = Failure::from(Circular);
        assert_eq!(failure.causes.len(), FAILURE_CAUSES_MAX);
        assert_eq!(failure.chain().last(), Some("…"));
        let failure = failure.context("outer");
        assert_eq!(failure.causes.len(), FAILURE_CAUSES_MAX);
        assert_eq!(failure.chain().last(), Some("…"));
        assert_eq!(failure.message(), "outer");
    }

    #[test]
    fn a_chain_that_just_fits_is_kept() {
        let messages: Vec<_> = (0..=FAILURE_CAUSES_MAX).map(|n| n.to_string()).collect();
        assert!(Failure::from(layers(messages.iter())).chain().eq(&messages));
    }

    #[test]
    fn a_message_without_an_end_is_cut() {
        let endless = fmt::from_fn(|f| {
            loop {
                f.write_str("na")?;
            }
        });
        let failure = Failure::new(endless);
        assert_eq!(failure.message().len(), FAILURE_MESSAGE_BYTES_MAX);
        assert!(failure.message().ends_with("nan…"), "{}", &failure.message()[16_300..]);
        let exact = "x".repeat(FAILURE_MESSAGE_BYTES_MAX);
        assert_eq!(Failure::new(&exact).message(), exact);
    }

    #[test]
    fn a_failing_display_keeps_what_it_gave() {
        let failing = fmt::from_fn(|f| f.write_str("half").and(Err(fmt::Error)));
        assert_eq!(Failure::new(failing).message(), "half");
    }

    fn failure() -> impl Strategy<Value = Failure> {
        (prop::collection::vec(".*", 1..5), any::<bool>()).prop_map(|(messages, permanent)| {
            let failure = Failure::from(layers(messages.iter()));
            if permanent { failure.permanent() } else { failure }
        })
    }

    proptest! {
        #[test]
        fn survives_being_recorded(failure in failure()) {
            let json = serde_json::to_vec(&failure).unwrap();
            prop_assert_eq!(&serde_json::from_slice::<Failure>(&json).unwrap(), &failure);
            let config = bincode::config::standard();
            let bytes = bincode::serde::encode_to_vec(&failure, config).unwrap();
            prop_assert_eq!(bincode::serde::decode_from_slice(&bytes, config).unwrap(), (failure, bytes.len()));
        }

        #[test]
        fn keeps_every_message_in_order(messages in prop::collection::vec(".*", 1..70)) {
            let converted = Failure::from(layers(messages.iter()));
            let mut innermost_first = messages.iter().rev();
            let innermost = Failure::new(innermost_first.next().unwrap());
            let built = innermost_first.fold(innermost, Failure::context);
            prop_assert_eq!(&built, &converted, "context and sources mean the same");
            let kept = messages.len().min(FAILURE_CAUSES_MAX);
            prop_assert!(converted.chain().take(kept).eq(messages.iter().take(kept)));
            prop_assert_eq!(converted.chain().count(), messages.len().min(FAILURE_CAUSES_MAX + 1));
        }

        #[test]
        fn a_long_message_is_cut_between_characters(
            before in (FAILURE_MESSAGE_BYTES_MAX - 9..FAILURE_MESSAGE_BYTES_MAX + 3),
            pieces in prop::collection::vec("[aé€😀]{0,3}", 0..6),
        ) {
            let whole = "x".repeat(before) + &pieces.concat();
            let in_pieces = fmt::from_fn(|f| {
                f.write_str(&whole[..before])?;
                pieces.iter().try_for_each(|piece| f.write_str(piece))
            });
            let failure = Failure::new(in_pieces);
            prop_assert_eq!(&failure, &Failure::new(&whole), "however it is formatted");
            let kept = failure.message();
            if whole.len() <= FAILURE_MESSAGE_BYTES_MAX {
                prop_assert_eq!(kept, whole);
            } else {
                let beginning = kept.strip_suffix(CUT).expect("the mark of a cut");
                prop_assert!(whole.starts_with(beginning));
                prop_assert!(kept.len() <= FAILURE_MESSAGE_BYTES_MAX && kept.len() > FAILURE_MESSAGE_BYTES_MAX - 4);
            }
        }
    }
}
