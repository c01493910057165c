//! Bytes as a list of choices, so that a small change of the bytes is a small change of what is made of them.

/// Reads choices from the front. When the bytes are used up, each further choice is the first of its kind.
#[derive(Debug)]
pub(crate) struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn are_left(&self) -> bool {
        !self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A number below `end`, which is at most 256.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.below(2) == 1
    }

    /// One of those given.
    pub(crate) fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// Mostly small; also any other, and those where an encoding changes.
    pub(crate) fn number(&mut self) -> u64 {
        match self.byte() {
            small @ 0..=239 => small.into(),
            shift @ 240..=247 => (1 << (8 * u32::from(shift - 239) - 1)) - 1,
            248 => 250,
            249 => 251,
            250 => u32::MAX.into(),
            251 => u64::MAX,
            _ => u64::from_le_bytes(std::array::from_fn(|_| self.byte())),
        }
    }

    /// As [`number`](Self::number), cut to 32 bits.
    pub(crate) fn number_u32(&mut self) -> u32 {
        let number = self.number();
        u32::try_from(number & u64::from(u32::MAX)).expect("it was cut")
    }

    /// At most `count` of the next bytes.
    pub(crate) fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// All bytes that are left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// Changes one to four bytes next to each other, from `start` to the end, in at least one bit. `false` if there are
    /// none.
    pub(crate) fn damage(&mut self, bytes: &mut [u8], start: usize) -> bool {
        let Some(length) = bytes.len().checked_sub(start).filter(|length| *length > 0) else { return false };
        let place = start + usize::try_from(self.number()).unwrap_or(usize::MAX) % length;
        let count = (bytes.len() - place).min(1 + self.below(4));
        for byte in &mut bytes[place..place + count] {
            *byte ^= self.byte();
        }
        // Else nothing may have been changed.
        bytes[place] ^= 1 << self.below(8);
        true
    }
}
