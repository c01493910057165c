//! A writer that refuses to grow beyond a limit.

use std::io;

use bincode::error::EncodeError;

/// Collects bytes up to a limit, and once that is passed takes no more.
pub(super) struct Writer {
    bytes: Vec<u8>,
    bytes_max: usize,
    /// How many bytes there would be with the first piece that did not fit.
    refused: Option<usize>,
}

/// More bytes were written than the limit allows.
pub(super) struct Overflow {
    pub(super) bytes_at_least: usize,
    pub(super) bytes_max: usize,
}

impl Writer {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes: Vec::new(), bytes_max, refused: None }
    }

    /// All that was written, if it fitted.
    pub(super) fn into_bytes(self) -> Result<Vec<u8>, Overflow> {
        match self.refused {
            None => Ok(self.bytes),
            Some(bytes_at_least) => Err(Overflow { bytes_at_least, bytes_max: self.bytes_max }),
        }
    }

    fn take(&mut self, piece: &[u8]) -> Result<(), &'static str> {
        let bytes = self.bytes.len() + piece.len();
        if bytes > self.bytes_max {
            self.refused.get_or_insert(bytes);
        }
        // A `Serialize` may have swallowed the refusal; a later, shorter piece must not fit again.
        if self.refused.is_some() {
            return Err("the payload limit is passed");
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }
}

/// For JSON.
impl io::Write for Writer {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.take(piece).map_err(io::Error::other)?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// For bincode.
impl bincode::enc::write::Writer for Writer {
    fn write(&mut self, piece: &[u8]) -> Result<(), EncodeError> {
        self.take(piece).map_err(EncodeError::Other)
    }
}
