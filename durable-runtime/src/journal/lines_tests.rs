//! The text form: what it looks like, that it loses nothing, and what it refuses.

use proptest::prelude::*;

use super::*;
use crate::halt::HaltReason;
use crate::journal::arguments::Arguments;
use crate::journal::event::AttemptError;
use crate::journal::{
    AttemptFailed, Cancelled, CodeId, Continued, Emitted, Finished, Fork, Halted, Kept, Operation, OperationKind,
    Outcome, Patched, Published, Queued, Site, Started, StepCompleted, TakenSignal, TimerFired, TimerSet, UndoPlanned,
};
use crate::payload::{Codec, Payload};

fn text() -> impl Strategy<Value = String> {
    prop_oneof![".{0,20}", Just(String::new()), Just("a\n\"b\u{2028}\\\0\r".to_owned())]
}

/// Also bytes that no codec wrote.
fn payload() -> impl Strategy<Value = Payload> {
    let json = prop_oneof![
        Just(r#"{"b":1,"a":[1.5,null,"\n"],"b":2}"#.to_owned()),
        Just(" 1 ".to_owned()),
        Just("1\n".to_owned()),
        Just("[1,\r\n2]".to_owned()),
        Just(String::new()),
        Just("[".repeat(500) + &"]".repeat(500)),
        Just("123456789012345678901234567890.10e-5".to_owned()),
        text(),
        text().prop_map(|text| serde_json::to_string(&text).expect("text")),
    ];
    prop_oneof![
        json.prop_map(|json| Payload::of_parts(Codec::Json, json.into_bytes())),
        (prop_oneof![Just(Codec::Json), Just(Codec::Bincode)], prop::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(codec, bytes)| Payload::of_parts(codec, bytes)),
    ]
}

fn arguments() -> impl Strategy<Value = Option<Arguments>> {
    let json = prop_oneof![Just("[1,\"a\"]".to_owned()), Just("[".repeat(500) + &"]".repeat(500)), text()];
    prop::option::of((json, any::<bool>()).prop_map(|(text, is_cut)| Arguments { text, is_cut }))
}

fn operation() -> impl Strategy<Value = Operation> {
    let kind = prop::sample::select(vec![OperationKind::Step, OperationKind::Timer]);
    (any::<u32>(), text(), kind, any::<u64>(), (text(), any::<u32>(), any::<u32>()), arguments()).prop_map(
        |(claim, key, kind, digest, (file, line, column), arguments)| Operation {
            claim,
            key: key.into(),
            kind,
            digest,
            site: Site { file: file.into(), line, column },
            arguments,
        },
    )
}

fn forks() -> impl Strategy<Value = Vec<Fork>> {
    let fork = (text(), text(), any::<u64>(), any::<u128>(), any::<u64>())
        .prop_map(|(run, from, records, seed, at)| Fork { run: run.into(), from: from.into(), records, seed, at });
    prop::collection::vec(fork, 0..3)
}

fn queued() -> impl Strategy<Value = Queued> {
    (text(), any::<u32>(), prop::option::of(text())).prop_map(|(name, priority, key)| Queued {
        name: name.into(),
        priority,
        key: key.map(Into::into),
    })
}

fn continued() -> impl Strategy<Value = Continued> {
    let signal = (text(), text(), any::<u64>()).prop_map(|(id, name, digest)| TakenSignal {
        id: id.into(),
        name: name.into(),
        digest,
    });
    let signals = prop::collection::vec(signal, 0..3);
    (any::<u64>(), any::<u64>(), text(), any::<u64>(), signals).prop_map(
        |(times, created_at, input, input_digest, signals)| Continued {
            times,
            created_at,
            input,
            input_digest,
            signals,
        },
    )
}

fn started() -> impl Strategy<Value = Started> {
    let patches = prop::collection::vec(text().prop_map(Into::into), 0..3);
    let tags = prop::collection::btree_map(text().prop_map(Into::into), text().prop_map(Into::into), 0..3);
    let times = (prop::option::of(any::<u64>()), prop::option::of(any::<u64>()));
    let correlation = prop::option::of(text().prop_map(Into::into));
    let particulars = (tags, correlation, forks(), times, prop::option::of(queued()), prop::option::of(continued()));
    let numbers = (any::<u32>(), any::<u64>(), any::<u64>(), any::<u64>(), any::<u128>());
    (text(), numbers, payload(), patches, particulars).prop_map(
        |(
            function,
            (version, fingerprint, input_digest, at, seed),
            input,
            patches,
            (tags, correlation, forks, (not_before, timeout), queue, continued),
        )| {
            Started {
                function: function.into(),
                version,
                fingerprint,
                input,
                input_digest,
                at,
                patches,
                seed,
                tags,
                correlation,
                forks,
                parent: None,
                not_before,
                timeout,
                queue: queue.map(Box::new),
                continued: continued.map(Box::new),
            }
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    let error = prop_oneof![
        payload().prop_map(AttemptError::Err),
        text().prop_map(AttemptError::Panic),
        Just(AttemptError::TimedOut)
    ];
    let outcome = prop_oneof![
        payload().prop_map(Outcome::Ok),
        payload().prop_map(Outcome::Err),
        text().prop_map(Outcome::Unusable)
    ];
    let reason = prop::sample::select(vec![
        HaltReason::Panic,
        HaltReason::Divergence,
        HaltReason::Value,
        HaltReason::Misuse,
        HaltReason::CrashLoop,
        HaltReason::Limit,
        HaltReason::Corrupt,
        HaltReason::Storage,
        HaltReason::Unregistered,
    ]);
    prop_oneof![
        started().prop_map(Event::Started),
        (operation(), any::<u32>(), error, any::<u64>(), any::<u64>()).prop_map(
            |(operation, attempt, error, retry_at, at)| Event::AttemptFailed(AttemptFailed {
                operation,
                attempt,
                error,
                retry_at,
                at
            })
        ),
        (operation(), any::<u32>(), outcome, any::<u64>(), any::<u64>()).prop_map(
            |(operation, attempts, outcome, began_at, at)| Event::StepCompleted(StepCompleted {
                operation,
                attempts,
                outcome,
                began_at,
                at
            })
        ),
        (operation(), payload(), any::<u64>()).prop_map(|(operation, value, at)| Event::Published(Published {
            operation,
            value,
            at
        })),
        (prop::option::of(any::<(u32, u64)>()), any::<u64>()).prop_map(|(code, at)| {
            let code = code.map(|(version, fingerprint)| CodeId { version, fingerprint });
            Event::Recovered { code, at }
        }),
        (reason, prop::option::of(text()), text(), any::<u64>()).prop_map(|(reason, step, message, at)| {
            Event::Halted(Halted { reason, step: step.map(Into::into), message, at })
        }),
        any::<u64>().prop_map(|at| Event::Resumed { at }),
        (any::<u64>(), prop::option::of(any::<u64>())).prop_map(|(at, deadline)| Event::Begun { at, deadline }),
        (operation(), payload(), any::<u64>()).prop_map(|(operation, value, at)| Event::Emitted(Emitted {
            operation,
            value,
            at
        })),
        (operation(), any::<u64>()).prop_map(|(operation, at)| Event::UndoPlanned(UndoPlanned { operation, at })),
        (text(), any::<u64>()).prop_map(|(reason, at)| Event::CancelRequested(Cancelled { reason, at })),
        (text(), any::<u64>(), payload(), any::<u64>(), any::<u64>()).prop_map(
            |(name, number, value, published_at, at)| {
                Event::Kept(Kept { name: name.into(), number, value, published_at, at })
            }
        ),
        (text(), any::<u64>()).prop_map(|(id, at)| Event::Patched(Patched { id: id.into(), at })),
        (operation(), any::<u64>(), any::<u64>()).prop_map(|(operation, due, at)| Event::TimerSet(TimerSet {
            operation,
            due,
            at
        })),
        (operation(), any::<u64>()).prop_map(|(operation, at)| Event::TimerFired(TimerFired { operation, at })),
        (payload(), any::<bool>(), any::<u64>()).prop_map(|(result, failed, at)| Event::Finished(Finished {
            result,
            failed,
            at
        })),
    ]
}

proptest! {
    #[test]
    fn an_event_and_its_line_are_the_same(event in event()) {
        let line = serde_json::to_string(&event).expect("every event has a line");
        prop_assert!(!line.contains(['\n', '\r']), "{line:?} is more than a line");
        prop_assert_eq!(serde_json::from_str::<Event>(&line).expect("the line is readable"), event);
    }

    #[test]
    fn a_journal_and_its_text_are_the_same(run in ".{1,20}", started in started(), ends in prop::option::of(payload())) {
        let begun = started.begins_later().then_some(Event::Begun { at: 6, deadline: started.deadline(6) });
        let mut events = vec![Event::Started(started)];
        events.extend(begun.into_iter().chain([Event::Recovered { code: None, at: 7 }]));
        events.extend(ends.map(|result| Event::Finished(Finished { result, failed: false, at: 8 })));
        let journal = Journal { run: RunId::new(run).expect("an id"), events };
        prop_assert_eq!(Journal::from_lines(&journal.to_lines()), Ok(journal));
    }

    #[test]
    fn text_of_any_origin_is_an_error_and_not_a_panic(text in ".{0,200}", line in prop::sample::select(vec![1, 2, 3])) {
        let lines = ["{\"journal\":1,\"run\":\"r\"}", STARTED, &text];
        let read = Journal::from_lines(&lines[3 - line..].join("\n"));
        prop_assert!(read.is_err() || text.is_empty(), "{read:?}");
    }
}

const STARTED: &str = r#"{"Started":{"function":"f","version":1,"fingerprint":"0000000000000001","input":{"json":[1, "two"]},"input_digest":"00000000000000ff","at":5}}"#;

fn step(claim: u32, key: &str) -> Operation {
    let site = Site { file: "C:\\src\\f.rs".into(), line: 3, column: 14 };
    Operation { claim, key: key.into(), kind: OperationKind::Step, digest: 0xab, site, arguments: None }
}

fn json(text: &str) -> Payload {
    Payload::of_parts(Codec::Json, text.into())
}

/// The form that is promised: it must not change without a new number in the header.
#[test]
fn the_text_of_form_1_stays_as_it_is() {
    let failed = |attempt, error| {
        Event::AttemptFailed(AttemptFailed { operation: step(0, "a"), attempt, error, retry_at: 7, at: 6 })
    };
    let completed = |claim, key: &str, attempts, outcome| {
        Event::StepCompleted(StepCompleted { operation: step(claim, key), attempts, outcome, began_at: 8, at: 9 })
    };
    let events = vec![
        serde_json::from_str(STARTED).expect("an event"),
        failed(1, AttemptError::Err(json(r#"{"Err":"busy"}"#))),
        failed(2, AttemptError::Panic("ouch\n".to_owned())),
        failed(3, AttemptError::TimedOut),
        Event::Recovered { code: Some(CodeId { version: 2, fingerprint: 10 }), at: 8 },
        completed(0, "a", 4, Outcome::Ok(json("{\"b\":1, \"a\":2.50}"))),
        completed(1, "b", 1, Outcome::Err(Payload::of_parts(Codec::Bincode, vec![0, 255]))),
        completed(2, "b#2", 1, Outcome::Unusable("no".to_owned())),
        Event::Halted(Halted { reason: HaltReason::Value, step: Some("b#2".into()), message: "no".to_owned(), at: 9 }),
        Event::Resumed { at: 10 },
        Event::Halted(Halted { reason: HaltReason::CrashLoop, step: None, message: "again".to_owned(), at: 11 }),
        Event::Resumed { at: 12 },
        Event::Finished(Finished { result: json("1\n"), failed: false, at: 13 }),
    ];
    let journal = Journal { run: RunId::new("ord \"1\"").expect("an id"), events };
    expect_test::expect![[r#"
        {"journal":1,"run":"ord \"1\"","events":13,"crc32":"9a53ffac"}
        {"Started":{"function":"f","version":1,"fingerprint":"0000000000000001","input":{"json":[1, "two"]},"input_digest":"00000000000000ff","at":5}}
        {"AttemptFailed":{"operation":{"claim":0,"key":"a","kind":"step","digest":"00000000000000ab","site":"C:\\src\\f.rs:3:14"},"attempt":1,"error":{"Err":{"json":{"Err":"busy"}}},"retry_at":7,"at":6}}
        {"AttemptFailed":{"operation":{"claim":0,"key":"a","kind":"step","digest":"00000000000000ab","site":"C:\\src\\f.rs:3:14"},"attempt":2,"error":{"Panic":"ouch\n"},"retry_at":7,"at":6}}
        {"AttemptFailed":{"operation":{"claim":0,"key":"a","kind":"step","digest":"00000000000000ab","site":"C:\\src\\f.rs:3:14"},"attempt":3,"error":"TimedOut","retry_at":7,"at":6}}
        {"Recovered":{"code":{"version":2,"fingerprint":"000000000000000a"},"at":8}}
        {"StepCompleted":{"operation":{"claim":0,"key":"a","kind":"step","digest":"00000000000000ab","site":"C:\\src\\f.rs:3:14"},"attempts":4,"outcome":{"Ok":{"json":{"b":1, "a":2.50}}},"began_at":8,"at":9}}
        {"StepCompleted":{"operation":{"claim":1,"key":"b","kind":"step","digest":"00000000000000ab","site":"C:\\src\\f.rs:3:14"},"attempts":1,"outcome":{"Err":{"bincode":"00ff"}},"began_at":8,"at":9}}
        {"StepCompleted":{"operation":{"claim":2,"key":"b#2","kind":"step","digest":"00000000000000ab","site":"C:\\src\\f.rs:3:14"},"attempts":1,"outcome":{"Unusable":"no"},"began_at":8,"at":9}}
        {"Halted":{"reason":"Value","step":"b#2","message":"no","at":9}}
        {"Resumed":{"at":10}}
        {"Halted":{"reason":"CrashLoop","step":null,"message":"again","at":11}}
        {"Resumed":{"at":12}}
        {"Finished":{"result":{"json_bytes":"310a"},"failed":false,"at":13}}
    "#]].assert_eq(&journal.to_lines());
    assert_eq!(Journal::from_lines(&journal.to_lines()), Ok(journal));
}

#[test]
fn what_is_refused_is_told_with_its_line() {
    let header = "{\"journal\":1,\"run\":\"r\"}";
    let resumed = "{\"Resumed\":{\"at\":7}}";
    let texts = [
        String::new(),
        "hello".to_owned(),
        "{\"journal\":2,\"run\":\"r\",\"more\":true}".to_owned(),
        "{\"journal\":1,\"run\":\"\"}".to_owned(),
        "{\"journal\":1,\"run\":\"r\",\"more\":true}".to_owned(),
        format!("{header}\n\n"),
        format!("{header}\n{STARTED}\n{{\"Stopped\":{{\"at\":7}}}}"),
        format!("{header}\n{STARTED}\n{{\"Recovered\":{{\"at\":7,\"by\":\"me\"}}}}"),
        format!("{header}\n{STARTED}\n{{\"Recovered\":{{}}}}"),
        format!("{header}\n{STARTED}\n{{\"Recovered\":{{\"at\":-7}}}}"),
        format!("{header}\n{}", STARTED.replace("0000000000000001", "1")),
        format!("{header}\n{}", STARTED.replace("0000000000000001", "000000000000000X")),
        format!("{header}\n{}", STARTED.replace("{\"json\":[1, \"two\"]}", "[1, \"two\"]")),
        format!("{header}\n{}", STARTED.replace("\"json\":[1, \"two\"]", "\"bincode\":\"012\"")),
        format!("{header}\n{STARTED} 7"),
        format!("{header}\n{STARTED}\n{resumed}"),
        format!("{header}\n{resumed}"),
    ];
    let told: Vec<String> =
        texts.iter().map(|text| Journal::from_lines(text).expect_err("it is refused").to_string() + "\n").collect();
    expect_test::expect![[r#"
        [D0170] line 1 is not that of a journal: EOF while parsing a value (column 0). Take the text as `Journal::to_lines` wrote it
        [D0170] line 1 is not that of a journal: expected value (column 1). Take the text as `Journal::to_lines` wrote it
        [D0171] the journal is written in form 2, this library reads form 1: use the version of the library that wrote it
        [D0170] line 1 is not that of a journal: [D0101] a run id must not be empty: use the business id the run is about, such as the order id. Take the text as `Journal::to_lines` wrote it
        [D0170] line 1 is not that of a journal: unknown field `more`, expected one of `journal`, `run`, `events`, `crc32` (column 29). Take the text as `Journal::to_lines` wrote it
        [D0170] line 2 is not that of a journal: EOF while parsing a value (column 0). Take the text as `Journal::to_lines` wrote it
        [D0170] line 3 is not that of a journal: unknown variant `Stopped`, expected one of `Started`, `AttemptFailed`, `StepCompleted`, `Recovered`, `Halted`, `Resumed`, `Finished`, `Patched`, `TimerSet`, `TimerFired`, `SignalReceived`, `SignalTaken`, `PromiseSettled`, `PromiseTaken`, `StepStarted`, `Cancelled`, `ChildStarted`, `ChildEnded`, `Published`, `Begun`, `UndoPlanned`, `CancelRequested`, `Kept`, `Emitted` (column 10). Take the text as `Journal::to_lines` wrote it
        [D0170] line 3 is not that of a journal: unknown field `by`, expected `code` or `at` (column 25). Take the text as `Journal::to_lines` wrote it
        [D0170] line 3 is not that of a journal: missing field `at` (column 15). Take the text as `Journal::to_lines` wrote it
        [D0170] line 3 is not that of a journal: invalid value: integer `-7`, expected u64 (column 21). Take the text as `Journal::to_lines` wrote it
        [D0170] line 2 is not that of a journal: hexadecimal digits come in pairs (column 56). Take the text as `Journal::to_lines` wrote it
        [D0170] line 2 is not that of a journal: only 0 to 9 and a to f are hexadecimal digits here (column 71). Take the text as `Journal::to_lines` wrote it
        [D0170] line 2 is not that of a journal: expected value (column 81). Take the text as `Journal::to_lines` wrote it
        [D0170] line 2 is not that of a journal: hexadecimal digits come in pairs (column 97). Take the text as `Journal::to_lines` wrote it
        [D0170] line 2 is not that of a journal: trailing characters (column 144). Take the text as `Journal::to_lines` wrote it
        [D0170] line 3 is not that of a journal: event Resumed at position 1 can't stand there: the run is Running. Take the text as `Journal::to_lines` wrote it
        [D0170] line 2 is not that of a journal: event Resumed at position 0 can't stand there: the run is Empty. Take the text as `Journal::to_lines` wrote it
    "#]].assert_eq(&told.concat());
}

/// An export that was cut between two lines, or in which a bit is another one, would be another past: steps would be executed again.
#[test]
fn a_text_that_was_cut_or_changed_is_refused_wherever_it_was() {
    let events = vec![
        serde_json::from_str(STARTED).expect("an event"),
        Event::Halted(Halted { reason: HaltReason::Value, step: None, message: "no".to_owned(), at: 9 }),
        Event::Resumed { at: 10 },
        Event::Halted(Halted { reason: HaltReason::Paused, step: None, message: "again".to_owned(), at: 11 }),
    ];
    let journal = Journal { run: RunId::new("r").expect("an id"), events };
    let text = journal.to_lines();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for length in 0..lines.len() {
        let cut = Journal::from_lines(&lines[..length].concat()).expect_err("it was cut").to_string();
        let words = if length == 0 { "EOF" } else { "it is of 4 events, and there" };
        assert!(cut.contains(words), "{cut}");
    }
    let twice = Journal::from_lines(&(text.clone() + "{\"Resumed\":{\"at\":12}}\n")).expect_err("there is one more");
    assert!(twice.to_string().contains("it is of 4 events, and there are 5"), "{twice}");
    let header = lines[0].len();
    for place in header..text.len() - 1 {
        for bit in 0..8 {
            let mut bytes = text.clone().into_bytes();
            bytes[place] ^= 1 << bit;
            let Ok(changed) = String::from_utf8(bytes) else { continue };
            // A line break of other systems is one, too.
            let is_another = changed.lines().ne(text.lines());
            assert_eq!(Journal::from_lines(&changed).is_err(), is_another, "bit {bit} of byte {place}");
        }
    }
    let told = Journal::from_lines(&text.replace("again", "never")).expect_err("a word was changed").to_string();
    assert!(told.contains("line 1 ") && told.contains("take crc32 out"), "{told}");
    let without =
        text.replacen(text.get(text.find(",\"crc32").expect("it has one")..header - 2).expect("in it"), "", 1);
    let changed = Journal::from_lines(&without.replace("again", "never")).expect("it was changed on purpose");
    assert_eq!(changed.length(), journal.length());
    assert_ne!(changed, journal);
}

#[test]
fn reading_is_bounded() {
    let bounds = Bounds { line_bytes: 200, events: 3 };
    let recovered = "{\"Recovered\":{\"at\":7}}\n";
    let text = |events: usize| format!("{{\"journal\":1,\"run\":\"r\"}}\n{STARTED}\n{}", recovered.repeat(events - 1));
    assert_eq!(read(&text(3), bounds).map(|journal| journal.length()), Ok(3));
    let refused = |text: &str| read(text, bounds).expect_err("it is too long").to_string();
    assert_eq!(refused(&text(4)), "[D0172] at line 5 the text has more than 3 events, which no journal has");
    let long = format!("{}{}\n", text(2), " ".repeat(201));
    assert_eq!(refused(&long), "[D0172] at line 4 the text has more than 200 bytes in a line, which no journal has");
}

#[test]
fn line_breaks_of_other_systems_are_read() {
    let text = format!("{{\"journal\":1,\"run\":\"r\"}}\r\n{STARTED}\r\n");
    assert_eq!(Journal::from_lines(&text).map(|journal| journal.length()), Ok(1));
}
