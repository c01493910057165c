//! Whether a value is an `Err`, asked through `Serialize` only.
//!
//! A step's outcome is stored the same way whether it is a plain value or a `Result`; but a retry, a listing
//! and a trace need to know if the step failed, without a second trait on the user's type.

use std::fmt::{self, Display};

use serde::Serialize;
use serde::ser::{self, Impossible, Serializer};

/// Whether `value` is the `Err` of a [`Result`].
///
/// Looks at the first thing the value says about itself and nothing else, so the cost does not depend on its
/// size. References, `Box`, `Arc`, type aliases and `#[serde(transparent)]` are looked through, because serde
/// does not see them; `Option`, newtype structs and an outer `Ok` are not. An enum of the user's own counts
/// only if serde can't tell it from `Result`: named `Result`, with `Err` as its second variant of one field.
pub(crate) fn is_err<T: Serialize + ?Sized>(value: &T) -> bool {
    value.serialize(FirstCall).unwrap_or(false)
}

/// Answers the first call, never visits what is inside.
struct FirstCall;

/// The value opened a list, a map or a struct, or refused to be serialized: not an `Err` either way.
#[derive(Debug)]
struct NotAnErr;

impl Display for NotAnErr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an Err")
    }
}

impl std::error::Error for NotAnErr {}

impl ser::Error for NotAnErr {
    fn custom<M: Display>(_: M) -> Self {
        Self
    }
}

/// One method per line: everything but a newtype variant is not an `Err`.
macro_rules! not_an_err {
    (scalar: $($scalar:ident($($argument:ty),*))*) => {
        $(fn $scalar(self, $(_: $argument),*) -> Result<bool, NotAnErr> { Ok(false) })*
    };
    (container: $($container:ident($($argument:ty),*) -> $returned:ident;)*) => {
        $(fn $container(self, $(_: $argument),*) -> Result<Self::$returned, NotAnErr> { Err(NotAnErr) })*
    };
}

impl Serializer for FirstCall {
    type Ok = bool;
    type Error = NotAnErr;
    type SerializeSeq = Impossible<bool, NotAnErr>;
    type SerializeTuple = Impossible<bool, NotAnErr>;
    type SerializeTupleStruct = Impossible<bool, NotAnErr>;
    type SerializeTupleVariant = Impossible<bool, NotAnErr>;
    type SerializeMap = Impossible<bool, NotAnErr>;
    type SerializeStruct = Impossible<bool, NotAnErr>;
    type SerializeStructVariant = Impossible<bool, NotAnErr>;

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        _: &T,
    ) -> Result<bool, NotAnErr> {
        Ok((name, index, variant) == ("Result", 1, "Err"))
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<bool, NotAnErr> {
        Ok(false)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, _: &T) -> Result<bool, NotAnErr> {
        Ok(false)
    }

    // The default would format the whole value first.
    fn collect_str<T: Display + ?Sized>(self, _: &T) -> Result<bool, NotAnErr> {
        Ok(false)
    }

    not_an_err! { scalar:
        serialize_bool(bool)
        serialize_i8(i8)
        serialize_i16(i16)
        serialize_i32(i32)
        serialize_i64(i64)
        serialize_i128(i128)
        serialize_u8(u8)
        serialize_u16(u16)
        serialize_u32(u32)
        serialize_u64(u64)
        serialize_u128(u128)
        serialize_f32(f32)
        serialize_f64(f64)
        serialize_char(char)
        serialize_str(&str)
        serialize_bytes(&[u8])
        serialize_none()
        serialize_unit()
        serialize_unit_struct(&'static str)
        serialize_unit_variant(&'static str, u32, &'static str)
    }

    not_an_err! { container:
        serialize_seq(Option<usize>) -> SerializeSeq;
        serialize_tuple(usize) -> SerializeTuple;
        serialize_tuple_struct(&'static str, usize) -> SerializeTupleStruct;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> SerializeTupleVariant;
        serialize_map(Option<usize>) -> SerializeMap;
        serialize_struct(&'static str, usize) -> SerializeStruct;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> SerializeStructVariant;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::ser::SerializeSeq;

    use super::*;

    type Alias<T> = Result<T, String>;

    #[derive(Serialize)]
    enum Outcome {
        Ok(u32),
        Err(String),
    }

    #[derive(Serialize)]
    struct Newtype(Alias<u32>);

    #[derive(Serialize)]
    #[serde(transparent)]
    struct Transparent {
        result: Alias<u32>,
    }

    /// Fails the test when anyone looks inside.
    struct Untouchable;

    impl Serialize for Untouchable {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            panic!("the content was visited");
        }
    }

    /// A list that fails the test when its first element is asked for.
    struct UntouchableList;

    impl Serialize for UntouchableList {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut list = serializer.serialize_seq(None)?;
            list.serialize_element(&Untouchable)?;
            list.end()
        }
    }

    fn err() -> Alias<u32> {
        Err("declined".to_owned())
    }

    /// R8.
    #[test]
    fn an_err_is_found_through_aliases_references_and_boxes() {
        assert!(is_err(&err()));
        assert!(is_err(&&err()));
        assert!(is_err(&Box::new(err())));
        assert!(is_err(&Box::new(Box::new(err()))));
        assert!(is_err(&std::borrow::Cow::<'_, Alias<u32>>::Owned(err())));
        assert!(is_err(&Transparent { result: err() }));
        assert!(is_err(&std::io::Result::<()>::Err(std::io::ErrorKind::NotFound.into()).map_err(|e| e.to_string())));
        assert!(is_err::<Result<(), Alias<u32>>>(&Err(Ok(1))));
    }

    #[test]
    fn what_is_not_an_err_itself_is_none() {
        assert!(!is_err(&Alias::Ok(1)));
        assert!(!is_err::<Result<Alias<u32>, ()>>(&Ok(err())), "the outer one decides");
        assert!(!is_err(&Some(err())), "an Option is not a Result");
        assert!(!is_err(&(err(),)));
        assert!(!is_err(&vec![err()]));
        assert!(!is_err(&Newtype(err())));
        assert!(!is_err(&BTreeMap::from([("Err", 1)])));
        assert!(!is_err("Err"));
        assert!(!is_err(&()));
    }

    #[test]
    fn an_enum_of_the_user_is_data() {
        assert!(!is_err(&Outcome::Err("mine".to_owned())));
        assert!(!is_err(&Outcome::Ok(1)));
    }

    #[test]
    fn the_content_is_never_visited() {
        assert!(is_err::<Result<(), Untouchable>>(&Err(Untouchable)));
        assert!(!is_err::<Result<Untouchable, ()>>(&Ok(Untouchable)));
        assert!(!is_err(&Some(Untouchable)));
        assert!(!is_err(&UntouchableList));
        assert!(!is_err(&format_args!("{}", std::fmt::from_fn(|_| panic!("formatted")))));
    }

    fn content() -> impl Strategy<Value = Vec<Option<String>>> {
        prop::collection::vec(prop::option::of(".*"), 0..4)
    }

    proptest! {
        /// R8.
        #[test]
        fn agrees_with_result_is_err(result in prop::result::maybe_err(content(), content())) {
            prop_assert_eq!(is_err(&result), result.is_err());
            prop_assert!(!is_err(&result.as_ref().ok()));
        }
    }
}
