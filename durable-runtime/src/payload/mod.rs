//! Values as they are recorded: encoded, with a limit on the size, and how to read them back (R7, R14).

mod beginning;
mod bounded;
mod limited;
mod nulls;

use std::any::type_name;
use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

pub(crate) use beginning::json_beginning;

/// The largest payload of all, whatever limit is asked for: 8 MiB.
pub const PAYLOAD_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What bincode may claim while decoding. It counts the size of a number in memory, at most 16 bytes, where the
/// payload may have one: so nothing that could be encoded is refused.
const BINCODE_CLAIM_MAX: usize = 16 * PAYLOAD_BYTES_MAX;

/// How values are turned into bytes.
///
/// ```
/// use durable_runtime::Codec;
/// assert_eq!(Codec::default(), Codec::Json);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, bincode::Encode, bincode::Decode)]
pub enum Codec {
    /// Readable, works with every serde attribute, and still decodes when a deploy has added a field with
    /// `#[serde(default)]`. Map keys must be text, numbers or unit variants; NaN and infinities do not come
    /// back. A `Some` of what is written as `null` is refused, because it would be read as `None`: `Some(())`, `Some(None)`.
    #[default]
    Json,
    /// Smaller and faster, but tied to the exact shape of the type: neither an added field nor
    /// `#[serde(flatten)]`, `#[serde(untagged)]` and `serde_json::Value` can be decoded.
    Bincode,
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "JSON",
            Self::Bincode => "bincode",
        })
    }
}

/// An encoded value: an input, a result, or an error, as the journal keeps it.
///
/// ```
/// use durable_runtime::{Codec, PAYLOAD_BYTES_MAX, Payload};
/// let payload = Payload::encode(Codec::Json, &("ord_abc123", 3), PAYLOAD_BYTES_MAX)?;
/// assert_eq!(payload.to_json_text(), Some(r#"["ord_abc123",3]"#));
/// assert_eq!(payload.decode::<(String, u8)>()?, ("ord_abc123".to_owned(), 3));
/// # Ok::<(), durable_runtime::PayloadError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, bincode::Encode, bincode::Decode)]
pub struct Payload {
    codec: Codec,
    bytes: Vec<u8>,
}

impl Payload {
    /// Encodes a value into at most `bytes_max` bytes, and never more than [`PAYLOAD_BYTES_MAX`].
    ///
    /// Stops as soon as the limit is passed: a value without an end takes no memory without an end.
    /// That it is encoded does not say that it can be [decoded](Self::decode) again.
    ///
    /// ```
    /// use durable_runtime::{Codec, Payload, PayloadError};
    /// let refused = Payload::encode(Codec::Json, "far too long", 8);
    /// assert!(matches!(refused, Err(PayloadError::TooLarge { bytes_max: 8, .. })));
    /// ```
    ///
    /// # Errors
    /// [`PayloadError::TooLarge`], or [`PayloadError::Encode`] when the codec or the value's own `Serialize` refuses, or when a
    /// `Some` would be read as `None` (see [`Codec::Json`]).
    /// Source: R7, R14.
    pub fn encode<T: Serialize + ?Sized>(codec: Codec, value: &T, bytes_max: usize) -> Result<Self, PayloadError> {
        let mut writer = limited::Writer::new(bytes_max.min(PAYLOAD_BYTES_MAX));
        let encoded = match codec {
            Codec::Json => serde_json::to_writer(&mut writer, value).map_err(|error| error.to_string()),
            Codec::Bincode => {
                bincode::serde::encode_into_writer(value, &mut writer, config()).map_err(|error| error.to_string())
            }
        };
        let type_name = type_name::<T>();
        // Asked first: the codec's error is then only that the writer refused, if it was passed on at all.
        let bytes = writer.into_bytes().map_err(|limited::Overflow { bytes_at_least, bytes_max }| {
            PayloadError::TooLarge { type_name, codec, bytes_at_least, bytes_max }
        })?;
        let lost = match (&encoded, codec) {
            // Only what has a null can have lost something to it.
            (Ok(()), Codec::Json) if bytes.windows(4).any(|text| text == b"null") => nulls::lost_in_null(value),
            _ => None,
        };
        let encoded = match lost {
            Some(what) => Err(format!("{what} in a `Some` is written as null, and would be read as `None`")),
            None => encoded,
        };
        match encoded {
            Ok(()) => Ok(Self { codec, bytes }),
            Err(detail) => Err(PayloadError::Encode { type_name, codec, detail }),
        }
    }

