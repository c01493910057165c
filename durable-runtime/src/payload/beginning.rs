//! The beginning of a value's JSON text: for people only, so it need not be whole.

use std::io;

use serde::Serialize;

/// The beginning of a text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Beginning {
    pub(crate) text: String,
    /// Whether there was more.
    pub(crate) is_cut: bool,
}

/// The first `bytes_max` bytes of the value's JSON text, cut between two characters. `None` if the value has no JSON
/// form, such as a map whose keys are lists.
///
/// Encoding stops at the limit, so that a value without an end costs no more than a small one.
pub(crate) fn json_beginning<T: Serialize + ?Sized>(value: &T, bytes_max: usize) -> Option<Beginning> {
    let mut writer = Writer { bytes: Vec::new(), bytes_max, is_full: false };
    let encoded = serde_json::to_writer(&mut writer, value);
    let Writer { bytes, is_full, .. } = writer;
    // Asked first: the encoder's error is then only that the writer was full, if it was passed on at all.
    if !is_full && encoded.is_err() {
        return None;
    }
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let whole = error.utf8_error().valid_up_to();
            let mut bytes = error.into_bytes();
            bytes.truncate(whole);
            String::from_utf8(bytes).ok()?
        }
    };
    Some(Beginning { text, is_cut: is_full })
}

/// Keeps what fits, and refuses everything behind it.
struct Writer {
    bytes: Vec<u8>,
    bytes_max: usize,
    is_full: bool,
}

impl io::Write for Writer {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let left = if self.is_full { 0 } else { self.bytes_max - self.bytes.len() };
        let fits = piece.len().min(left);
        self.bytes.extend_from_slice(&piece[..fits]);
        if fits < piece.len() {
            self.is_full = true;
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        Ok(fits)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Serializer;
    use serde::ser::SerializeSeq as _;

    use super::*;

    fn beginning<T: Serialize>(value: &T, bytes_max: usize) -> Option<(String, bool)> {
        json_beginning(value, bytes_max).map(|Beginning { text, is_cut }| (text, is_cut))
    }

    #[test]
    fn a_text_is_whole_up_to_the_limit_and_cut_between_characters_beyond() {
        let whole = r#"["äöü",7]"#;
        assert_eq!(beginning(&("äöü", 7), whole.len()), Some((whole.to_owned(), false)));
        for bytes_max in 0..whole.len() {
            let (text, is_cut) = beginning(&("äöü", 7), bytes_max).expect("it has a JSON form");
            assert!(is_cut && text.len() <= bytes_max && text.len() + 1 >= bytes_max, "{text} of {bytes_max}");
            assert!(whole.starts_with(&text));
        }
    }

    #[test]
    fn what_has_no_json_form_has_no_beginning() {
        assert_eq!(beginning(&BTreeMap::from([(vec![1], 2)]), 100), None);
    }

    /// Counts how much of it was asked for.
    struct Endless;

    impl Serialize for Endless {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut list = serializer.serialize_seq(None)?;
            for element in 0.. {
                assert!(element < 1_000, "encoding goes on behind the limit");
                list.serialize_element(&element)?;
            }
            list.end()
        }
    }

    /// R14.
    #[test]
    fn encoding_ends_at_the_limit() {
        assert_eq!(beginning(&Endless, 8), Some(("[0,1,2,3".to_owned(), true)));
    }

    /// Swallows the refusal, and goes on with less.
    struct Stubborn;

    impl Serialize for Stubborn {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut list = serializer.serialize_seq(None)?;
            let _refused = list.serialize_element("far too long");
            list.serialize_element(&7)?;
            list.end()
        }
    }

    #[test]
    fn nothing_fits_behind_a_gap() {
        assert_eq!(beginning(&Stubborn, 6), Some(("[\"far ".to_owned(), true)));
    }
}
