//! A journal as text: a line of JSON for each event, to be read, compared and kept. See `docs/journal-format.md`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Event, frame};
use crate::error::JournalError;
use crate::id::RunId;
use crate::replay::Replay;

/// The form that this library writes; it reads no other.
const FORM: u64 = 1;

/// What a text may have, so that reading it is bounded whatever it says.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    line_bytes: usize,
    events: usize,
}

/// No event of at most [`frame::FRAME_BYTES_MAX`] has a longer line: an escaped character has at most six times its
/// bytes.
const BOUNDS: Bounds = Bounds { line_bytes: 8 * frame::FRAME_BYTES_MAX, events: 10_000_000 };

/// All that is recorded of one run: got with `Runtime::journal`, or read from text.
///
/// As text it is JSON, one line for each event, behind a header: to be read and compared by people and by
/// tools, and to be kept as a test (feature `testing`). The form is in `docs/journal-format.md`. A journal that is read
/// from its text is equal to it. A text that is cut, or in which something is another one now, is refused; who changes one on purpose takes
/// `crc32` out of its header, and `events` too if there are more or less.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use durable_runtime::{Context, Journal, Runtime, durable};
///
/// async fn add(a: u32, b: u32) -> u32 {
///     a + b
/// }
///
/// #[durable]
/// async fn addition(ctx: Context, a: u32, b: u32) -> u32 {
///     ctx.run(add, a, b).await
/// }
///
/// let runtime = Runtime::builder().in_memory().await?;
/// runtime.start("sum-1", addition, (1, 2)).await?.await?;
/// let journal = runtime.journal("sum-1").await?.expect("it was started");
/// let text = journal.to_lines();
/// assert!(text.starts_with("{\"journal\":1,\"run\":\"sum-1\",\"events\":3,\"crc32\":\""));
/// assert!(text.contains("\n{\"Started\":{\"function\":\"addition\","));
/// assert!(text.contains(r#""outcome":{"Ok":{"json":3}}"#));
/// assert_eq!(Journal::from_lines(&text)?, journal);
///
/// let two_lines = text.split_inclusive('\n').take(2).collect::<String>();
/// let refused = Journal::from_lines(&two_lines).unwrap_err();
/// assert!(refused.to_string().contains("it is of 3 events, and there is 1"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Journal {
    pub(crate) run: RunId,
    pub(crate) events: Vec<Event>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    journal: u64,
    run: String,
    /// How many there are, so that a text that is cut between two lines is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    events: Option<usize>,
    /// Of all the lines behind this one, in hexadecimal digits; of each, what is before its line break, and `\n`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crc32: Option<String>,
}

/// Of a header of any form, which one it is.
#[derive(Deserialize)]
struct AnyHeader {
    journal: u64,
}

impl Journal {
    /// The run whose journal it is.
    ///
    /// ```
    /// # let lines = "{\"journal\":1,\"run\":\"ord_1\"}\n";
    /// let journal: durable_runtime::Journal = lines.parse()?;
    /// assert_eq!(journal.run().as_str(), "ord_1");
    /// # Ok::<(), durable_runtime::JournalError>(())
    /// ```
    pub fn run(&self) -> &RunId {
        &self.run
    }

    /// The recorded name of the run's function; `None` if the journal has no events.
    ///
    /// ```
    /// # let lines = "{\"journal\":1,\"run\":\"ord_1\"}\n";
    /// let journal: durable_runtime::Journal = lines.parse()?;
    /// assert_eq!(journal.function(), None);
    /// # Ok::<(), durable_runtime::JournalError>(())
    /// ```
    pub fn function(&self) -> Option<&str> {
        match self.events.first() {
            Some(Event::Started(started)) => Some(&started.function),
            _ => None,
        }
    }

    /// How many events it has.
    ///
    /// ```
    /// # let lines = "{\"journal\":1,\"run\":\"ord_1\"}\n";
    /// let journal: durable_runtime::Journal = lines.parse()?;
    /// assert_eq!(journal.length(), 0);
    /// # Ok::<(), durable_runtime::JournalError>(())
    /// ```
    pub fn length(&self) -> usize {
        self.events.len()
    }

    /// The journal as it was when it had `length` events: that of the same run, in flight.
    ///
    /// ```
    /// # let lines = "{\"journal\":1,\"run\":\"ord_1\"}\n";
    /// let journal: durable_runtime::Journal = lines.parse()?;
    /// assert_eq!(journal.prefix(5), journal); // it has fewer
    /// # Ok::<(), durable_runtime::JournalError>(())
    /// ```
    #[must_use]
    pub fn prefix(&self, length: usize) -> Self {
        Self { run: self.run.clone(), events: self.events.iter().take(length).cloned().collect() }
    }

    /// The journal as text, each line with its line break.
    ///
    /// ```
    /// # let lines = "{\"journal\":1,\"run\":\"ord_1\"}\n";
    /// let journal: durable_runtime::Journal = lines.parse()?;
    /// assert_eq!(journal.to_lines(), "{\"journal\":1,\"run\":\"ord_1\",\"events\":0,\"crc32\":\"00000000\"}\n");
    /// # Ok::<(), durable_runtime::JournalError>(())
    /// ```
    pub fn to_lines(&self) -> String {
        self.to_string()
    }

