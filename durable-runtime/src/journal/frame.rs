//! One event as bytes: a version, a checksum, and the event in bincode. See `docs/journal-format.md`.
//!
//! ```text
//! offset 0  1 byte   frame version, now 6
//! offset 1  4 bytes  CRC-32 (IEEE) of the version byte and everything from offset 5, little endian
//! offset 5  n bytes  the event, bincode 2 standard configuration
//! ```

use thiserror::Error;

use super::event::Event;

/// The frame version this library writes; it reads no other.
pub(crate) const VERSION: u8 = 6;

/// The largest frame that is written or decoded.
pub(crate) const FRAME_BYTES_MAX: usize = 16 * 1_024 * 1_024;

/// What bincode may claim while decoding: it counts the size of a number in memory, where the frame may have one byte.
/// The numbers of one event are far fewer than this. A list of texts may claim more, but stands beside one payload only,
/// which is at most half as long as a frame.
const CLAIM_BYTES_MAX: usize = FRAME_BYTES_MAX + 1_024;

const HEADER_BYTES: usize = 5;

/// Why a frame can't be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum FrameError {
    #[error("the frame has {bytes} bytes, fewer than its header")]
    TooShort { bytes: usize },
    #[error("the frame has version {found}, this library reads version {VERSION}")]
    Version { found: u8 },
    #[error("the checksum does not match: stored {stored:08x}, computed {computed:08x}")]
    Checksum { stored: u32, computed: u32 },
    #[error("the event can't be decoded: {detail}")]
    Undecodable { detail: String },
    #[error("{bytes} bytes are left over after the event")]
    LeftOver { bytes: usize },
    #[error("a frame of {bytes} bytes is longer than the {FRAME_BYTES_MAX} allowed")]
    TooLong { bytes: usize },
}

fn configuration() -> impl bincode::config::Config {
    // The limit is what keeps a corrupted length from asking for exabytes.
    bincode::config::standard().with_limit::<CLAIM_BYTES_MAX>()
}

