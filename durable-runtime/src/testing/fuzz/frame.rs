//! Frames: what decodes is an event and nothing else, and no damage passes for one.

use super::{Choices, events};
use crate::journal::frame::{self, FrameError};
use crate::journal::{Event, decode, encode};

pub(super) fn check(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    match choices.below(4) {
        0 => reads(choices.rest()),
        1 => reads(&frame::of_body(choices.rest())),
        2 => damaged(&mut choices),
        _ => changed(&mut choices),
    }
}

/// Any bytes are refused, or are an event that is written as no more bytes and read again as the same.
fn reads(bytes: &[u8]) {
    let event = match decode(bytes) {
        Ok(event) => event,
        Err(error) => return told(&error, bytes),
    };
    let longer = frame::of_body(&[&bytes[5..], b"x"].concat());
    assert_eq!(decode(&longer), Err(FrameError::LeftOver { bytes: 1 }), "all bytes belong to the event");
    let written = encode(&event).expect("what was in a frame fits in one");
    assert!(written.len() <= bytes.len(), "the shortest form is written");
    assert_eq!(decode(&written).as_ref(), Ok(&event));
}

/// The error says what is wrong, and nothing else is.
fn told(error: &FrameError, bytes: &[u8]) {
    match *error {
        FrameError::TooShort { bytes: count } => assert!(count == bytes.len() && count < 5),
        FrameError::Version { found } => assert!(bytes[0] == found && found != frame::VERSION),
        FrameError::Checksum { stored, computed } => {
            assert_eq!(stored, u32::from_le_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]));
            assert_ne!(stored, computed);
        }
        FrameError::Undecodable { ref detail } => assert!(!detail.is_empty()),
        FrameError::LeftOver { bytes: count } => {
            // What is before it is whole.
            decode(&frame::of_body(&bytes[5..bytes.len() - count])).expect("an event, without what was left over");
        }
        FrameError::TooLong { .. } => panic!("reading says that it can't write"),
    }
}

fn written(event: &Event) -> Vec<u8> {
    let bytes = encode(event).expect("no event made here is too long");
    assert_eq!(decode(&bytes).as_ref(), Ok(event), "an event is read as it was written");
    bytes
}

/// What CRC-32 is sure to find is found: anything within four bytes. And anything behind the end, or cut.
fn damaged(choices: &mut Choices<'_>) {
    let whole = written(&events::event(choices));
    let mut bytes = whole.clone();
    match choices.below(4) {
        0 => bytes.truncate(choices.number_u32() as usize % whole.len()),
        1 => bytes.push(choices.byte()),
        2 => bytes[choices.below(5)] ^= 1 << choices.below(8),
        _ => assert!(choices.damage(&mut bytes, 5)),
    }
    // In four bytes, one damage may undo the other.
    assert!(bytes == whole || decode(&bytes).is_err(), "damage unnoticed");
}

/// What somebody wrote who knows how to make a checksum.
fn changed(choices: &mut Choices<'_>) {
    let mut body = written(&events::event(choices)).split_off(5);
    for _ in 0..=choices.below(4) {
        let place = choices.number_u32() as usize % (body.len() + 1);
        match choices.below(4) {
            0 => body.truncate(place),
            1 => body.insert(place, choices.byte()),
            2 if place < body.len() => body[place] = choices.byte(),
            _ => drop(choices.damage(&mut body, 0)),
        }
    }
    reads(&frame::of_body(&body));
}
