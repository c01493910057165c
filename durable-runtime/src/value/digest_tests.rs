use std::cell::Cell as Choice;
use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use serde::ser::{SerializeMap, SerializeSeq, SerializeStruct, SerializeTuple};

use super::*;

fn form<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut scratch = Scratch::new();
    value.serialize(Canonical { scratch: &mut scratch, depth: Depth::default() }).unwrap();
    assert!(scratch.entries.is_empty(), "every map takes its entries away");
    scratch.form
}

fn of<T: Serialize + ?Sized>(value: &T) -> Digest {
    digest(value).unwrap()
}

#[derive(Serialize, Clone)]
struct Order {
    id: &'static str,
    quantity: u32,
    price: f64,
    note: Option<String>,
    express: bool,
}

fn order() -> Order {
    Order { id: "ord_abc123", quantity: 3, price: 19.5, note: None, express: true }
}

/// The same order after a refactoring: other field order, other integer width, newtypes.
#[derive(Serialize)]
struct Refactored {
    express: bool,
    note: Option<Text2>,
    price: f32,
    quantity: i64,
    id: Id,
}

#[derive(Serialize)]
struct Text2(String);

#[derive(Serialize)]
struct Id(Box<str>);

#[derive(Serialize)]
struct Unit;

#[derive(Serialize)]
enum Shape {
    Point,
    Circle(u8),
    Line(u8, u8),
    Box { width: u8 },
}

#[test]
fn a_refactoring_without_a_change_of_meaning_keeps_the_digest() {
    let refactored = Refactored { express: true, note: None, price: 19.5, quantity: 3, id: Id("ord_abc123".into()) };
    assert_eq!(of(&order()), of(&refactored));
    assert_eq!(of(&serde_json::to_value(order()).unwrap()), of(&order()), "the same as its JSON");
    let noted = Order { note: Some("ring twice".to_owned()), ..order() };
    assert_eq!(of(&noted), of(&Refactored { note: Some(Text2("ring twice".to_owned())), ..refactored }));
}

#[test]
fn every_field_counts() {
    let others = [
        order(),
        Order { id: "ord_abc124", ..order() },
        Order { quantity: 4, ..order() },
        Order { price: 19.500_000_000_000_004, ..order() },
        Order { note: Some(String::new()), ..order() },
        Order { express: false, ..order() },
    ];
    let digests: std::collections::BTreeSet<_> = others.iter().map(of).collect();
    assert_eq!(digests.len(), others.len());
}

#[test]
fn the_digest_is_the_same_in_every_version() {
    // These numbers are in journals: a change here makes every waiting run diverge.
    let nested = (1, -1.5, "é", [Shape::Point, Shape::Box { width: 2 }]);
    assert_eq!(
        [of(&()), of(&order()), of(&nested)].map(|digest| digest.to_string()),
        ["c44bdff4074eecdb", "ad839c655a7d3173", "b25faed92ecff3c7"]
    );
}

#[test]
fn an_added_optional_field_that_is_none_changes_nothing() {
    #[derive(Serialize)]
    struct Before {
        sku: &'static str,
    }
    #[derive(Serialize)]
    struct After {
        sku: &'static str,
        note: Option<&'static str>,
    }
    assert_eq!(of(&After { sku: "a", note: None }), of(&Before { sku: "a" }));
    assert_ne!(of(&After { sku: "a", note: Some("b") }), of(&Before { sku: "a" }));
}

#[test]
fn variants_are_names_or_maps_of_one_entry() {
    assert_eq!(form(&Shape::Point), form("Point"));
    assert_eq!(form(&Shape::Circle(1)), form(&BTreeMap::from([("Circle", 1)])));
    assert_eq!(form(&Shape::Line(1, 2)), form(&BTreeMap::from([("Line", [1, 2])])));
    assert_eq!(form(&Shape::Box { width: 1 }), form(&BTreeMap::from([("Box", BTreeMap::from([("width", 1)]))])));
}

