//! Any event, and texts and bytes that are more interesting than most.

use super::Choices;
use crate::halt::HaltReason;
use crate::journal::event::{AttemptError, CodeId};
use crate::journal::{
    Arguments, AttemptFailed, Cancelled, ChildEnd, ChildEnded, ChildStarted, Continued, Emitted, Event, Finished, Fork,
    Halted, Kept, Operation, OperationKind, Outcome, Parent, Patched, PromiseSettled, PromiseTaken, Published, Queued,
    Settlement, SignalReceived, SignalTaken, Site, Started, StepCompleted, StepStarted, TakenSignal, Text, TimerFired,
    TimerSet, UndoPlanned,
};
use crate::payload::{Codec, Payload};

/// Short texts from which longer ones are made: what separates, escapes, numbers, ends a line, or takes several bytes.
const PIECES: [&str; 16] =
    ["a", "b", ":", "#", "%", "%3A", "#2", "\0", "\n", "\r", "\"", "\\", "ä", "\u{2028}", "\u{10ffff}", "a:b"];

/// Any text. Nothing is left out: also empty, long, and with line breaks.
pub(crate) fn text(choices: &mut Choices<'_>) -> String {
    match choices.below(8) {
        0 => String::from_utf8_lossy(bytes_of(choices).as_slice()).into_owned(),
        1 => choices.one(&PIECES).repeat(choices.number_u32() as usize % 2_000),
        count => (1..count).map(|_| choices.one(&PIECES)).collect(),
    }
}

/// Any bytes, mostly few.
pub(crate) fn bytes_of(choices: &mut Choices<'_>) -> Vec<u8> {
    let count = choices.below(64);
    choices.bytes(count).to_vec()
}

fn payload(choices: &mut Choices<'_>) -> Payload {
    const JSON: [&str; 8] = ["7", "{\"a\":[1,2.5,null]}", "\"ä\\n\"", " 1 ", "[\n1]", "1e400", "{\"a\":1,\"a\":2}", ""];
    match choices.below(4) {
        0 => Payload::of_parts(Codec::Json, choices.one(&JSON).into()),
        1 => Payload::of_parts(Codec::Json, bytes_of(choices)),
        2 => Payload::of_parts(Codec::Bincode, bytes_of(choices)),
        _ => Payload::encode(Codec::Json, &text(choices), usize::MAX).expect("a text can be encoded"),
    }
}

fn arguments(choices: &mut Choices<'_>) -> Option<Arguments> {
    let text = match choices.below(3) {
        0 => return None,
        1 => choices.one(&["[1,\"ä\"]", "[\n1]", "[1", " []", "[null]"]).to_owned(),
        _ => text(choices),
    };
    Some(Arguments { text, is_cut: choices.flag() })
}

/// Any operation of this claim and key.
pub(super) fn operation(choices: &mut Choices<'_>, kind: OperationKind, claim: u32, key: &str) -> Operation {
    Operation {
        claim,
        key: key.into(),
        kind,
        digest: choices.number(),
        site: Site { file: text(choices).into(), line: choices.number_u32(), column: choices.number_u32() },
        arguments: arguments(choices),
    }
}

fn fork(choices: &mut Choices<'_>) -> Fork {
    let (run, from) = (text(choices).into(), text(choices).into());
    let seed = u128::from(choices.number()) << choices.below(64);
    Fork { run, from, records: choices.number(), seed, at: choices.number() }
}

fn any_operation(choices: &mut Choices<'_>) -> Operation {
    let claim = choices.number_u32();
    let key = text(choices);
    let kind = choices.one(&[
        OperationKind::Step,
        OperationKind::Timer,
        OperationKind::Signal,
        OperationKind::Promise,
        OperationKind::Child,
        OperationKind::Publication,
        OperationKind::Emission,
    ]);
    operation(choices, kind, claim, &key)
}

fn of_child(choices: &mut Choices<'_>, at: u64) -> Event {
    let operation = any_operation(choices);
    match choices.below(3) {
        0 => Event::ChildStarted(ChildStarted {
            operation,
            child: text(choices).into(),
            function: text(choices).into(),
            attached: choices.flag(),
            at,
        }),
        1 => {
            let end = ChildEnd::Returned { result: payload(choices), failed: choices.flag() };
            Event::ChildEnded(ChildEnded { operation, end, at })
        }
        _ => Event::ChildEnded(ChildEnded { operation, end: ChildEnd::Cancelled { reason: text(choices) }, at }),
    }
}

