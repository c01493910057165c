//! A `Some` that JSON writes as `null`, and so would be read as a `None`.

use std::fmt::{self, Display};

use serde::Serialize;
use serde::ser::{self, Serializer};

/// What is in the first such `Some` of a value; `None` if there is none. Costs as much as to encode it.
///
/// `Some(())`, `Some(None)`, `Some(f64::NAN)`, also in newtypes: serde has no way to tell them from a `None` again.
pub(super) fn lost_in_null<T: Serialize + ?Sized>(value: &T) -> Option<&'static str> {
    match value.serialize(Walk { is_in_some: false }) {
        Err(Left::Lost(what)) => Some(what),
        Ok(()) | Err(Left::Refused) => None,
    }
}

/// Goes through all of a value.
#[derive(Clone, Copy)]
struct Walk {
    /// Whether nothing but newtypes is between the last `Some` and what comes.
    is_in_some: bool,
}

/// Why the rest is not looked at.
#[derive(Debug)]
enum Left {
    /// Such a `Some` was found.
    Lost(&'static str),
    /// The value refuses to be serialized.
    Refused,
}

impl Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lost(what) => what,
            Self::Refused => "refused",
        })
    }
}

impl std::error::Error for Left {}

impl ser::Error for Left {
    fn custom<M: Display>(_: M) -> Self {
        Self::Refused
    }
}

impl Walk {
    const OUTSIDE: Self = Self { is_in_some: false };

    /// The value is written as `null`.
    fn null(self, what: &'static str) -> Result<(), Left> {
        if self.is_in_some { Err(Left::Lost(what)) } else { Ok(()) }
    }
}

/// Scalars that are never `null`.
macro_rules! never_null {
    ($($scalar:ident($argument:ty))*) => {
        $(fn $scalar(self, _: $argument) -> Result<(), Left> { Ok(()) })*
    };
}

impl Serializer for Walk {
    type Ok = ();
    type Error = Left;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    never_null! {
        serialize_bool(bool) serialize_char(char) serialize_str(&str) serialize_bytes(&[u8])
        serialize_i8(i8) serialize_i16(i16) serialize_i32(i32) serialize_i64(i64) serialize_i128(i128)
        serialize_u8(u8) serialize_u16(u16) serialize_u32(u32) serialize_u64(u64) serialize_u128(u128)
    }

    fn serialize_f32(self, value: f32) -> Result<(), Left> {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result<(), Left> {
        if value.is_finite() { Ok(()) } else { self.null("a number that is not finite") }
    }

    fn serialize_none(self) -> Result<(), Left> {
        self.null("`None`")
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Left> {
        value.serialize(Self { is_in_some: true })
    }

    fn serialize_unit(self) -> Result<(), Left> {
        self.null("`()`, or another null")
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Left> {
        self.null("a struct without fields")
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<(), Left> {
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Left> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), Left> {
        value.serialize(Self::OUTSIDE)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Left> {
        Ok(Self::OUTSIDE)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Left> {
        Ok(Self::OUTSIDE)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Left> {
        Ok(Self::OUTSIDE)
    }

    fn serialize_tuple_variant(self, _: &'static str, _: u32, _: &'static str, _: usize) -> Result<Self, Left> {
        Ok(Self::OUTSIDE)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, Left> {
        Ok(Self::OUTSIDE)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Left> {
        Ok(Self::OUTSIDE)
    }

    fn serialize_struct_variant(self, _: &'static str, _: u32, _: &'static str, _: usize) -> Result<Self, Left> {
        Ok(Self::OUTSIDE)
    }

    /// Nothing of the text can be `null`.
    fn collect_str<T: Display + ?Sized>(self, _: &T) -> Result<(), Left> {
        Ok(())
    }

    fn is_human_readable(&self) -> bool {
        true
    }
}

/// What has elements looks at each of them.
macro_rules! of_elements {
    ($($container:ident::$element:ident($($name:ty)?);)*) => {
        $(impl ser::$container for Walk {
            type Ok = ();
            type Error = Left;

            fn $element<T: Serialize + ?Sized>(&mut self, $(_: $name,)? value: &T) -> Result<(), Left> {
                value.serialize(Self::OUTSIDE)
            }

            fn end(self) -> Result<(), Left> {
                Ok(())
            }
        })*
    };
}

of_elements! {
    SerializeSeq::serialize_element();
    SerializeTuple::serialize_element();
    SerializeTupleStruct::serialize_field();
    SerializeTupleVariant::serialize_field();
    SerializeStruct::serialize_field(&'static str);
    SerializeStructVariant::serialize_field(&'static str);
}

impl ser::SerializeMap for Walk {
    type Ok = ();
    type Error = Left;

    /// A key is text.
    fn serialize_key<T: Serialize + ?Sized>(&mut self, _: &T) -> Result<(), Left> {
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Left> {
        value.serialize(Self::OUTSIDE)
    }

    fn end(self) -> Result<(), Left> {
        Ok(())
    }
}
