//! How single values are spelled in the text form of a journal: [`lines`](super::lines).
//!
//! `#[serde(with = "spelling")]` on a field is [`Spelled`], `#[serde(with = "spelling::hex")]` a digest. What is
//! spelled here has no serde of its own: what users may record must not depend on how a journal is shown.

use std::sync::Arc;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::Site;
use super::arguments::Arguments;
use crate::payload::{Codec, Payload};

/// A value as it is written in a line.
pub(crate) trait Spelled: Sized {
    /// What stands in the line.
    type Line: Serialize + DeserializeOwned;

    fn to_line(&self) -> Self::Line;

    /// # Errors
    /// Why that is none.
    fn of_line(line: Self::Line) -> Result<Self, String>;
}

pub(crate) fn serialize<T: Spelled, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    value.to_line().serialize(serializer)
}

pub(crate) fn deserialize<'de, T: Spelled, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    T::of_line(T::Line::deserialize(deserializer)?).map_err(D::Error::custom)
}

impl<T: Spelled> Spelled for Option<T> {
    type Line = Option<T::Line>;

    fn to_line(&self) -> Self::Line {
        self.as_ref().map(T::to_line)
    }

    fn of_line(line: Self::Line) -> Result<Self, String> {
        line.map(T::of_line).transpose()
    }
}

impl Spelled for Arc<str> {
    type Line = String;

    fn to_line(&self) -> String {
        self.to_string()
    }

    fn of_line(line: String) -> Result<Self, String> {
        Ok(line.into())
    }
}

/// `file:line:column`.
impl Spelled for Site {
    type Line = String;

    fn to_line(&self) -> String {
        self.to_string()
    }

    fn of_line(text: String) -> Result<Self, String> {
        let mut parts = text.rsplitn(3, ':');
        let mut number = || parts.next()?.parse().ok();
        let (column, line) = (number(), number());
        match (parts.next(), line, column) {
            (Some(file), Some(line), Some(column)) => Ok(Self { file: file.to_owned().into(), line, column }),
            _ => Err(format!("{text:?} is not a place in a source: `file:line:column`")),
        }
    }
}

/// `{"json":…}` with the value itself, or the text of what has no such form.
#[derive(Serialize, Deserialize)]
pub(crate) enum ArgumentsLine {
    #[serde(rename = "json")]
    Json(Box<RawValue>),
    #[serde(rename = "text")]
    Text(String),
    /// The beginning of longer ones.
    #[serde(rename = "beginning")]
    Beginning(String),
}

impl Spelled for Arguments {
    type Line = ArgumentsLine;

    fn to_line(&self) -> ArgumentsLine {
        match (self.is_cut, one_line(self.text.as_bytes())) {
            (true, _) => ArgumentsLine::Beginning(self.text.clone()),
            (false, Some(value)) => ArgumentsLine::Json(value),
            (false, None) => ArgumentsLine::Text(self.text.clone()),
        }
    }

    fn of_line(line: ArgumentsLine) -> Result<Self, String> {
        Ok(match line {
            ArgumentsLine::Json(value) => Self { text: Box::<str>::from(value).into_string(), is_cut: false },
            ArgumentsLine::Text(text) => Self { text, is_cut: false },
            ArgumentsLine::Beginning(text) => Self { text, is_cut: true },
        })
    }
}

/// `{"json":…}` with the value itself, or the bytes in hexadecimal.
#[derive(Serialize, Deserialize)]
pub(crate) enum PayloadLine {
    #[serde(rename = "json")]
    Json(Box<RawValue>),
    /// Bytes that claim to be JSON, and are none, or none that fits a line.
    #[serde(rename = "json_bytes")]
    JsonBytes(String),
    #[serde(rename = "bincode")]
    Bincode(String),
}

impl Spelled for Payload {
    type Line = PayloadLine;

    fn to_line(&self) -> PayloadLine {
        match self.codec() {
            Codec::Json => match one_line(self.bytes()) {
                Some(value) => PayloadLine::Json(value),
                None => PayloadLine::JsonBytes(hex::of_bytes(self.bytes())),
            },
            Codec::Bincode => PayloadLine::Bincode(hex::of_bytes(self.bytes())),
        }
    }

    fn of_line(line: PayloadLine) -> Result<Self, String> {
        Ok(match line {
            PayloadLine::Json(value) => Self::of_parts(Codec::Json, Box::<str>::from(value).into_string().into_bytes()),
            PayloadLine::JsonBytes(digits) => Self::of_parts(Codec::Json, hex::to_bytes(&digits)?),
            PayloadLine::Bincode(digits) => Self::of_parts(Codec::Bincode, hex::to_bytes(&digits)?),
        })
    }
}

/// The bytes as JSON that reads back as exactly these bytes, and has no line break.
fn one_line(bytes: &[u8]) -> Option<Box<RawValue>> {
    let text = str::from_utf8(bytes).ok().filter(|text| !text.contains(['\n', '\r']))?;
    let value: Box<RawValue> = serde_json::from_str(text).ok()?;
    // Blanks around it are not part of the value.
    (value.get() == text).then_some(value)
}

/// Numbers and bytes in hexadecimal.
pub(super) mod hex {
    use super::{Deserialize, Deserializer, Serialize, Serializer};
    use serde::de::Error as _;

    /// A number that is always written with all its digits.
    pub(crate) trait Digits: Copy + Sized {
        fn to_digits(self) -> String;
        fn of_bytes(bytes: &[u8]) -> Option<Self>;
    }

    /// A digest: 16 digits.
    impl Digits for u64 {
        fn to_digits(self) -> String {
            of_bytes(&self.to_be_bytes())
        }

        fn of_bytes(bytes: &[u8]) -> Option<Self> {
            bytes.try_into().ok().map(Self::from_be_bytes)
        }
    }

    /// A seed: 32 digits.
    impl Digits for u128 {
        fn to_digits(self) -> String {
            of_bytes(&self.to_be_bytes())
        }

        fn of_bytes(bytes: &[u8]) -> Option<Self> {
            bytes.try_into().ok().map(Self::from_be_bytes)
        }
    }

    pub(in crate::journal) fn serialize<T: Digits, S: Serializer>(
        number: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        number.to_digits().serialize(serializer)
    }

    pub(in crate::journal) fn deserialize<'de, T: Digits, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        let digits = String::deserialize(deserializer)?;
        let wrong = || format!("{digits:?} does not have {} hexadecimal digits", 2 * size_of::<T>());
        to_bytes(&digits).and_then(|bytes| T::of_bytes(&bytes).ok_or_else(wrong)).map_err(D::Error::custom)
    }

    pub(super) fn of_bytes(bytes: &[u8]) -> String {
        const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
        let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
        nibbles.map(|nibble| DIGITS[usize::from(nibble)]).collect()
    }

    pub(super) fn to_bytes(digits: &str) -> Result<Vec<u8>, String> {
        let nibble = |digit: u8| match digit {
            b'0'..=b'9' => Ok(digit - b'0'),
            b'a'..=b'f' => Ok(digit - b'a' + 10),
            _ => Err("only 0 to 9 and a to f are hexadecimal digits here".to_owned()),
        };
        let (pairs, left) = digits.as_bytes().as_chunks::<2>();
        if !left.is_empty() {
            return Err("hexadecimal digits come in pairs".to_owned());
        }
        pairs.iter().map(|[high, low]| Ok(nibble(*high)? << 4 | nibble(*low)?)).collect()
    }
}
