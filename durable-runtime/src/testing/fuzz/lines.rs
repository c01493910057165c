//! Journals as text: what is read is a journal that is written as the text it is read from, up to spelling.

use super::{Choices, events, text};
use crate::error::JournalError;
use crate::id::RunId;
use crate::journal::{Event, Journal};
use crate::replay::Replay;

pub(super) fn check(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    match choices.below(3) {
        0 => reads(&String::from_utf8_lossy(choices.rest())),
        1 => drop(written(&mut choices)),
        _ => {
            let mut text = written(&mut choices).into_bytes();
            for _ in 0..=choices.below(4) {
                let place = choices.number_u32() as usize % (text.len() + 1);
                match choices.below(4) {
                    0 if place.is_multiple_of(2) => text.truncate(place),
                    0 => without_line(&mut text, place),
                    1 => text.insert(place, choices.byte()),
                    2 if place < text.len() => drop(text.remove(place)),
                    _ => drop(choices.damage(&mut text, 0)),
                }
            }
            reads(&String::from_utf8_lossy(&text));
        }
    }
}

/// Takes out the line that this place is in.
fn without_line(text: &mut Vec<u8>, place: usize) {
    let is_break = |byte: &u8| *byte == b'\n';
    let start = text[..place].iter().rposition(is_break).map_or(0, |end| end + 1);
    let end = text[place..].iter().position(is_break).map_or(text.len(), |end| place + end + 1);
    text.drain(start..end);
}

/// Any text is refused with the line that is wrong, or is a journal.
fn reads(text: &str) {
    match Journal::from_lines(text) {
        Ok(journal) => {
            Replay::of_journal(journal.events.clone()).expect("it is a journal that a run can have");
            is_written(&journal);
        }
        Err(JournalError::Line { line, detail }) => {
            assert!((1..=text.lines().count().max(1)).contains(&line), "line {line}: {detail}");
            if line > 1 {
                let before: String = text.split_inclusive('\n').take(line - 1).collect();
                Journal::from_lines(&of_any_length(&before)).expect("the lines before are right");
            }
        }
        Err(_) => {}
    }
}

/// The text of a journal has a line for each event, and is read as the same.
fn is_written(journal: &Journal) -> String {
    let text = journal.to_lines();
    assert_eq!(text.matches('\n').count(), journal.length() + 1);
    assert!(!text.contains('\r') && text.ends_with('\n'));
    let read = Journal::from_lines(&text).expect("what was written can be read");
    assert_eq!(read.run, journal.run);
    assert_eq!(read.events, journal.events);
    let prefix = journal.prefix(journal.length() / 2).to_lines();
    assert!(
        of_any_length(&text).starts_with(&of_any_length(&prefix)),
        "a prefix of the journal is a prefix of the text"
    );
    is_whole(&text, journal);
    text
}

/// The text without what its header says of the lines behind it.
fn of_any_length(text: &str) -> String {
    let (header, lines) = text.split_once('\n').unwrap_or((text, ""));
    let mut fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(header).expect("it was read");
    fields.retain(|name, _| name == "journal" || name == "run");
    format!("{}\n{lines}", serde_json::Value::Object(fields))
}

/// No text that has lost its last line is taken for whole.
fn is_whole(text: &str, journal: &Journal) {
    let cut: String = text.split_inclusive('\n').take(journal.length()).collect();
    assert!(Journal::from_lines(&cut).is_err(), "it was cut");
    assert!(Journal::from_lines(&of_any_length(text)).is_ok_and(|read| read == *journal), "as older versions wrote it");
}

/// The journal of any events that can follow each other.
fn written(choices: &mut Choices<'_>) -> String {
    let run = RunId::new(text(choices)).unwrap_or_else(|_| RunId::new("\n\r\0é").expect("a valid id"));
    let mut replay = Replay::new();
    let mut events = Vec::new();
    for _ in 0..choices.below(8) {
        events.extend(legal(&mut replay, events::event(choices)));
    }
    is_written(&Journal { run, events })
}

/// The event, if it can stand there.
fn legal(replay: &mut Replay, event: Event) -> Option<Event> {
    replay.apply(event.clone()).is_ok().then_some(event)
}
