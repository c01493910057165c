//! What happened in a world, for people.

use std::fmt;
use std::time::Duration;

/// What happened in a simulated world, in order; its `Display` is a line for each.
///
/// Times are virtual, from the world's beginning. The same schedule gives the same timeline. Of a long one, the middle
/// is not shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timeline {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Which process, from 1.
    pub(super) life: u32,
    pub(super) at: Duration,
    pub(super) text: String,
}

impl Timeline {
    pub(super) fn add(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    /// The first line in which the two differ: of each, if it has one there.
    pub(super) fn first_difference(&self, other: &Self) -> Option<(Option<String>, Option<String>)> {
        let length = self.entries.len().max(other.entries.len());
        let line = |timeline: &Self, index: usize| timeline.entries.get(index).map(ToString::to_string);
        (0..length)
            .find(|index| self.entries.get(*index) != other.entries.get(*index))
            .map(|index| (line(self, index), line(other, index)))
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>8} ms  {}", self.at.as_millis(), self.text)
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A long one has its end shown, and its beginning.
        const BEGINNING: usize = 200;
        const END: usize = 300;
        let mut life = 0;
        let omitted = BEGINNING..self.entries.len().saturating_sub(END).max(BEGINNING);
        for (index, entry) in self.entries.iter().enumerate() {
            if omitted.contains(&index) {
                if index == omitted.start {
                    writeln!(f, "… {} lines …", omitted.len())?;
                }
                continue;
            }
            if entry.life != life {
                life = entry.life;
                writeln!(f, "life {life}")?;
            }
            writeln!(f, "{entry}")?;
        }
        Ok(())
    }
}
