//! A digest of what a value means, to tell on replay whether an operation is called with the same arguments (R9).
//!
//! A value is written in a canonical form and that form is hashed. The form forgets what a refactoring may
//! change without changing the meaning, about as JSON does:
//!
//! | a value | is written as |
//! |---|---|
//! | any integer type | the integer, whatever its width and sign |
//! | `f32`, `f64` | the bits as `f64`, one pattern for all NaN; never equal to an integer |
//! | `char`, `&str`, `String`, a unit variant (its name) | text |
//! | `()`, `None`, a unit struct | null |
//! | `Some(x)`, a newtype struct of `x`, `Box<x>`, `&x` | `x` |
//! | lists, tuples, tuple structs | a list, in order |
//! | maps, structs | a map of keys to values, in no order, without the entries whose value is null |
//! | other variants | a map of one entry: the variant's name to its content |
//! | `serialize_bytes` | bytes: not the same as a list of integers |
//!
//! A `HashSet` serializes as a list, so its iteration order is part of its digest, and two equal sets may
//! differ: use `BTreeSet`. A `HashMap` is fine. Two equal keys of one map are sorted by their values.
//!
//! The form is prefix-free: every part starts with a tag and has a fixed size, a length or a count, so no two
//! forms can be told apart only by where one part ends and the next begins.

use std::cell::Cell;
use std::fmt::{self, Display, Write as _};
use std::ops::Range;

use serde::Serialize;
use serde::ser::{self, Serializer};
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

/// How deep lists, maps and enum contents may be nested. JSON can be decoded from no more.
const NESTING_MAX: u16 = 128;

/// How many `Some` and newtype structs may lie on one path. They leave no trace in the form but do use stack;
/// two for each level let a list linked by `Option<Box<Node>>` be as deep as any other.
const WRAPPERS_MAX: u16 = 2 * NESTING_MAX;

/// A buffer that has grown beyond this is given back, so that one large value does not stay in memory for good.
const BUFFER_BYTES_KEPT_MAX: usize = 64 * 1024;

/// The digest of a value: equal values have equal digests, in every process and on every machine.
///
/// ```
/// use durable_runtime::Digest;
/// assert_eq!(Digest(0xab).to_string(), "00000000000000ab");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub struct Digest(pub u64);

impl Display for Digest {
    /// Always 16 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Why a value has no digest.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum DigestError {
    /// The value is nested too deeply to be compared, and so to be an argument.
    #[error(
        "[D0305] an argument of type {type_name} is nested more than {NESTING_MAX} levels deep. Pass a flatter value, such as a list with indices"
    )]
    TooDeep {
        /// The Rust type of the argument.
        type_name: &'static str,
    },
    /// The value's own `Serialize` refused.
    #[error(
        "[D0306] an argument of type {type_name} can't be serialized: {detail}. Mend its Serialize, or pass another value"
    )]
    Refused {
        /// The Rust type of the argument.
        type_name: &'static str,
        /// What its `Serialize` said.
        detail: String,
    },
}

/// The digest of a value's canonical form (see the module's documentation).
///
/// # Errors
/// [`DigestError`]: the value is nested too deeply, or its `Serialize` refused.
/// Source: R9.
pub(crate) fn digest<T: Serialize + ?Sized>(value: &T) -> Result<Digest, DigestError> {
    thread_local! {
        static SCRATCH: Cell<Scratch> = const { Cell::new(Scratch::new()) };
    }
    // Taken out, not borrowed: a `Serialize` may ask for a digest itself.
    let mut scratch = SCRATCH.take();
    let written = value.serialize(Canonical { scratch: &mut scratch, depth: Depth::default() });
    let digest = written.map(|()| Digest(xxh3_64(&scratch.form))).map_err(Stop::of::<T>);
    scratch.empty();
    SCRATCH.set(scratch);
    digest
}