/// Writes an event as a frame.
///
/// # Errors
/// [`FrameError::TooLong`]: the frame would exceed [`FRAME_BYTES_MAX`]; nothing else can fail.
pub(crate) fn encode(event: &Event) -> Result<Vec<u8>, FrameError> {
    let mut frame = Vec::with_capacity(256);
    frame.extend_from_slice(&[VERSION, 0, 0, 0, 0]);
    bincode::encode_into_std_write(event, &mut frame, configuration())
        .map_err(|error| FrameError::Undecodable { detail: error.to_string() })?;
    if frame.len() > FRAME_BYTES_MAX {
        return Err(FrameError::TooLong { bytes: frame.len() });
    }
    let checksum = checksum(VERSION, &frame[HEADER_BYTES..]);
    frame[1..HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
    Ok(frame)
}

/// Reads a frame that [`encode`] wrote.
///
/// # Errors
/// A [`FrameError`] for anything else; never panics, never allocates more than [`FRAME_BYTES_MAX`] and 1 KiB.
pub(crate) fn decode(frame: &[u8]) -> Result<Event, FrameError> {
    if frame.len() > FRAME_BYTES_MAX {
        return Err(FrameError::TooLong { bytes: frame.len() });
    }
    let (header, body) =
        frame.split_first_chunk::<HEADER_BYTES>().ok_or(FrameError::TooShort { bytes: frame.len() })?;
    let [version, stored @ ..] = *header;
    if version != VERSION {
        return Err(FrameError::Version { found: version });
    }
    let (stored, computed) = (u32::from_le_bytes(stored), checksum(version, body));
    if stored != computed {
        return Err(FrameError::Checksum { stored, computed });
    }
    let (event, used) = bincode::decode_from_slice(body, configuration())
        .map_err(|error| FrameError::Undecodable { detail: error.to_string() })?;
    // bincode accepts trailing bytes in silence; they would mean that writer and reader disagree.
    match body.len().saturating_sub(used) {
        0 => Ok(event),
        bytes => Err(FrameError::LeftOver { bytes }),
    }
}

/// A frame with these bytes as the event, and a right checksum.
#[cfg(feature = "testing")]
pub(crate) fn of_body(body: &[u8]) -> Vec<u8> {
    [&[VERSION][..], &checksum(VERSION, body).to_le_bytes(), body].concat()
}

fn checksum(version: u8, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[version]);
    hasher.update(body);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::event::AttemptError;
    use crate::journal::{
        Arguments, AttemptFailed, Continued, Fork, Operation, OperationKind, Outcome, Patched, Queued, Site, Started,
        StepCompleted, TakenSignal,
    };
    use crate::payload::{Codec, Payload};

    fn event() -> Event {
        Event::StepCompleted(StepCompleted {
            operation: Operation {
                claim: 3,
                key: "charge_card#2".into(),
                kind: OperationKind::Step,
                digest: 0x0123_4567_89ab_cdef,
                site: Site { file: "src/orders.rs".into(), line: 17, column: 9 },
                arguments: Some(Arguments { text: r#"["u_1",11877]"#.to_owned(), is_cut: false }),
            },
            attempts: 2,
            outcome: Outcome::Ok(Payload::encode(Codec::Json, &("pi_1", 11_877), 1_024).unwrap()),
            began_at: 1_700_000_000_000,
            at: 1_700_000_000_123,
        })
    }

    #[test]
    fn a_frame_reads_back_as_the_same_event() {
        assert_eq!(decode(&encode(&event()).unwrap()), Ok(event()));
    }

    #[test]
    fn the_bytes_of_version_6_stay_as_they_are() {
        let frame = encode(&event()).unwrap();
        let hex = frame.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        expect_test::expect!["06e515febd02030d6368617267655f63617264233200fdefcdab89674523010d7372632f6f72646572732e72731109010d5b22755f31222c31313837375d000200000e5b2270695f31222c31313837375dfd0068e5cf8b010000fd7b68e5cf8b010000"].assert_eq(&hex);
    }

    #[test]
    fn the_bytes_of_patches_stay_as_they_are() {
        let started = Event::Started(Started {
            function: "checkout".into(),
            version: 2,
            fingerprint: 3,
            input: Payload::encode(Codec::Json, &7, 1_024).unwrap(),
            input_digest: 4,
            at: 5,
            patches: vec!["rounding".into(), "tax".into()],
            parent: None,
            seed: 8,
            tags: [("team".into(), "red".into())].into(),
            correlation: Some("basket_1".into()),
            forks: vec![Fork { run: "o".into(), from: "price".into(), records: 9, seed: 10, at: 11 }],
            not_before: Some(9),
            timeout: Some(300),
            queue: Some(Box::new(Queued { name: "mail".into(), priority: 2, key: Some("ada".into()) })),
            continued: Some(Box::new(Continued {
                times: 1,
                created_at: 2,
                input: "6".into(),
                input_digest: 7,
                signals: vec![TakenSignal { id: "i".into(), name: "paid".into(), digest: 8 }],
            })),
        });
        let hex = |event: &Event| {
            let frame = encode(event).unwrap();
            assert_eq!(&decode(&frame).unwrap(), event);
            frame.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
        };
        expect_test::expect!["0693835dbb0008636865636b6f7574020300013704050208726f756e64696e67037461780801047465616d0372656401086261736b65745f3101016f057072696365090a0b00010901046d61696c02010361646101fb2c01010102013607010169047061696408"]
            .assert_eq(&hex(&started));
        expect_test::expect!["063b60d407070374617806"]
            .assert_eq(&hex(&Event::Patched(Patched { id: "tax".into(), at: 6 })));
    }

    #[test]
    fn another_version_is_refused_before_anything_else_is_read() {
        for version in [0, 1, 2, 3, 4, 5, 7, 255] {
            let mut frame = encode(&event()).unwrap();
            frame[0] = version;
            assert_eq!(decode(&frame), Err(FrameError::Version { found: version }));
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_refused() {
        let frame = encode(&event()).unwrap();
        for bit in 0..frame.len() * 8 {
            let mut damaged = frame.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&damaged).is_err(), "bit {bit} flipped unnoticed");
        }
        for length in 0..frame.len() {
            assert!(decode(&frame[..length]).is_err(), "cut to {length} unnoticed");
        }
        let mut longer = frame;
        longer.push(0);
        assert!(decode(&longer).is_err());
    }

    /// Also R14.
    #[test]
    fn the_largest_frame_that_is_written_can_be_read() {
        let panicked = |bytes: usize| {
            let Event::StepCompleted(StepCompleted { operation, .. }) = event() else { unreachable!("see above") };
            let error = AttemptError::Panic("x".repeat(bytes));
            Event::AttemptFailed(AttemptFailed { operation, attempt: 1, error, retry_at: 1, at: 1 })
        };
        let others = encode(&panicked(1 << 20)).unwrap().len() - (1 << 20);
        let largest = panicked(FRAME_BYTES_MAX - others);
        let frame = encode(&largest).unwrap();
        assert_eq!(frame.len(), FRAME_BYTES_MAX);
        assert!(decode(&frame) == Ok(largest), "it was written and can't be read: {:?}", decode(&frame).err());
        let refused = encode(&panicked(FRAME_BYTES_MAX - others + 1));
        assert_eq!(refused, Err(FrameError::TooLong { bytes: FRAME_BYTES_MAX + 1 }));
    }

    #[test]
    fn a_hostile_length_behind_a_right_checksum_is_an_error_and_not_an_allocation() {
        for tail in [[0xfd; 9], [0xfc; 9], [0xff; 9]] {
            let mut frame = vec![VERSION, 0, 0, 0, 0, 2, 0];
            frame.extend_from_slice(&tail);
            let sum = checksum(VERSION, &frame[HEADER_BYTES..]);
            frame[1..HEADER_BYTES].copy_from_slice(&sum.to_le_bytes());
            assert!(matches!(decode(&frame), Err(FrameError::Undecodable { .. })));
        }
    }
}
