use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeSeq, Serializer};

use super::*;

const CODECS: [Codec; 2] = [Codec::Json, Codec::Bincode];

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
    Numbers(HashMap<u32, u8>),
    Outcome(Result<Box<Value>, String>),
}

fn value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Nothing),
        any::<bool>().prop_map(Value::Truth),
        any::<(i8, u16)>().prop_map(|(a, b)| Value::Small(a, b)),
        any::<(i64, u64, u128, i128)>().prop_map(|(signed, unsigned, widest, negative)| Value::Large {
            signed,
            unsigned,
            widest,
            negative
        }),
        any::<f64>().prop_map(Value::Float),
        any::<f32>().prop_map(Value::Float32),
        any::<(String, char)>().prop_map(|(a, b)| Value::Text(a, b)),
        prop::collection::hash_map(any::<u32>(), any::<u8>(), 0..4).prop_map(Value::Numbers),
    ];
    scalar.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::option::of(inner.clone().prop_map(Box::new)).prop_map(Value::Maybe),
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
            prop::collection::btree_map(any::<String>(), inner.clone(), 0..4).prop_map(Value::Map),
            prop::result::maybe_err(inner.prop_map(Box::new), any::<String>()).prop_map(Value::Outcome),
        ]
    })
}

/// A list linked by options: two levels for each node.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Node {
    next: Option<Box<Node>>,
}

fn linked(nodes: usize) -> Node {
    (1..nodes).fold(Node::default(), |next, _| Node { next: Some(Box::new(next)) })
}

/// R7.
#[test]
fn json_is_readable_and_survives_a_new_field() {
    #[derive(Serialize)]
    struct Before {
        id: u8,
    }
    #[derive(Deserialize)]
    struct After {
        id: u8,
        #[serde(default)]
        note: String,
    }
    let payload = Payload::encode(Codec::Json, &Before { id: 1 }, 100).unwrap();
    assert_eq!(payload.to_json_text(), Some(r#"{"id":1}"#));
    let after: After = payload.decode().unwrap();
    assert_eq!((after.id, after.note.as_str()), (1, ""));
}

/// R14.
#[test]
fn the_limit_is_the_last_size_that_fits() {
    for (codec, bytes) in [(Codec::Json, 7), (Codec::Bincode, 6)] {
        assert_eq!(Payload::encode(codec, "12345", bytes).unwrap().bytes().len(), bytes);
        let error = Payload::encode(codec, "12345", bytes - 1).unwrap_err();
        assert!(matches!(error, PayloadError::TooLarge { bytes_at_least, bytes_max, .. }
            if bytes_max == bytes - 1 && bytes_at_least > bytes_max && bytes_at_least <= bytes));
    }
    let error = Payload::encode(Codec::Json, "12345", 6).unwrap_err().to_string();
    assert!(
        error.starts_with(
            "[D0304] a value of type str takes at least 7 bytes as JSON, more than the payload limit of 6 bytes. "
        ),
        "{error}"
    );
}

/// A list of a million texts, which counts how often it is asked for one.
struct Long<'a> {
    asked: &'a Cell<u32>,
    swallows_errors: bool,
}

impl Serialize for Long<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(1_000_000))?;
        for _ in 0..1_000_000 {
            self.asked.set(self.asked.get() + 1);
            let written = list.serialize_element("0123456789");
            if self.swallows_errors {
                if written.is_err() {
                    break;
                }
            } else {
                written?;
            }
        }
        list.end()
    }
}

/// R14.
#[test]
fn encoding_stops_at_the_limit() {
    for codec in CODECS {
        for swallows_errors in [false, true] {
            let asked = Cell::new(0);
            let error = Payload::encode(codec, &Long { asked: &asked, swallows_errors }, 1_000).unwrap_err();
            assert!(matches!(error, PayloadError::TooLarge { bytes_max: 1_000, .. }), "{error}");
            assert!(asked.get() < 100, "{codec} went on to {}", asked.get());
        }
    }
}