    /// Decodes the value; all bytes must belong to it.
    ///
    /// Bytes of any origin are safe: no panic, and no memory beyond a multiple of their number, as long as `T`'s own
    /// `Deserialize` keeps to that. Values nested too deeply (127 levels in JSON, about as many in bincode) are
    /// refused. The one exception is bincode and a list of elements without content, such as `Vec<()>`: decoding
    /// it takes as long as the length in the bytes says.
    ///
    /// ```
    /// use durable_runtime::{Codec, Payload, PayloadError};
    /// let payload = Payload::encode(Codec::Json, "three", 100)?;
    /// assert!(matches!(payload.decode::<u32>(), Err(PayloadError::Decode { .. })));
    /// # Ok::<(), durable_runtime::PayloadError>(())
    /// ```
    ///
    /// # Errors
    /// [`PayloadError::Decode`]: the bytes are not a `T`, or not only a `T`.
    /// Source: R7.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, PayloadError> {
        let decoded = match self.codec {
            Codec::Json => serde_json::from_slice(&self.bytes).map_err(|error| error.to_string()),
            Codec::Bincode => decode_bincode(&self.bytes),
        };
        decoded.map_err(|detail| PayloadError::Decode {
            type_name: type_name::<T>(),
            codec: self.codec,
            bytes: self.bytes.len(),
            detail,
        })
    }

    /// How it is encoded.
    ///
    /// ```
    /// # use durable_runtime::{Codec, Payload};
    /// assert_eq!(Payload::encode(Codec::Bincode, &7, 100)?.codec(), Codec::Bincode);
    /// # Ok::<(), durable_runtime::PayloadError>(())
    /// ```
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// The encoded value.
    ///
    /// ```
    /// # use durable_runtime::{Codec, Payload};
    /// assert_eq!(Payload::encode(Codec::Json, &7, 100)?.bytes(), b"7");
    /// # Ok::<(), durable_runtime::PayloadError>(())
    /// ```
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The JSON text, for people and inspectors; `None` if it is another codec's, or damaged so that it is no text.
    ///
    /// ```
    /// # use durable_runtime::{Codec, Payload};
    /// assert_eq!(Payload::encode(Codec::Json, &Some(7), 100)?.to_json_text(), Some("7"));
    /// assert_eq!(Payload::encode(Codec::Bincode, &Some(7), 100)?.to_json_text(), None);
    /// # Ok::<(), durable_runtime::PayloadError>(())
    /// ```
    pub fn to_json_text(&self) -> Option<&str> {
        match self.codec {
            Codec::Json => str::from_utf8(&self.bytes).ok(),
            Codec::Bincode => None,
        }
    }
}

impl Payload {
    /// The value for people: the JSON text, or how many bytes of which codec there are.
    ///
    /// ```
    /// use durable_runtime::{Codec, Payload};
    /// assert_eq!(Payload::encode(Codec::Json, "three", 100)?.text(), "\"three\"");
    /// assert_eq!(Payload::encode(Codec::Bincode, "three", 100)?.text(), "<6 bytes of bincode>");
    /// # Ok::<(), durable_runtime::PayloadError>(())
    /// ```
    pub fn text(&self) -> String {
        self.to_json_text().map_or_else(|| format!("<{} bytes of {}>", self.bytes.len(), self.codec), str::to_owned)
    }

    /// What was encoded elsewhere; it may be anything, as what is read from a disk.
    pub(crate) fn of_parts(codec: Codec, bytes: Vec<u8>) -> Self {
        Self { codec, bytes }
    }

    /// The beginning of [`text`](Self::text), short enough for a message.
    pub(crate) fn excerpt(&self) -> String {
        const BYTES_MAX: usize = 200;
        let text = self.text();
        match text.get(..text.floor_char_boundary(BYTES_MAX)) {
            Some(beginning) if beginning.len() < text.len() => format!("{beginning} …"),
            _ => text,
        }
    }
}

impl fmt::Debug for Payload {
    /// Without the content: it is the user's, may be secret or large, and this ends up in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload")
            .field("codec", &self.codec)
            .field("bytes", &format_args!("<{} bytes>", self.bytes.len()))
            .finish()
    }
}

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<BINCODE_CLAIM_MAX>()
}

fn decode_bincode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let seed = bounded::Bounded::<std::marker::PhantomData<T>>::default();
    let (value, bytes_read) =
        bincode::serde::seed_decode_from_slice(seed, bytes, config()).map_err(|error| error.to_string())?;
    // bincode itself takes what follows the value without a word.
    match bytes.len() - bytes_read {
        0 => Ok(value),
        left => Err(format!("{left} bytes are left over")),
    }
}

/// Why a value can't be recorded, or a recorded one not be read. Each code has a page in `docs/errors/`.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// The codec can't express the value, or the value's `Serialize` refused.
    #[error(
        "[D0302] a value of type {type_name} can't be encoded as {codec}: {detail}. Change the type (in JSON, map keys must be text or numbers), or choose another codec"
    )]
    Encode {
        /// The Rust type of the value.
        type_name: &'static str,
        /// Into what it was to be encoded.
        codec: Codec,
        /// What the codec or the value said.
        detail: String,
    },
    /// The bytes are not a value of the type that is asked for.
    #[error(
        "[D0303] a recorded payload ({codec}, {bytes} bytes) can't be decoded as {type_name}: {detail}. If the type has changed since it was recorded, let it read the old form too: in JSON with #[serde(default)] on an added field and #[serde(alias)] on a renamed one"
    )]
    Decode {
        /// The Rust type that was asked for.
        type_name: &'static str,
        /// How the bytes are encoded.
        codec: Codec,
        /// How many bytes there are.
        bytes: usize,
        /// What does not fit, and where.
        detail: String,
    },
    /// The value is larger than what may be recorded.
    #[error(
        "[D0304] a value of type {type_name} takes at least {bytes_at_least} bytes as {codec}, more than the payload limit of {bytes_max} bytes. Keep it elsewhere and pass a reference to it, such as a key or a path, or raise the limit (up to {PAYLOAD_BYTES_MAX})"
    )]
    TooLarge {
        /// The Rust type of the value.
        type_name: &'static str,
        /// Into what it was to be encoded.
        codec: Codec,
        /// How many bytes it had when encoding was stopped; the whole of it may be larger.
        bytes_at_least: usize,
        /// The limit.
        bytes_max: usize,
    },
}

#[cfg(test)]
mod tests;