    /// Reads what [`to_lines`](Self::to_lines) wrote, of this or an older version of the library: fields that were
    /// added since have their defaults.
    ///
    /// Safe for text of any origin. What it says must be a journal that a run can have: events that can't follow each
    /// other are refused.
    ///
    /// ```
    /// use durable_runtime::{Journal, JournalError};
    ///
    /// let refused = Journal::from_lines("{\"journal\":1,\"run\":\"ord_1\"}\n{\"Resumed\":{\"at\":7}}\n");
    /// assert!(matches!(refused, Err(JournalError::Line { line: 2, .. })));
    /// ```
    ///
    /// # Errors
    /// A [`JournalError`] that names the line: [`Line`](JournalError::Line), [`Form`](JournalError::Form),
    /// [`TooLong`](JournalError::TooLong).
    pub fn from_lines(text: &str) -> Result<Self, JournalError> {
        read(text, BOUNDS)
    }
}

fn read(text: &str, bounds: Bounds) -> Result<Journal, JournalError> {
    let mut lines = (1..).zip(text.lines());
    let header = lines.next().map_or("", |(_, header)| header);
    let (run, header) = read_header(bounded(1, header, bounds)?)?;
    let mut events = Vec::new();
    let mut replay = Replay::new();
    let mut crc = crc32fast::Hasher::new();
    for (line, text) in lines {
        if events.len() == bounds.events {
            return Err(JournalError::TooLong { line, what: "events", limit: bounds.events });
        }
        let event: Event = parse(line, bounded(line, text, bounds)?)?;
        let refused = |detail: String| JournalError::Line { line, detail };
        frame::encode(&event).map_err(|error| refused(error.to_string()))?;
        replay.apply(event.clone()).map_err(|illegal| refused(illegal.to_string()))?;
        events.push(event);
        crc.update(text.as_bytes());
        crc.update(b"\n");
    }
    header.fits(events.len(), crc.finalize())?;
    Ok(Journal { run, events })
}

/// A checksum as it stands in the header.
fn hexadecimal(crc32: u32) -> String {
    format!("{crc32:08x}")
}

impl Header {
    /// Whether the lines behind it are those that it was written for.
    fn fits(&self, found: usize, crc32: u32) -> Result<(), JournalError> {
        let refused = |detail: String| Err(JournalError::Line { line: 1, detail });
        if let Some(events) = self.events.filter(|events| *events != found) {
            let are = if found == 1 { "is" } else { "are" };
            return refused(format!("it is of {events} events, and there {are} {found}"));
        }
        if self.crc32.as_ref().is_some_and(|written| *written != hexadecimal(crc32)) {
            let detail = "its crc32 says that a line behind it was changed (if that is what you want, take crc32 out)";
            return refused(detail.to_owned());
        }
        Ok(())
    }
}

fn bounded(line: usize, text: &str, bounds: Bounds) -> Result<&str, JournalError> {
    let limit = bounds.line_bytes;
    if text.len() > limit { Err(JournalError::TooLong { line, what: "bytes in a line", limit }) } else { Ok(text) }
}

fn read_header(text: &str) -> Result<(RunId, Header), JournalError> {
    let AnyHeader { journal: found } = parse(1, text)?;
    if found != FORM {
        return Err(JournalError::Form { found, supported: FORM });
    }
    let header: Header = parse(1, text)?;
    let run = RunId::new(&header.run).map_err(|error| JournalError::Line { line: 1, detail: error.to_string() })?;
    Ok((run, header))
}

fn parse<'a, T: Deserialize<'a>>(line: usize, text: &'a str) -> Result<T, JournalError> {
    serde_json::from_str(text).map_err(|error| {
        let told = error.to_string();
        // It only ever sees one line.
        let what = told.split(" at line ").next().unwrap_or(&told);
        JournalError::Line { line, detail: format!("{what} (column {})", error.column()) }
    })
}

impl fmt::Display for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = String::new();
        for event in &self.events {
            lines += &serde_json::to_string(event).map_err(|_| fmt::Error)?;
            lines.push('\n');
        }
        let crc32 = Some(hexadecimal(crc32fast::hash(lines.as_bytes())));
        let run = self.run.as_str().to_owned();
        let header = Header { journal: FORM, run, events: Some(self.events.len()), crc32 };
        let header = serde_json::to_string(&header).map_err(|_| fmt::Error)?;
        write!(f, "{header}\n{lines}")
    }
}

impl FromStr for Journal {
    type Err = JournalError;

    fn from_str(text: &str) -> Result<Self, JournalError> {
        Self::from_lines(text)
    }
}

impl fmt::Debug for Journal {
    /// Without the content, as in a [`Payload`](crate::Payload).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("run", &self.run).field("events", &self.events.len()).finish()
    }
}

#[cfg(test)]
#[path = "lines_tests.rs"]
mod tests;