fn any_started(choices: &mut Choices<'_>, at: u64) -> Started {
    Started {
        function: text(choices).into(),
        version: choices.number_u32(),
        fingerprint: choices.number(),
        input: payload(choices),
        input_digest: choices.number(),
        at,
        patches: (0..choices.below(4)).map(|_| Text::from(text(choices))).collect(),
        seed: u128::from(choices.number()) << choices.below(64),
        tags: (0..choices.below(3)).map(|_| (text(choices).into(), text(choices).into())).collect(),
        correlation: choices.flag().then(|| text(choices).into()),
        forks: (0..choices.below(3)).map(|_| fork(choices)).collect(),
        parent: choices.flag().then(|| Parent {
            run: text(choices).into(),
            key: text(choices).into(),
            token: u128::from(choices.number()) << choices.below(64),
            attached: choices.flag(),
        }),
        not_before: choices.flag().then(|| choices.number()),
        timeout: choices.flag().then(|| choices.number()),
        queue: choices.flag().then(|| {
            Box::new(Queued {
                name: text(choices).into(),
                priority: choices.number_u32(),
                key: choices.flag().then(|| text(choices).into()),
            })
        }),
        continued: choices.flag().then(|| Box::new(continued(choices))),
    }
}

fn continued(choices: &mut Choices<'_>) -> Continued {
    let taken = |choices: &mut Choices<'_>| TakenSignal {
        id: text(choices).into(),
        name: text(choices).into(),
        digest: choices.number(),
    };
    Continued {
        times: choices.number(),
        created_at: choices.number(),
        input: text(choices),
        input_digest: choices.number(),
        signals: (0..choices.below(3)).map(|_| taken(choices)).collect(),
    }
}

/// Any event, whether it can follow another or not.
pub(super) fn event(choices: &mut Choices<'_>) -> Event {
    const REASONS: [HaltReason; 11] = [
        HaltReason::Panic,
        HaltReason::Divergence,
        HaltReason::Value,
        HaltReason::Misuse,
        HaltReason::CrashLoop,
        HaltReason::Limit,
        HaltReason::Corrupt,
        HaltReason::Storage,
        HaltReason::Unregistered,
        HaltReason::NotUndone,
        HaltReason::Paused,
    ];
    let at = choices.number();
    match choices.below(24) {
        0 => Event::Started(any_started(choices, at)),
        1 => Event::AttemptFailed(AttemptFailed {
            operation: any_operation(choices),
            attempt: choices.number_u32(),
            error: match choices.below(3) {
                0 => AttemptError::Err(payload(choices)),
                1 => AttemptError::Panic(text(choices)),
                _ => AttemptError::TimedOut,
            },
            retry_at: choices.number(),
            at,
        }),
        2 => Event::StepCompleted(StepCompleted {
            operation: any_operation(choices),
            attempts: choices.number_u32(),
            outcome: match choices.below(4) {
                0 => Outcome::Ok(payload(choices)),
                1 => Outcome::Err(payload(choices)),
                2 => Outcome::Interrupted(payload(choices)),
                _ => Outcome::Unusable(text(choices)),
            },
            began_at: choices.number(),
            at,
        }),
        3 => Event::Recovered {
            code: choices.flag().then(|| CodeId { version: choices.number_u32(), fingerprint: choices.number() }),
            at,
        },
        4 => Event::Halted(Halted {
            reason: choices.one(&REASONS),
            step: choices.flag().then(|| text(choices).into()),
            message: text(choices),
            at,
        }),
        5 => Event::Resumed { at },
        6 => Event::Finished(Finished { result: payload(choices), failed: choices.flag(), at }),
        7 => Event::TimerSet(TimerSet { operation: any_operation(choices), due: choices.number(), at }),
        8 => Event::TimerFired(TimerFired { operation: any_operation(choices), at }),
        9 => Event::SignalReceived(SignalReceived {
            name: text(choices).into(),
            id: choices.flag().then(|| text(choices).into()),
            value: payload(choices),
            digest: choices.number(),
            at,
        }),
        10 => Event::SignalTaken(SignalTaken { operation: any_operation(choices), received: choices.number(), at }),
        11 => Event::PromiseSettled(PromiseSettled {
            key: text(choices).into(),
            settlement: match choices.below(2) {
                0 => Settlement::Resolved { value: payload(choices), digest: choices.number() },
                _ => Settlement::Rejected(text(choices).into()),
            },
            at,
        }),
        15 => Event::Published(Published { operation: any_operation(choices), value: payload(choices), at }),
        14 => Event::Cancelled(Cancelled { reason: text(choices), at }),
        13 => Event::StepStarted(StepStarted { operation: any_operation(choices), attempt: choices.number_u32(), at }),
        16 => Event::Begun { at, deadline: choices.flag().then(|| choices.number()) },
        20 => Event::UndoPlanned(UndoPlanned { operation: any_operation(choices), at }),
        23 => Event::Emitted(Emitted { operation: any_operation(choices), value: payload(choices), at }),
        22 => Event::Kept(Kept {
            name: text(choices).into(),
            number: choices.number(),
            value: payload(choices),
            published_at: choices.number(),
            at,
        }),
        21 => Event::CancelRequested(Cancelled { reason: text(choices), at }),
        12 => Event::PromiseTaken(PromiseTaken { operation: any_operation(choices), at }),
        17 | 18 => of_child(choices, at),
        _ => Event::Patched(Patched { id: text(choices).into(), at }),
    }
}