#[test]
fn what_was_refused_once_is_refused_for_good() {
    use std::io::Write as _;
    let mut writer = limited::Writer::new(4);
    assert!(writer.write(b"12345").is_err());
    assert!(writer.write(b"1").is_err(), "else a Serialize that ignores errors would leave a gap");
    assert!(writer.into_bytes().is_err_and(|overflow| overflow.bytes_at_least == 5));
}

/// R14.
#[test]
fn no_limit_is_higher_than_the_highest() {
    for codec in CODECS {
        let huge = "x".repeat(PAYLOAD_BYTES_MAX);
        let error = Payload::encode(codec, &huge, usize::MAX).unwrap_err();
        assert!(matches!(error, PayloadError::TooLarge { bytes_max: PAYLOAD_BYTES_MAX, .. }), "{error}");
    }
}

#[test]
fn the_largest_bincode_payload_is_decoded_again() {
    // The most that bincode claims for each byte: 16, for a u128 written as one.
    let numbers = vec![1_u128; 1024 * 1024];
    let payload = Payload::encode(Codec::Bincode, &numbers, PAYLOAD_BYTES_MAX).unwrap();
    assert_eq!(payload.bytes().len(), numbers.len() + 5);
    assert_eq!(payload.decode::<Vec<u128>>().unwrap(), numbers);
    assert_eq!(BINCODE_CLAIM_MAX / PAYLOAD_BYTES_MAX, size_of::<u128>());
}