#[test]
fn nothing_is_null_and_floats_are_no_integers() {
    for nothing in [form(&()), form(&None::<u8>), form(&Unit), form(&Some(()))] {
        assert_eq!(nothing, [tag::NULL]);
    }
    assert_eq!(form(&'é'), form("é"));
    assert_eq!(form(&format_args!("{}", 'é')), form("é"));
    assert_eq!(form(&f64::NAN), form(&-f32::NAN));
    assert_ne!(form(&0.0), form(&-0.0));
    assert_ne!(form(&1.0), form(&1));
    assert_ne!(form(&1), form("1"));
    assert_ne!(form(&[1_u8]), form(&Model::Bytes(vec![1])));
    assert_ne!(form(&u128::MAX), form(&-1));
}

#[test]
fn parts_do_not_run_into_each_other() {
    assert_ne!(form(&("ab", "c")), form(&("a", "bc")));
    assert_ne!(form(&(vec![1], vec![2, 3])), form(&(vec![1, 2], vec![3])));
    assert_ne!(form(&(Vec::<u8>::new(),)), form(&Vec::<u8>::new()));
    assert_ne!(form(&[((), "a")]), form(&[("a", ())]));
}

#[test]
fn a_hash_map_has_one_digest() {
    let forwards: HashMap<_, _> = (0..100).map(|n| (n, n)).collect();
    let backwards: HashMap<_, _> = (0..100).rev().map(|n| (n, n)).collect();
    assert_eq!(of(&forwards), of(&backwards));
}

/// A list in a list in a list …
struct Nested(u16);

impl Serialize for Nested {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        if self.0 > 1 {
            list.serialize_element(&Self(self.0 - 1))?;
        }
        list.end()
    }
}

/// `Some(Some(Some(…)))`, without an end.
struct Endless;

impl Serialize for Endless {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_some(self)
    }
}

#[derive(Serialize)]
struct Node {
    next: Option<Box<Node>>,
}

#[derive(Serialize)]
enum Chain {
    End,
    Link(Box<Chain>),
}

fn linked(nodes: u16) -> Node {
    (1..nodes).fold(Node { next: None }, |next, _| Node { next: Some(Box::new(next)) })
}

fn chained(links: u16) -> Chain {
    (0..links).fold(Chain::End, |chain, _| Chain::Link(Box::new(chain)))
}

#[test]
fn nesting_is_limited() {
    assert!(digest(&Nested(NESTING_MAX)).is_ok());
    let type_name = std::any::type_name::<Nested>();
    assert_eq!(digest(&Nested(NESTING_MAX + 1)), Err(DigestError::TooDeep { type_name }));
    assert!(digest(&linked(NESTING_MAX)).is_ok(), "Option does not use up levels");
    assert!(matches!(digest(&linked(NESTING_MAX + 1)), Err(DigestError::TooDeep { .. })));
    assert!(digest(&chained(NESTING_MAX)).is_ok());
    assert!(matches!(digest(&chained(NESTING_MAX + 1)), Err(DigestError::TooDeep { .. })));
    assert!(matches!(digest(&Endless), Err(DigestError::TooDeep { .. })));
    assert!(digest(&vec![linked(NESTING_MAX - 1), linked(NESTING_MAX - 1)]).is_ok(), "depth, not size");
}

/// Refuses to be serialized, after it began.
struct Refusing;

impl Serialize for Refusing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("written", &1)?;
        Err(ser::Error::custom("the lock is poisoned"))
    }
}

/// Gives a key without a value, or a value without a key.
struct Lopsided(&'static str);

impl Serialize for Lopsided {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for part in self.0.chars() {
            if part == 'k' { map.serialize_key(&1)? } else { map.serialize_value(&1)? }
        }
        map.end()
    }
}

#[test]
fn a_refusal_is_carried_and_leaves_nothing_behind() {
    let before = of(&order());
    let error = digest(&(1, Refusing)).unwrap_err();
    assert!(matches!(&error, DigestError::Refused { detail, .. } if detail == "the lock is poisoned"));
    assert!(error.to_string().starts_with("[D0306] an argument of type (i32, "), "{error}");
    assert_eq!(of(&order()), before);
    for lopsided in ["k", "v", "kk", "kvk", "kvv"] {
        assert!(matches!(digest(&Lopsided(lopsided)), Err(DigestError::Refused { .. })), "{lopsided}");
    }
    let unprintable = std::fmt::from_fn(|_| Err(fmt::Error));
    assert!(matches!(digest(&format_args!("{unprintable}")), Err(DigestError::Refused { .. })));
}