mod tag {
    pub(super) const NULL: u8 = 0;
    pub(super) const FALSE: u8 = 1;
    pub(super) const TRUE: u8 = 2;
    /// An integer that fits in an `i64`.
    pub(super) const INTEGER: u8 = 3;
    /// An integer that fits only in an `i128`.
    pub(super) const INTEGER_WIDE: u8 = 4;
    /// An integer that fits only in a `u128`.
    pub(super) const INTEGER_WIDEST: u8 = 5;
    pub(super) const FLOAT: u8 = 6;
    pub(super) const TEXT: u8 = 7;
    pub(super) const BYTES: u8 = 8;
    pub(super) const LIST: u8 = 9;
    pub(super) const MAP: u8 = 10;
}

/// The buffers of one digest, used again for the next one.
#[derive(Debug, Default)]
struct Scratch {
    /// The canonical form, as far as it is written.
    form: Vec<u8>,
    /// Where the finished entries of the maps being written are in `form`; the innermost map's last.
    entries: Vec<Range<usize>>,
    /// The entries of a map while they are put in order.
    sorted: Vec<u8>,
}

impl Scratch {
    const fn new() -> Self {
        Self { form: Vec::new(), entries: Vec::new(), sorted: Vec::new() }
    }

    fn empty(&mut self) {
        let bytes = self.form.capacity() + self.sorted.capacity();
        if bytes + self.entries.capacity() * size_of::<Range<usize>>() > BUFFER_BYTES_KEPT_MAX {
            *self = Self::new();
        } else {
            self.form.clear();
            self.entries.clear();
            self.sorted.clear();
        }
    }

    fn tagged<const N: usize>(&mut self, tag: u8, content: [u8; N]) {
        self.form.push(tag);
        self.form.extend_from_slice(&content);
    }

    fn sized(&mut self, tag: u8, content: &[u8]) {
        self.tagged(tag, (content.len() as u64).to_le_bytes());
        self.form.extend_from_slice(content);
    }

    fn text(&mut self, text: &str) {
        self.sized(tag::TEXT, text.as_bytes());
    }

    /// Writes a tag and leaves room for a count or a length; returns where the room ends.
    fn open(&mut self, tag: u8) -> usize {
        self.tagged(tag, [0; 8]);
        self.form.len()
    }

    fn fill_in(&mut self, opened: usize, count: usize) {
        self.form[opened - 8..opened].copy_from_slice(&(count as u64).to_le_bytes());
    }

    /// Puts the entries from `first` on, which are all that follows `opened`, in order.
    fn close_map(&mut self, opened: usize, first: usize) {
        let Self { form, entries, sorted } = self;
        let own = &mut entries[first..];
        let count = own.len();
        // Comparing whole entries compares the keys first, because no key's form is the beginning of another's.
        if !own.is_sorted_by(|a, b| form[a.clone()] <= form[b.clone()]) {
            own.sort_unstable_by(|a, b| form[a.clone()].cmp(&form[b.clone()]));
            sorted.clear();
            for entry in own {
                sorted.extend_from_slice(&form[entry.clone()]);
            }
            form.truncate(opened);
            form.extend_from_slice(sorted);
        }
        entries.truncate(first);
        self.fill_in(opened, count);
    }
}

/// What lies between the root and the value being written.
#[derive(Debug, Clone, Copy, Default)]
struct Depth {
    nesting: u16,
    wrappers: u16,
}

impl Depth {
    fn nested(self) -> Result<Self, Stop> {
        if self.nesting == NESTING_MAX {
            return Err(Stop::TooDeep);
        }
        Ok(Self { nesting: self.nesting + 1, ..self })
    }

    fn wrapped(self) -> Result<Self, Stop> {
        if self.wrappers == WRAPPERS_MAX {
            return Err(Stop::TooDeep);
        }
        Ok(Self { wrappers: self.wrappers + 1, ..self })
    }
}

/// A [`DigestError`] that does not know yet of which type.
#[derive(Debug, Error)]
enum Stop {
    #[error("nested more than {NESTING_MAX} levels deep")]
    TooDeep,
    #[error("{0}")]
    Refused(String),
}

