//! Makes a deserializer safe for bytes of any origin, where bincode is not:
//!
//! * it follows a recursive type as deep as the bytes say, one byte per level, until the stack overflows;
//! * for an owned text it believes the length in the bytes and allocates before it looks at how many there are;
//! * it tells the length of a list or map in the bytes to the type, and serde makes room for up to a mebibyte of it:
//!   for each level of lists within lists.
//!
//! So everything that passes between a type and bincode is wrapped here: levels are counted, owned texts
//! and bytes are asked for as borrowed ones, which every type that takes them also takes (serde's contract), and no
//! `size_hint` is given.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor};

/// How many lists, maps, structs, enums, options and newtypes may lie within each other: three times JSON's
/// limit, because JSON does not count the last three.
const LEVELS_MAX: u16 = 3 * 128;

/// Any of serde's roles, a deserializer, a visitor, a seed or an access, with a limit on the levels below it.
pub(super) struct Bounded<R> {
    role: R,
    levels_left: u16,
}

impl<R: Default> Default for Bounded<R> {
    fn default() -> Self {
        Self { role: R::default(), levels_left: LEVELS_MAX }
    }
}

impl<R> Bounded<R> {
    /// Another role on the same level.
    fn same<S>(&self, role: S) -> Bounded<S> {
        Bounded { role, levels_left: self.levels_left }
    }

    /// Another role one level further down.
    fn below<S, E: Error>(&self, role: S) -> Result<Bounded<S>, E> {
        match self.levels_left.checked_sub(1) {
            Some(levels_left) => Ok(Bounded { role, levels_left }),
            None => Err(E::custom(format_args!("nested more than {LEVELS_MAX} levels deep"))),
        }
    }
}

macro_rules! deserialize {
    ($($method:ident => $asked:ident($($argument:ident: $type:ty),*))*) => {
        $(fn $method<V: Visitor<'de>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            let visitor = self.same(visitor);
            self.role.$asked($($argument,)* visitor)
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Bounded<D> {
    type Error = D::Error;

    deserialize! {
        deserialize_any => deserialize_any()
        deserialize_bool => deserialize_bool()
        deserialize_i8 => deserialize_i8()
        deserialize_i16 => deserialize_i16()
        deserialize_i32 => deserialize_i32()
        deserialize_i64 => deserialize_i64()
        deserialize_i128 => deserialize_i128()
        deserialize_u8 => deserialize_u8()
        deserialize_u16 => deserialize_u16()
        deserialize_u32 => deserialize_u32()
        deserialize_u64 => deserialize_u64()
        deserialize_u128 => deserialize_u128()
        deserialize_f32 => deserialize_f32()
        deserialize_f64 => deserialize_f64()
        deserialize_char => deserialize_char()
        deserialize_str => deserialize_str()
        deserialize_string => deserialize_str()
        deserialize_bytes => deserialize_bytes()
        deserialize_byte_buf => deserialize_bytes()
        deserialize_option => deserialize_option()
        deserialize_unit => deserialize_unit()
        deserialize_unit_struct => deserialize_unit_struct(name: &'static str)
        deserialize_newtype_struct => deserialize_newtype_struct(name: &'static str)
        deserialize_seq => deserialize_seq()
        deserialize_tuple => deserialize_tuple(count: usize)
        deserialize_tuple_struct => deserialize_tuple_struct(name: &'static str, count: usize)
        deserialize_map => deserialize_map()
        deserialize_struct => deserialize_struct(name: &'static str, fields: &'static [&'static str])
        deserialize_enum => deserialize_enum(name: &'static str, variants: &'static [&'static str])
        deserialize_identifier => deserialize_identifier()
        deserialize_ignored_any => deserialize_ignored_any()
    }

    fn is_human_readable(&self) -> bool {
        self.role.is_human_readable()
    }
}

macro_rules! visit_scalar {
    ($($method:ident($type:ty))*) => {
        $(fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
            self.role.$method(value)
        })*
    };
}

macro_rules! visit_below {
    ($($method:ident($access:ident))*) => {
        $(fn $method<A: $access<'de>>(self, access: A) -> Result<V::Value, A::Error> {
            let access = self.below::<_, A::Error>(access)?;
            self.role.$method(access)
        })*
    };
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Bounded<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.role.expecting(f)
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<V::Value, E> {
        self.role.visit_borrowed_str(value)
    }

    fn visit_borrowed_bytes<E: Error>(self, value: &'de [u8]) -> Result<V::Value, E> {
        self.role.visit_borrowed_bytes(value)
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.role.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.role.visit_unit()
    }

    visit_scalar! {
        visit_bool(bool)
        visit_i8(i8)
        visit_i16(i16)
        visit_i32(i32)
        visit_i64(i64)
        visit_i128(i128)
        visit_u8(u8)
        visit_u16(u16)
        visit_u32(u32)
        visit_u64(u64)
        visit_u128(u128)
        visit_f32(f32)
        visit_f64(f64)
        visit_char(char)
        visit_str(&str)
        visit_string(String)
        visit_bytes(&[u8])
        visit_byte_buf(Vec<u8>)
    }

    visit_below! {
        visit_some(Deserializer)
        visit_newtype_struct(Deserializer)
        visit_seq(SeqAccess)
        visit_map(MapAccess)
        visit_enum(EnumAccess)
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Bounded<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        let deserializer = self.same(deserializer);
        self.role.deserialize(deserializer)
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Bounded<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let seed = self.same(seed);
        self.role.next_element_seed(seed)
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Bounded<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let seed = self.same(seed);
        self.role.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.same(seed);
        self.role.next_value_seed(seed)
    }
}

impl<'de, A: EnumAccess<'de>> EnumAccess<'de> for Bounded<A> {
    type Error = A::Error;
    type Variant = Bounded<A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), A::Error> {
        let Self { role, levels_left } = self;
        let (value, variant) = role.variant_seed(Bounded { role: seed, levels_left })?;
        Ok((value, Bounded { role: variant, levels_left }))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Bounded<A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.role.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.same(seed);
        self.role.newtype_variant_seed(seed)
    }

    fn tuple_variant<V: Visitor<'de>>(self, count: usize, visitor: V) -> Result<V::Value, A::Error> {
        let visitor = self.same(visitor);
        self.role.tuple_variant(count, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let visitor = self.same(visitor);
        self.role.struct_variant(fields, visitor)
    }
}