/// Asks for a digest while one is being made.
struct Reentrant;

impl Serialize for Reentrant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(of(&order()).0)
    }
}

#[test]
fn a_digest_inside_a_digest_is_fine() {
    assert_eq!(of(&("a", Reentrant)), of(&("a", of(&order()).0)));
}

/// What a canonical form can say, for comparing with what it does say.
#[derive(Debug, Clone, PartialEq)]
enum Model {
    Null,
    Bool(bool),
    Integer(i128),
    Huge(u128),
    Float(u64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Model>),
    Map(Vec<(Model, Model)>),
}

impl Serialize for Model {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Spelled { model: self, choice: &Choice::new(0) }.serialize(serializer)
    }
}

/// A model, serialized in one of the many ways that mean the same.
struct Spelled<'a> {
    model: &'a Model,
    /// Changes with every choice.
    choice: &'a Choice<u64>,
}

impl Spelled<'_> {
    fn choose(&self, options: u64) -> u64 {
        let next = self.choice.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.choice.set(next);
        (next >> 33) % options
    }

    fn with<'b>(&'b self, model: &'b Model) -> Spelled<'b> {
        Spelled { model, choice: self.choice }
    }
}

#[derive(Serialize)]
struct Wrapper<T>(T);

impl Serialize for Spelled<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.choose(6) {
            0 => return serializer.serialize_some(self),
            1 => return Wrapper(self).serialize(serializer),
            _ => {}
        }
        match self.model {
            Model::Null => match self.choose(3) {
                0 => serializer.serialize_none(),
                1 => serializer.serialize_unit_struct("Unit"),
                _ => serializer.serialize_unit(),
            },
            Model::Bool(value) => serializer.serialize_bool(*value),
            Model::Integer(value) => {
                macro_rules! as_one_of {
                    ($($integer:ident $method:ident)*) => {
                        $(if self.choose(3) == 0 && let Ok(value) = $integer::try_from(*value) {
                            return serializer.$method(value);
                        })*
                    };
                }
                as_one_of! {
                    i8 serialize_i8 u8 serialize_u8 i16 serialize_i16 u16 serialize_u16 i32 serialize_i32
                    u32 serialize_u32 i64 serialize_i64 u64 serialize_u64 u128 serialize_u128
                }
                serializer.serialize_i128(*value)
            }
            Model::Huge(value) => serializer.serialize_u128(*value),
            Model::Float(bits) => serializer.serialize_f64(f64::from_bits(*bits)),
            Model::Text(text) => {
                let mut chars = text.chars();
                match (chars.next(), chars.next(), self.choose(2)) {
                    (Some(char), None, 0) => serializer.serialize_char(char),
                    (_, _, 1) => serializer.collect_str(text),
                    _ => serializer.serialize_str(text),
                }
            }
            Model::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Model::List(elements) => {
                if self.choose(2) == 0 {
                    let mut list = serializer.serialize_seq(None)?;
                    elements.iter().try_for_each(|element| list.serialize_element(&self.with(element)))?;
                    list.end()
                } else {
                    let mut tuple = serializer.serialize_tuple(elements.len())?;
                    elements.iter().try_for_each(|element| tuple.serialize_element(&self.with(element)))?;
                    tuple.end()
                }
            }
            Model::Map(entries) => {
                let mut entries = entries.clone();
                if !entries.is_empty() {
                    let middle = usize::try_from(self.choose(entries.len() as u64)).unwrap();
                    entries.rotate_left(middle);
                    if self.choose(2) == 0 {
                        entries.reverse();
                    }
                }
                if let [(Model::Text(name), value)] = &entries[..]
                    && !matches!(value, Model::Null)
                    && self.choose(2) == 0
                {
                    let name = String::leak(name.clone());
                    return serializer.serialize_newtype_variant("Enum", 0, name, &self.with(value));
                }
                if self.choose(2) == 0 && entries.iter().all(|(key, _)| matches!(key, Model::Text(_))) {
                    let mut fields = serializer.serialize_struct("Struct", entries.len())?;
                    for (key, value) in &entries {
                        let Model::Text(key) = key else { unreachable!("checked above") };
                        fields.serialize_field(String::leak(key.clone()), &self.with(value))?;
                    }
                    return fields.end();
                }
                let mut map = serializer.serialize_map(None)?;
                for (key, value) in &entries {
                    map.serialize_entry(&self.with(key), &self.with(value))?;
                }
                map.end()
            }
        }
    }
}