impl Stop {
    fn of<T: ?Sized>(self) -> DigestError {
        let type_name = std::any::type_name::<T>();
        match self {
            Self::TooDeep => DigestError::TooDeep { type_name },
            Self::Refused(detail) => DigestError::Refused { type_name, detail },
        }
    }
}

impl ser::Error for Stop {
    fn custom<M: Display>(message: M) -> Self {
        Self::Refused(message.to_string())
    }
}

/// Writes one value in its canonical form.
struct Canonical<'a> {
    scratch: &'a mut Scratch,
    depth: Depth,
}

impl<'a> Canonical<'a> {
    fn integer(self, value: i128) {
        match i64::try_from(value) {
            Ok(value) => self.scratch.tagged(tag::INTEGER, value.to_le_bytes()),
            Err(_) => self.scratch.tagged(tag::INTEGER_WIDE, value.to_le_bytes()),
        }
    }

    fn list(self) -> Result<List<'a>, Stop> {
        let depth = self.depth.nested()?;
        let opened = self.scratch.open(tag::LIST);
        Ok(List { scratch: self.scratch, depth, opened, count: 0 })
    }

    fn map(self) -> Result<Map<'a>, Stop> {
        let depth = self.depth.nested()?;
        let opened = self.scratch.open(tag::MAP);
        let first = self.scratch.entries.len();
        Ok(Map { scratch: self.scratch, depth, opened, first, key: None })
    }

    /// Writes a map of one entry up to the entry's value.
    fn variant(self, name: &str) -> Result<Self, Stop> {
        let depth = self.depth.nested()?;
        self.scratch.tagged(tag::MAP, 1_u64.to_le_bytes());
        self.scratch.text(name);
        Ok(Canonical { scratch: self.scratch, depth })
    }
}

/// A list being written.
struct List<'a> {
    scratch: &'a mut Scratch,
    depth: Depth,
    opened: usize,
    count: usize,
}

impl List<'_> {
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Stop> {
        self.count += 1;
        value.serialize(Canonical { scratch: self.scratch, depth: self.depth })
    }

    fn close(self) {
        self.scratch.fill_in(self.opened, self.count);
    }
}

/// A map being written.
struct Map<'a> {
    scratch: &'a mut Scratch,
    depth: Depth,
    opened: usize,
    /// The index of its first entry among the scratch's entries.
    first: usize,
    /// Where the key begins that waits for its value.
    key: Option<usize>,
}

