//! Payloads: bytes of any origin are a value or an error, and a value comes back as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU8;
use std::time::Duration;

use serde::de::{DeserializeOwned, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde::ser::{SerializeMap as _, SerializeSeq as _, Serializer};
use serde::{Deserialize, Serialize};

use super::{Choices, bytes_of, text};
use crate::failure::Failure;
use crate::payload::{Codec, PAYLOAD_BYTES_MAX, Payload, PayloadError, json_beginning};
use crate::value::{digest, is_err};

pub(super) fn check(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let codec = choices.one(&[Codec::Json, Codec::Bincode]);
    match choices.below(14) {
        0 => comes_back(&Value::any(&mut choices, 8)),
        1 => means_the_same(choices.rest()),
        2 => reads::<Value>(codec, choices.rest()),
        3 => reads::<Vec<Vec<Vec<u64>>>>(codec, choices.rest()),
        4 => reads::<BTreeMap<String, Vec<Option<(u8, String)>>>>(codec, choices.rest()),
        5 => reads::<Result<BTreeSet<char>, Box<str>>>(codec, choices.rest()),
        6 => reads::<Linked>(codec, choices.rest()),
        7 => reads::<(Duration, IpAddr, NonZeroU8, [u16; 5])>(codec, choices.rest()),
        8 => reads::<Blob>(codec, choices.rest()),
        9 => reads::<Failure>(codec, choices.rest()),
        10 => reads::<(f32, f64, Option<i128>, u128)>(codec, choices.rest()),
        11 => reads::<Tree>(codec, choices.rest()),
        12 => reads::<serde_json::Value>(Codec::Json, choices.rest()),
        _ => drop(Payload::of_parts(codec, choices.rest().to_vec()).decode::<IgnoredAny>()),
    }
}

/// Bytes are refused, or are a value that is written and read again as the same.
fn reads<T: Serialize + DeserializeOwned>(codec: Codec, bytes: &[u8]) {
    let read = Payload::of_parts(codec, bytes.to_vec());
    let value: T = match read.decode() {
        Ok(value) => value,
        Err(PayloadError::Decode { bytes: count, detail, .. }) => {
            return assert!(count == bytes.len() && !detail.is_empty());
        }
        Err(other) => panic!("decoding says {other}"),
    };
    let longer = Payload::of_parts(codec, [bytes, b"x"].concat());
    assert!(longer.decode::<T>().is_err(), "all bytes belong to the value");
    let written = Payload::encode(codec, &value, usize::MAX).expect("what was read can be written");
    // Read from a number that is too large for an `f32`, and JSON has none for it.
    if codec == Codec::Json && digest(&value) != digest(&serde_json::to_value(&value).ok()) {
        return;
    }
    if codec == Codec::Bincode {
        assert!(written.bytes().len() <= bytes.len(), "the shortest form is written");
    }
    is_again(&value, &written);
    fits(codec, &value, written.bytes().len());
}

/// What was written of a value is read as a value that is written like it, and means the same.
fn is_again<T: Serialize + DeserializeOwned>(value: &T, written: &Payload) {
    let again: T = written.decode().expect("what was written can be read");
    assert_eq!(Payload::encode(written.codec(), &again, usize::MAX).as_ref(), Ok(written));
    assert_eq!(digest(&again), digest(value), "equal values have equal digests");
    assert_eq!(is_err(&again), is_err(value));
}

/// The limit is the last size that fits; the beginning of the text is that of the text.
fn fits<T: Serialize>(codec: Codec, value: &T, bytes: usize) {
    assert!(Payload::encode(codec, value, bytes).is_ok());
    if let Some(bytes_max) = bytes.checked_sub(1) {
        let refused = Payload::encode(codec, value, bytes_max);
        assert!(matches!(refused, Err(PayloadError::TooLarge { bytes_at_least, .. }) if bytes_at_least > bytes_max));
    }
    if let Ok(whole) = Payload::encode(Codec::Json, value, PAYLOAD_BYTES_MAX) {
        let whole = whole.to_json_text().expect("JSON is text");
        let beginning = json_beginning(value, whole.len() / 2).expect("it has a JSON form");
        assert!(whole.starts_with(&beginning.text) && beginning.is_cut);
    }
}

/// A value comes back from both codecs, and means the same.
fn comes_back(value: &Value) {
    for codec in [Codec::Json, Codec::Bincode] {
        let written = Payload::encode(codec, value, usize::MAX).expect("both codecs can express it");
        match written.decode::<Value>() {
            Ok(again) => assert_eq!(&again, value),
            Err(error) => panic!("{value:?} in {codec}: {error}"),
        }
        is_again(value, &written);
        fits(codec, value, written.bytes().len());
    }
}

/// However a value is spelled, it has one digest; and with another meaning, another one.
fn means_the_same(json: &[u8]) {
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(json) else { return };
    let of_value = digest(&value);
    assert_eq!(digest(&Backwards(&value)), of_value);
    assert_eq!(digest(&Some(&value)), of_value);
    // One more list around it may be one too many.
    if let (Ok(inner), Ok(outer)) = (of_value, digest(&[&value])) {
        assert_ne!(inner, outer);
    }
}

/// One of each thing that serde knows, and that both codecs can express.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Value {
    Nothing,
    Truth(bool),
    Small(i8, u16),
    Large { signed: i64, unsigned: u64, widest: u128, negative: i128 },
    Float(f64),
    Float32(f32),
    Text(String, char),
    Maybe(Option<Box<Value>>),
    List(Vec<Value>),
    Map(BTreeMap<String, Value>),
    Numbers(BTreeMap<i32, u8>),
    Outcome(Result<Box<Value>, String>),
    Blob(Blob),
}