/// Reads a canonical form back: that this is possible shows that no two models share one.
fn read(form: &mut &[u8]) -> Model {
    fn take<const N: usize>(form: &mut &[u8]) -> [u8; N] {
        let (head, rest) = form.split_first_chunk().expect("a whole form");
        *form = rest;
        *head
    }
    fn count(form: &mut &[u8]) -> usize {
        usize::try_from(u64::from_le_bytes(take(form))).unwrap()
    }
    fn sized(form: &mut &[u8]) -> Vec<u8> {
        let bytes = count(form);
        form.split_off(..bytes).expect("a whole form").to_vec()
    }
    match u8::from_le_bytes(take(form)) {
        tag::NULL => Model::Null,
        tag::FALSE => Model::Bool(false),
        tag::TRUE => Model::Bool(true),
        tag::INTEGER => Model::Integer(i64::from_le_bytes(take(form)).into()),
        tag::INTEGER_WIDE => Model::Integer(i128::from_le_bytes(take(form))),
        tag::INTEGER_WIDEST => Model::Huge(u128::from_le_bytes(take(form))),
        tag::FLOAT => Model::Float(u64::from_le_bytes(take(form))),
        tag::TEXT => Model::Text(String::from_utf8(sized(form)).unwrap()),
        tag::BYTES => Model::Bytes(sized(form)),
        tag::LIST => Model::List((0..count(form)).map(|_| read(form)).collect()),
        tag::MAP => Model::Map((0..count(form)).map(|_| (read(form), read(form))).collect()),
        other => panic!("unknown tag {other}"),
    }
}

/// The model with the entries of its maps in one fixed order.
fn in_order(model: &Model) -> Model {
    match model {
        Model::List(elements) => Model::List(elements.iter().map(in_order).collect()),
        Model::Map(entries) => {
            let mut entries: Vec<_> = entries.iter().map(|(key, value)| (in_order(key), in_order(value))).collect();
            entries.retain(|(_, value)| !matches!(value, Model::Null));
            entries.sort_by_cached_key(|entry| format!("{entry:?}"));
            Model::Map(entries)
        }
        scalar => scalar.clone(),
    }
}

fn model() -> impl Strategy<Value = Model> {
    let scalar = prop_oneof![
        Just(Model::Null),
        any::<bool>().prop_map(Model::Bool),
        prop_oneof![(-300..300_i128).boxed(), any::<i64>().prop_map_into().boxed(), any::<i128>().boxed()]
            .prop_map(Model::Integer),
        (0..u128::MAX / 2).prop_map(|n| Model::Huge(u128::MAX - n)),
        any::<f64>().prop_filter("one NaN", |x| !x.is_nan()).prop_map(|x| Model::Float(x.to_bits())),
        "[a-cé]{0,3}".prop_map(Model::Text),
        prop::collection::vec(any::<u8>(), 0..4).prop_map(Model::Bytes),
    ];
    scalar.prop_recursive(5, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Model::List),
            prop::collection::vec((inner.clone(), inner.clone()), 0..6).prop_map(Model::Map),
            prop::collection::vec(("[a-c]{0,2}".prop_map(Model::Text), inner), 0..6).prop_map(Model::Map),
        ]
    })
}

proptest! {
    #[test]
    fn however_it_is_spelled_a_value_has_one_form(model in model(), one in any::<u64>(), other in any::<u64>()) {
        let one = form(&Spelled { model: &model, choice: &Choice::new(one) });
        let other = form(&Spelled { model: &model, choice: &Choice::new(other) });
        prop_assert_eq!(&one, &other);
        let mut unread = &one[..];
        prop_assert_eq!(in_order(&read(&mut unread)), in_order(&model), "nothing is lost");
        prop_assert!(unread.is_empty());
    }

    #[test]
    fn the_digest_is_the_hash_of_the_form(model in model()) {
        prop_assert_eq!(digest(&model), Ok(Digest(xxh3_64(&form(&model)))));
        prop_assert_eq!(digest(&Some(&model)), digest(&model));
    }
}