impl Map<'_> {
    fn key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Stop> {
        let start = self.scratch.form.len();
        if self.key.replace(start).is_some() {
            return Err(Stop::Refused("a map key has no value".to_owned()));
        }
        key.serialize(Canonical { scratch: self.scratch, depth: self.depth })
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Stop> {
        let Some(start) = self.key.take() else {
            return Err(Stop::Refused("a map value has no key".to_owned()));
        };
        self.entry(start, value)
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Stop> {
        let start = self.scratch.form.len();
        self.scratch.text(name);
        self.entry(start, value)
    }

    /// Writes the value behind the key that begins at `start`. An entry without a value is no entry: so a
    /// redeploy that adds an optional field, which is then `None`, changes no digest.
    fn entry<T: Serialize + ?Sized>(&mut self, start: usize, value: &T) -> Result<(), Stop> {
        let begin = self.scratch.form.len();
        value.serialize(Canonical { scratch: self.scratch, depth: self.depth })?;
        if self.scratch.form.get(begin..) == Some(&[tag::NULL]) {
            self.scratch.form.truncate(start);
        } else {
            self.scratch.entries.push(start..self.scratch.form.len());
        }
        Ok(())
    }

    fn close(self) -> Result<(), Stop> {
        if self.key.is_some() {
            return Err(Stop::Refused("a map key has no value".to_owned()));
        }
        self.scratch.close_map(self.opened, self.first);
        Ok(())
    }
}

macro_rules! integers {
    ($($method:ident($integer:ty))*) => {
        $(fn $method(self, value: $integer) -> Result<(), Stop> {
            self.integer(value.into());
            Ok(())
        })*
    };
}

impl<'a> Serializer for Canonical<'a> {
    type Ok = ();
    type Error = Stop;
    type SerializeSeq = List<'a>;
    type SerializeTuple = List<'a>;
    type SerializeTupleStruct = List<'a>;
    type SerializeTupleVariant = List<'a>;
    type SerializeMap = Map<'a>;
    type SerializeStruct = Map<'a>;
    type SerializeStructVariant = Map<'a>;

    integers! {
        serialize_i8(i8)
        serialize_i16(i16)
        serialize_i32(i32)
        serialize_i64(i64)
        serialize_i128(i128)
        serialize_u8(u8)
        serialize_u16(u16)
        serialize_u32(u32)
        serialize_u64(u64)
    }

    fn serialize_u128(self, value: u128) -> Result<(), Stop> {
        match i128::try_from(value) {
            Ok(value) => self.integer(value),
            Err(_) => self.scratch.tagged(tag::INTEGER_WIDEST, value.to_le_bytes()),
        }
        Ok(())
    }

    fn serialize_bool(self, value: bool) -> Result<(), Stop> {
        self.scratch.form.push(if value { tag::TRUE } else { tag::FALSE });
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<(), Stop> {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result<(), Stop> {
        // NaN has many bit patterns, and which one an operation yields differs between machines.
        let value = if value.is_nan() { f64::NAN } else { value };
        self.scratch.tagged(tag::FLOAT, value.to_bits().to_le_bytes());
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), Stop> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), Stop> {
        self.scratch.text(value);
        Ok(())
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<(), Stop> {
        let opened = self.scratch.open(tag::TEXT);
        write!(Text(&mut self.scratch.form), "{value}")
            .map_err(|_| Stop::Refused("its Display returned an error".to_owned()))?;
        self.scratch.fill_in(opened, self.scratch.form.len() - opened);
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Stop> {
        self.scratch.sized(tag::BYTES, value);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Stop> {
        self.serialize_unit()
    }

    fn serialize_unit(self) -> Result<(), Stop> {
        self.scratch.form.push(tag::NULL);
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Stop> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Stop> {
        value.serialize(Canonical { depth: self.depth.wrapped()?, ..self })
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Stop> {
        value.serialize(Canonical { depth: self.depth.wrapped()?, ..self })
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Stop> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Stop> {
        value.serialize(self.variant(variant)?)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<List<'a>, Stop> {
        self.list()
    }

    fn serialize_tuple(self, _: usize) -> Result<List<'a>, Stop> {
        self.list()
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<List<'a>, Stop> {
        self.list()
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<List<'a>, Stop> {
        self.variant(variant)?.list()
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Map<'a>, Stop> {
        self.map()
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Map<'a>, Stop> {
        self.map()
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Map<'a>, Stop> {
        self.variant(variant)?.map()
    }
}

/// Formats into the form.
struct Text<'a>(&'a mut Vec<u8>);

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

macro_rules! serialize_list {
    ($($trait:ident::$method:ident)*) => {
        $(impl ser::$trait for List<'_> {
            type Ok = ();
            type Error = Stop;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Stop> {
                self.element(value)
            }

            fn end(self) -> Result<(), Stop> {
                self.close();
                Ok(())
            }
        })*
    };
}

serialize_list! {
    SerializeSeq::serialize_element
    SerializeTuple::serialize_element
    SerializeTupleStruct::serialize_field
    SerializeTupleVariant::serialize_field
}

macro_rules! serialize_struct {
    ($($trait:ident)*) => {
        $(impl ser::$trait for Map<'_> {
            type Ok = ();
            type Error = Stop;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Stop> {
                self.field(name, value)
            }

            fn end(self) -> Result<(), Stop> {
                self.close()
            }
        })*
    };
}

serialize_struct! { SerializeStruct SerializeStructVariant }

impl ser::SerializeMap for Map<'_> {
    type Ok = ();
    type Error = Stop;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Stop> {
        self.key(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Stop> {
        self.value(value)
    }

    fn end(self) -> Result<(), Stop> {
        self.close()
    }
}

#[cfg(test)]
#[path = "digest_tests.rs"]
mod tests;