/// R7.
#[test]
fn what_can_not_be_encoded_says_why() {
    let error = Payload::encode(Codec::Json, &BTreeMap::from([((1, 2), 3)]), 100).unwrap_err();
    assert!(matches!(error, PayloadError::Encode { codec: Codec::Json, .. }));
    assert!(error.to_string().contains("BTreeMap<(i32, i32), i32> can't be encoded as JSON: key must be a string. "));
    assert!(error.to_string().starts_with("[D0302] a value of type "));
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Unit;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Wrapped<T>(T);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Shape<T> {
    Newtype(T),
    Pair(u8, T),
    Fields { text: String, inner: T },
}

/// R7.
#[test]
fn a_some_that_would_be_read_as_none_is_refused() {
    fn check<T: Serialize>(what: &str, value: &T) {
        let error = Payload::encode(Codec::Json, value, 1_000).unwrap_err().to_string();
        let expected = format!("{what} in a `Some` is written as null, and would be read as `None`. ");
        assert!(error.contains(&expected), "{error}");
        Payload::encode(Codec::Bincode, value, 1_000).expect("bincode tells them apart");
    }
    check("`()`, or another null", &Some(()));
    check("`()`, or another null", &Some(serde_json::Value::Null));
    check("`None`", &Some(None::<u8>));
    check("`None`", &Some(Some(None::<u8>)));
    check("`None`", &Some(Wrapped(Wrapped(None::<u8>))));
    check("`None`", &Some(Box::new(None::<u8>)));
    check("a struct without fields", &Some(Unit));
    check("a number that is not finite", &Some(f32::NAN));
    check("a number that is not finite", &Wrapped(Some(f64::NEG_INFINITY)));
    // Wherever it is.
    check("`()`, or another null", &vec![Some(1), None].into_iter().map(|_| Some(())).collect::<Vec<_>>());
    check("`None`", &("null", None::<u8>, Some(None::<u8>)));
    check("`None`", &BTreeMap::from([("a", Ok::<_, String>(Some(None::<u8>)))]));
    check("`None`", &Shape::Newtype(Some(None::<u8>)));
    check("`None`", &Shape::Pair(1, Some(None::<u8>)));
    check("`None`", &Shape::Fields { text: "null".to_owned(), inner: Some(None::<u8>) });
}

/// R7.
#[test]
fn other_nulls_come_back() {
    fn check<T: Serialize + DeserializeOwned + PartialEq + fmt::Debug>(value: &T) {
        let payload = Payload::encode(Codec::Json, value, 1_000).unwrap();
        assert!(payload.to_json_text().unwrap().contains("null"), "{}", payload.text());
        assert_eq!(payload.decode::<T>().unwrap(), *value);
    }
    check(&());
    check(&Unit);
    check(&None::<Option<u8>>);
    check(&Ok::<(), String>(()));
    check(&Some(vec![None::<u8>]));
    check(&Some((None::<u8>, ())));
    check(&Some(Ok::<(), String>(())));
    check(&Some(Shape::Newtype(None::<u8>)));
    check(&Some(Shape::Pair(1, None::<u8>)));
    check(&Some(Shape::Fields { text: "null".to_owned(), inner: None::<u8> }));
    check(&Some(BTreeMap::from([("null".to_owned(), None::<u8>)])));
    check(&Wrapped(None::<u8>));
    check(&Some("null".to_owned()));
    check(&Some(serde_json::json!({ "a": null, "b": [null] })));
}

/// R7.
#[test]
fn what_can_not_be_decoded_says_why() {
    for codec in CODECS {
        let payload = Payload::encode(codec, &(1_u8, 2_u8), 100).unwrap();
        let error = payload.decode::<(u8, u8, String)>().unwrap_err();
        let expected = format!(
            "[D0303] a recorded payload ({codec}, {} bytes) can't be decoded as (u8, u8, ",
            payload.bytes().len()
        );
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
    let payload = Payload::encode(Codec::Bincode, &1, 100).unwrap();
    assert!(payload.decode::<serde_json::Value>().is_err(), "bincode does not describe itself");
}

#[test]
fn bytes_after_the_value_are_refused() {
    for codec in CODECS {
        let mut payload = Payload::encode(codec, &true, 100).unwrap();
        payload.bytes.push(b'1');
        assert!(matches!(payload.decode::<bool>(), Err(PayloadError::Decode { .. })), "{codec}");
    }
}

#[test]
fn nesting_is_limited_instead_of_overflowing_the_stack() {
    // One byte for each node, as many as a payload can have: without a limit this ends the process.
    let hostile = Payload { codec: Codec::Bincode, bytes: vec![1; 1_000_000] };
    let error = hostile.decode::<Node>().unwrap_err();
    assert!(error.to_string().contains("nested more than 384 levels deep"), "{error}");
    let hostile = Payload { codec: Codec::Json, bytes: vec![b'['; 1_000_000] };
    assert!(hostile.decode::<IgnoredAny>().is_err());
    for codec in CODECS {
        let deep = linked(120);
        assert_eq!(Payload::encode(codec, &deep, 10_000).unwrap().decode::<Node>().unwrap(), deep, "{codec}");
    }
}

#[test]
fn lengths_in_the_bytes_are_not_believed() {
    // 253 announces a u64: here a text, a list or a map of 2^60 elements.
    let mut bytes = vec![253];
    bytes.extend_from_slice(&(1_u64 << 60).to_le_bytes());
    let hostile = Payload { codec: Codec::Bincode, bytes };
    assert!(hostile.decode::<String>().is_err());
    assert!(hostile.decode::<Vec<u8>>().is_err());
    assert!(hostile.decode::<Vec<String>>().is_err());
    assert!(hostile.decode::<HashMap<u64, [u64; 4]>>().is_err());
}

/// Asks for an owned text or owned bytes, and takes only what was lent from the payload.
#[derive(Debug)]
struct Lent<const TEXT: bool>;

impl<'de, const TEXT: bool> Deserialize<'de> for Lent<TEXT> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if TEXT { deserializer.deserialize_string(Self) } else { deserializer.deserialize_byte_buf(Self) }
    }
}

impl<'de, const TEXT: bool> Visitor<'de> for Lent<TEXT> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("something lent")
    }

    fn visit_borrowed_str<E>(self, _: &'de str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_borrowed_bytes<E>(self, _: &'de [u8]) -> Result<Self, E> {
        Ok(self)
    }
}