impl Value {
    fn any(choices: &mut Choices<'_>, levels: usize) -> Self {
        let below = levels.saturating_sub(1);
        match choices.below(if levels == 0 { 9 } else { 13 }) {
            0 => Self::Nothing,
            1 => Self::Truth(choices.flag()),
            2 => Self::Small(choices.byte().cast_signed(), choices.number_u32().to_le_bytes()[0].into()),
            3 => Self::Large {
                signed: choices.number().cast_signed(),
                unsigned: choices.number(),
                widest: u128::from(choices.number()) << choices.below(65),
                negative: -(i128::from(choices.number()) << choices.below(64)),
            },
            // Those that JSON has no number for do not come back.
            4 => Self::Float(Some(f64::from_bits(choices.number())).filter(|float| float.is_finite()).unwrap_or(0.0)),
            5 => Self::Float32(Some(f32::from_bits(choices.number_u32())).filter(|it| it.is_finite()).unwrap_or(-0.0)),
            6 => Self::Text(text(choices), char::from_u32(choices.number_u32()).unwrap_or('ä')),
            7 => Self::Blob(Blob(bytes_of(choices))),
            8 => Self::Numbers((0..choices.below(4)).map(|_| (choices.number_u32().cast_signed(), 7)).collect()),
            9 => Self::Maybe(choices.flag().then(|| Self::any(choices, below).into())),
            10 => Self::List((0..choices.below(5)).map(|_| Self::any(choices, below)).collect()),
            11 => Self::Map((0..choices.below(4)).map(|_| (text(choices), Self::any(choices, below))).collect()),
            _ if choices.flag() => Self::Outcome(Err(text(choices))),
            _ => Self::Outcome(Ok(Self::any(choices, below).into())),
        }
    }
}

/// As deep as its bytes say, with nothing else in it.
#[derive(Debug, Serialize, Deserialize)]
struct Linked {
    next: Option<Box<Linked>>,
}

/// As deep, and as wide.
#[derive(Debug, Serialize, Deserialize)]
struct Tree(u8, Vec<Tree>);

/// Bytes as such, not as a list of numbers. Read from a list too, as JSON has no other.
#[derive(Debug, Clone, PartialEq)]
struct Blob(Vec<u8>);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl<'de> Visitor<'de> for Bytes {
            type Value = Blob;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Blob, E> {
                Ok(Blob(bytes.to_vec()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Blob, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = list.next_element_seed(std::marker::PhantomData::<u8>)? {
                    bytes.push(byte);
                }
                Ok(Blob(bytes))
            }
        }

        deserializer.deserialize_byte_buf(Bytes)
    }
}

/// A JSON value with its maps from the end, its integers as wide as possible, and each part within `Some`.
struct Backwards<'a>(&'a serde_json::Value);

impl Serialize for Backwards<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde_json::Value as Json;
        match self.0 {
            Json::Null => serializer.serialize_unit(),
            Json::Bool(truth) => serializer.serialize_bool(*truth),
            Json::Number(number) => match (number.as_i128(), number.as_f64()) {
                (Some(integer), _) => serializer.serialize_i128(integer),
                (None, Some(float)) => serializer.serialize_f64(float),
                (None, None) => number.serialize(serializer),
            },
            Json::String(text) => serializer.collect_str(text),
            Json::Array(elements) => {
                let mut list = serializer.serialize_seq(None)?;
                elements.iter().try_for_each(|element| list.serialize_element(&Backwards(element)))?;
                list.end()
            }
            Json::Object(entries) => {
                let mut map = serializer.serialize_map(None)?;
                // Null or not there is the same in a map.
                let entries = entries.iter().rev().filter(|(_, value)| !value.is_null());
                for (key, value) in entries {
                    map.serialize_entry(key, &Backwards(value))?;
                }
                map.end()
            }
        }
    }
}