#[test]
fn nothing_is_allocated_before_the_length_is_checked() {
    let payload = Payload::encode(Codec::Bincode, "text", 100).unwrap();
    payload.decode::<Lent<true>>().unwrap();
    payload.decode::<Lent<false>>().unwrap();
}

#[test]
fn debug_shows_no_content() {
    let payload = Payload::encode(Codec::Json, "secret", 100).unwrap();
    assert_eq!(format!("{payload:?}"), "Payload { codec: Json, bytes: <8 bytes> }");
}

proptest! {
    #[test]
    fn values_come_back_equal(value in value()) {
        for codec in CODECS {
            let payload = Payload::encode(codec, &value, PAYLOAD_BYTES_MAX).unwrap();
            prop_assert_eq!(&payload.decode::<Value>().unwrap(), &value);
            prop_assert_eq!(payload.to_json_text().is_some(), codec == Codec::Json);
            let bytes = payload.bytes().len();
            prop_assert_eq!(Payload::encode(codec, &value, bytes).unwrap(), payload);
            let too_small = Payload::encode(codec, &value, bytes.saturating_sub(1));
            let refused = matches!(too_small, Err(PayloadError::TooLarge { .. }));
            prop_assert!(refused);
        }
    }

    #[test]
    fn the_envelope_comes_back_equal(value in value()) {
        let config = bincode::config::standard();
        for codec in CODECS {
            let payload = Payload::encode(codec, &value, PAYLOAD_BYTES_MAX).unwrap();
            let bytes = bincode::encode_to_vec(&payload, config).unwrap();
            prop_assert_eq!(bincode::decode_from_slice::<Payload, _>(&bytes, config).unwrap(), (payload, bytes.len()));
        }
    }

    /// R7.
    #[test]
    fn damaged_bytes_never_panic(
        value in value(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        for codec in CODECS {
            let mut payload = Payload::encode(codec, &value, PAYLOAD_BYTES_MAX).unwrap();
            for (at, byte) in &damage {
                let at = at.index(payload.bytes.len());
                payload.bytes[at] = *byte;
            }
            let _ = payload.decode::<Value>();
            payload.bytes.truncate(cut.index(payload.bytes.len()));
            let _ = payload.decode::<Value>();
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for codec in CODECS {
            let payload = Payload { codec, bytes: bytes.clone() };
            let _ = (payload.decode::<Value>(), payload.decode::<Vec<String>>(), payload.decode::<Node>());
            let _ = payload.to_json_text();
        }
    }
}

/// A list or a map, which keeps how long it was told to be.
#[derive(Debug, PartialEq)]
struct Hinted<const MAP: bool>(Option<usize>);

impl<'de, const MAP: bool> Deserialize<'de> for Hinted<MAP> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if MAP { deserializer.deserialize_map(Self(None)) } else { deserializer.deserialize_seq(Self(None)) }
    }
}

impl<'de, const MAP: bool> Visitor<'de> for Hinted<MAP> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list or a map")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self, A::Error> {
        let hint = list.size_hint();
        while list.next_element::<u8>()?.is_some() {}
        Ok(Self(hint))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        let hint = map.size_hint();
        while map.next_entry::<u8, u8>()?.is_some() {}
        Ok(Self(hint))
    }
}

/// A list within lists, each with room for a length that only the bytes say, would take a mebibyte for each level.
/// Also R14.
#[test]
fn no_length_in_the_bytes_is_told_to_a_type() {
    let list = Payload::encode(Codec::Bincode, &vec![1_u8, 2, 3], 100).unwrap();
    assert_eq!(list.decode::<Hinted<false>>().unwrap(), Hinted(None));
    let map = Payload::encode(Codec::Bincode, &BTreeMap::from([(1_u8, 2_u8)]), 100).unwrap();
    assert_eq!(map.decode::<Hinted<true>>().unwrap(), Hinted(None));
}
