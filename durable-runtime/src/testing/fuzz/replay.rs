//! The replay core: it answers what the [model](super::replay_model) answers, and the same from every prefix.

use std::collections::BTreeMap;

use super::replay_model::{Model, Next};
use super::{Choices, events};
use crate::halt::HaltReason;
use crate::journal::event::AttemptError;
use crate::journal::{
    AttemptFailed, Cancelled, ChildEnd, ChildEnded, ChildStarted, Continued, Emitted, Event, Finished, Halted, Kept,
    Operation, OperationKind, Outcome, Patched, PromiseSettled, PromiseTaken, Published, Settlement, SignalReceived,
    SignalTaken, Site, Started, StepCompleted, StepStarted, TakenSignal, TimerFired, TimerSet, UndoPlanned,
};
use crate::payload::{Codec, Payload};
use crate::replay::{Answer, Begin, Begun, Delivery, Difference, Replay, Request};

const NAMES: [&str; 3] = ["a", "b", "c"];
const PATCHES: [&str; 3] = ["p", "q", "r"];
/// How many patches the code may ask about.
const PATCHES_MAX: usize = 2;

/// So much is enough for everything to meet everything, and the model is slow.
const EVENTS_MAX: usize = 24;
const ACTIONS_MAX: usize = 64;

pub(super) fn check(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    match choices.below(4) {
        0 => every_prefix_replays_the_same(&mut choices),
        by_key => answers_as_the_model(&mut choices, by_key == 1),
    }
}

pub(super) fn request(name: &'static str, kind: OperationKind, digest: u64) -> Request {
    let site = Site { file: "f.rs".into(), line: 1, column: 1 };
    Request { name: name.into(), kind, digest, site }
}

fn number() -> Payload {
    Payload::of_parts(Codec::Json, b"7".to_vec())
}

fn started(patches: &[&'static str]) -> Event {
    Event::Started(Started {
        function: "f".into(),
        version: 1,
        fingerprint: 1,
        input: number(),
        input_digest: 0,
        at: 0,
        patches: patches.iter().map(|id| (*id).into()).collect(),
        seed: 0,
        tags: BTreeMap::new(),
        correlation: None,
        forks: Vec::new(),
        parent: None,
        not_before: None,
        timeout: None,
        queue: None,
        continued: None,
    })
}

/// The beginning of a run that has continued as new, and had taken a signal before.
fn continued() -> Event {
    let Event::Started(started) = started(&[]) else { unreachable!("see there") };
    let signals = vec![TakenSignal { id: "i".into(), name: "a".into(), digest: 0 }];
    let continued = Continued { times: 1, created_at: 0, input: String::new(), input_digest: 0, signals };
    Event::Started(Started { continued: Some(Box::new(continued)), ..started })
}

fn completed(operation: Operation, attempts: u32) -> Event {
    // Which one is delivered can be told from what is in it.
    let outcome = Outcome::Unusable(format!("{}/{attempts}", operation.key));
    Event::StepCompleted(StepCompleted { operation, attempts, outcome, began_at: 0, at: 0 })
}

fn attempt_failed(operation: Operation, attempt: u32, retry_at: u64) -> Event {
    Event::AttemptFailed(AttemptFailed { operation, attempt, error: AttemptError::TimedOut, retry_at, at: 0 })
}

fn step_started(operation: Operation, attempt: u32) -> Event {
    Event::StepStarted(StepStarted { operation, attempt, at: 0 })
}

fn timer_set(operation: Operation, due: u64) -> Event {
    Event::TimerSet(TimerSet { operation, due, at: 0 })
}

fn timer_fired(operation: Operation) -> Event {
    Event::TimerFired(TimerFired { operation, at: 0 })
}

fn signal_received(name: &str, id: Option<&str>, digest: u64) -> Event {
    // Which one is given can be told from what is in it.
    let value = Payload::of_parts(Codec::Json, format!("{name}/{digest}").into_bytes());
    let id = id.map(|id| id.to_owned().into());
    Event::SignalReceived(SignalReceived { name: name.to_owned().into(), id, value, digest, at: 0 })
}

fn signal_taken(operation: Operation, received: u64) -> Event {
    Event::SignalTaken(SignalTaken { operation, received, at: 0 })
}

fn promise_settled(key: &str, digest: u64) -> Event {
    let settlement = match digest % 3 {
        0 => Settlement::Rejected(digest.to_string().into()),
        _ => Settlement::Resolved { value: Payload::of_parts(Codec::Json, digest.to_string().into_bytes()), digest },
    };
    Event::PromiseSettled(PromiseSettled { key: key.to_owned().into(), settlement, at: 0 })
}

fn promise_taken(operation: Operation) -> Event {
    Event::PromiseTaken(PromiseTaken { operation, at: 0 })
}

fn child_started(operation: Operation, attached: bool) -> Event {
    let (child, function) = ("c".into(), "f".into());
    Event::ChildStarted(ChildStarted { operation, child, function, attached, at: 0 })
}

fn child_ended(operation: Operation) -> Event {
    // Which one is delivered can be told from what is in it.
    let end = ChildEnd::Cancelled { reason: operation.key.to_string() };
    Event::ChildEnded(ChildEnded { operation, end, at: 0 })
}

fn published(operation: Operation) -> Event {
    Event::Published(Published { operation, value: number(), at: 0 })
}

fn emitted(operation: Operation) -> Event {
    Event::Emitted(Emitted { operation, value: number(), at: 0 })
}

fn undo_planned(operation: Operation) -> Event {
    Event::UndoPlanned(UndoPlanned { operation, at: 0 })
}

fn cancel_requested() -> Event {
    Event::CancelRequested(Cancelled { reason: String::new(), at: 0 })
}

fn kind(choices: &mut Choices<'_>) -> OperationKind {
    choices.one(&[
        OperationKind::Step,
        OperationKind::Step,
        OperationKind::Timer,
        OperationKind::Signal,
        OperationKind::Promise,
        OperationKind::Child,
        OperationKind::Publication,
        OperationKind::Emission,
    ])
}

fn halted() -> Event {
    Event::Halted(Halted { reason: HaltReason::Panic, step: None, message: String::new(), at: 0 })
}

/// An event that may well be legal, and may be not.
fn event(choices: &mut Choices<'_>, of: impl FnOnce(&mut Choices<'_>) -> Operation) -> Event {
    match choices.below(24) {
        22 => cancel_requested(),
        23 if choices.flag() => continued(),
        23 => Event::Kept(Kept { name: "a".into(), number: 0, value: number(), published_at: 0, at: 0 }),
        0 => Event::Recovered { code: None, at: 0 },
        1 => halted(),
        2 => Event::Resumed { at: 0 },
        3 => Event::Finished(Finished { result: number(), failed: false, at: 0 }),
        4 => Event::Patched(Patched { id: choices.one(&PATCHES).into(), at: 0 }),
        5 if choices.flag() => Event::Cancelled(Cancelled { reason: String::new(), at: 0 }),
        5 => started(&[choices.one(&PATCHES)]),
        6..=9 => {
            let id = choices.one(&[None, None, Some("i"), Some("j")]);
            signal_received(choices.one(&NAMES), id, u64::from(choices.byte()))
        }
        10 | 11 => {
            let key = format!("{}{}", choices.one(&NAMES), choices.one(&["", "", "#2"]));
            promise_settled(&key, u64::from(choices.byte()))
        }
        _ => {
            let operation = of(choices);
            // Mostly one that the operation can have.
            match (operation.kind, choices.below(8)) {
                (OperationKind::Step, 2..=4) | (_, 0) => attempt_failed(operation, attempt(choices), choices.number()),
                (OperationKind::Step, 5) => step_started(operation, attempt(choices)),
                (OperationKind::Step, 6) => undo_planned(operation),
                (OperationKind::Step, _) | (_, 1) => completed(operation, attempt(choices)),
                (OperationKind::Timer, 2..=4) | (OperationKind::Promise, 2) => timer_set(operation, choices.number()),
                (OperationKind::Timer, _) | (OperationKind::Promise, 3) => timer_fired(operation),
                (OperationKind::Promise, _) => promise_taken(operation),
                (OperationKind::Child | OperationKind::Emission, 2..=4) => child_started(operation, choices.flag()),
                (OperationKind::Child, _) => child_ended(operation),
                (OperationKind::Publication, _) => published(operation),
                (OperationKind::Emission, _) => emitted(operation),
                // Mostly a position that there is.
                (OperationKind::Signal, _) => signal_taken(operation, u64::from(choices.byte() % 16)),
            }
        }
    }
}

/// Mostly the first.
fn attempt(choices: &mut Choices<'_>) -> u32 {
    choices.one(&[1, 1, 1, 1, 2, 2, 3, 0, u32::MAX])
}

/// An operation that code with these names may have asked for.
fn any_operation(choices: &mut Choices<'_>) -> Operation {
    const CLAIMS: [u32; 9] = [0, 1, 2, 3, 4, 5, 6, u32::MAX / 2, u32::MAX];
    let (claim, name) = (choices.one(&CLAIMS), choices.one(&NAMES));
    let key = match choices.below(4) {
        0 | 1 => name.to_owned(),
        count => format!("{name}#{count}"),
    };
    let digest = u64::from(choices.byte() / 128);
    Operation { digest, ..events::operation(&mut Choices::new(&[]), kind(choices), claim, &key) }
}

fn answers_as_the_model(choices: &mut Choices<'_>, by_key: bool) {
    let mut model = Model::default();
    let mut replay = Replay::new();
    for _ in 0..=choices.below(EVENTS_MAX) {
        let event = if model.events.is_empty() && !choices.byte().is_multiple_of(16) {
            if choices.flag() { started(&[]) } else { continued() }
        } else {
            event(choices, any_operation)
        };
        records(&mut replay, &mut model, event);
    }
    let mut replay = Replay::of_journal(model.events.clone()).expect("it was legal one by one");
    model.starts(by_key);
    if by_key {
        replay.match_by_key();
    }
    for _ in 0..ACTIONS_MAX {
        knows_the_same(&replay, &model);
        if !choices.are_left() || !acts(choices, &mut replay, &mut model, by_key) {
            break;
        }
    }
}

fn records(replay: &mut Replay, model: &mut Model, event: Event) {
    let applied = replay.apply(event.clone());
    assert_eq!(applied.is_ok(), model.admits(&event), "{applied:?}: {event:?} behind {:?}", model.events);
    if let Ok(position) = applied {
        assert_eq!(position.0, model.events.len() as u64);
        model.events.push(event);
    }
}

/// Code or engine do one thing. `false` if it was the last.
fn acts(choices: &mut Choices<'_>, replay: &mut Replay, model: &mut Model, by_key: bool) -> bool {
    let claim = choices.below(model.claims().max(1));
    let claim_number = u32::try_from(claim).expect("few claims");
    match choices.below(16) {
        0..=4 => {
            let (name, kind, digest) = (choices.one(&NAMES), kind(choices), u64::from(choices.byte() / 128));
            assert_eq!(replay.claim(request(name, kind, digest)) as usize, model.claims());
            model.claim(name, kind, digest);
        }
        5 if model.claims() > 0 => {
            let name = choices.one(&NAMES);
            assert_eq!(replay.rename(claim_number, name.into()), model.rename(claim, name));
        }
        6 => {
            replay.seal();
            model.seal();
        }
        7 if model.claims() > 0 => {
            replay.progress(claim_number);
            model.progress();
        }
        8 => {
            let id = choices.one(&PATCHES);
            assert_eq!(replay.patch(id, PATCHES_MAX), model.patch(id, PATCHES_MAX));
        }
        9 => {
            let end = replay.end().map(|divergence| divergence.difference);
            assert_eq!(end, model.end());
            return false;
        }
        10..=12 => return delivers(replay, model),
        // By key, the engine records what the code has asked for, and nothing else can be told apart.
        _ if model.claims() > 0 => {
            replay.seal();
            model.seal();
            let own = replay.operation(claim_number).expect("it was claimed").clone();
            let of = |choices: &mut Choices<'_>| {
                if by_key || choices.flag() { own } else { any_operation(choices) }
            };
            records(replay, model, event(choices, of));
        }
        _ => {}
    }
    true
}

fn delivers(replay: &mut Replay, model: &mut Model) -> bool {
    match (replay.next_delivery(), model.next()) {
        (Delivery::Deliver { claim, answer, replayed }, next) => {
            let Next::Deliver { position, .. } = next else { panic!("claim {claim}, not {next:?}") };
            assert_eq!(next, Next::Deliver { claim, position, is_replayed: replayed });
            assert_eq!(Some(answer), answer_of(&model.events, position), "a completion is delivered");
            true
        }
        (Delivery::Cancel, next) => {
            assert_eq!(next, Next::Cancel);
            true
        }
        (Delivery::Nothing, next) => {
            assert_eq!(next, Next::Nothing);
            true
        }
        (Delivery::Diverged(divergence), next) => {
            assert_eq!(next, Next::Diverged(divergence.difference));
            false
        }
    }
}

/// What the operation resolves to that the event at this position is about, if it is its completion.
fn answer_of(events: &[Event], position: usize) -> Option<Answer> {
    match events.get(position)? {
        Event::SignalTaken(taken) => match events.get(usize::try_from(taken.received).ok()?)? {
            Event::SignalReceived(received) => Some(Answer::Signal(received.value.clone())),
            _ => None,
        },
        Event::PromiseTaken(taken) => events.iter().find_map(|event| match event {
            Event::PromiseSettled(settled) if *settled.key == *taken.operation.key => {
                Some(Answer::Promise(settled.settlement.clone()))
            }
            _ => None,
        }),
        Event::StepCompleted(completed) => Some(Answer::Step(completed.outcome.clone())),
        Event::TimerFired(_) => Some(Answer::Fired),
        Event::ChildEnded(ended) => Some(Answer::Child(ended.end.clone())),
        _ => None,
    }
}

fn knows_the_same(replay: &Replay, model: &Model) {
    assert_eq!(replay.stage(), model.stage());
    assert_eq!(replay.length().0, model.events.len() as u64);
    assert_eq!(replay.recoveries() as usize, model.recoveries());
    assert_eq!(replay.claims(), model.claims());
    assert_eq!(replay.delivered().0, model.delivered() as u64);
    assert_eq!(replay.is_repeating(), model.is_repeating());
    assert_eq!(replay.is_diverged(), model.is_diverged());
    for (claim, claim_number) in (0..model.claims()).zip(0..) {
        assert_eq!(replay.key(claim_number).as_deref(), Some(&*model.key(claim)));
        assert_eq!(replay.begin(claim_number), model.begin(claim));
        let recorded = model.recorded_of(claim);
        assert_eq!(replay.is_recorded(claim_number), recorded.is_some());
        let recorded = recorded.unwrap_or_default();
        assert_eq!(replay.is_completed(claim_number), recorded.is_completed);
        assert_eq!(
            replay.timer(claim_number).map(|position| position.0),
            recorded.timer.map(|position| position as u64)
        );
    }
}

/// Code that asks for this at its start, and then behind each delivery.
type Script = Vec<Vec<(&'static str, OperationKind, u64)>>;

fn every_prefix_replays_the_same(choices: &mut Choices<'_>) {
    let script: Script = (0..=choices.below(8))
        .map(|_| {
            let asked = 0..choices.below(4);
            asked.map(|_| (choices.one(&NAMES), kind(choices), u64::from(choices.byte()))).collect()
        })
        .collect();
    let live = lives(choices, &script);
    let asked: usize = script.iter().map(Vec::len).sum();
    let changed = choices.below(asked.max(1));
    for length in 1..=live.events.len() {
        let journal = &live.events[..length];
        for by_key in [false, true] {
            replays(journal, &live, &script, by_key);
            // The code passes another argument, in one place.
            let mut script = script.clone();
            let Some((_, _, digest)) = script.iter_mut().flatten().nth(changed) else { continue };
            *digest += 1;
            let is_recorded = journal.iter().filter_map(Event::operation).any(|of| of.claim as usize == changed);
            let (replay, difference) = replays_script(journal, &script, by_key, |_, _| {});
            assert_eq!(difference, is_recorded.then_some(Difference::Arguments));
            if is_recorded {
                (0..).map_while(|claim| replay.key(claim).map(|_| claim)).for_each(|claim| {
                    assert_eq!(replay.begin(claim), Begin::Wait, "nothing begins once code and journal disagree");
                });
            }
        }
    }
}

/// What happened in the only life of a run.
struct Life {
    events: Vec<Event>,
    keys: Vec<String>,
}

/// Claims what the script asks for behind so many deliveries.
fn turns(replay: &mut Replay, script: &Script, deliveries: usize) {
    for (name, kind, digest) in script.get(deliveries).into_iter().flatten() {
        replay.claim(request(name, *kind, *digest));
    }
}

fn lives(choices: &mut Choices<'_>, script: &Script) -> Life {
    let mut replay = Replay::new();
    let mut events = Vec::new();
    let mut record = |replay: &mut Replay, event: Event| {
        replay.apply(event.clone()).expect("what a run records is legal");
        events.push(event);
    };
    record(&mut replay, started(&[]));
    turns(&mut replay, script, 0);
    let mut deliveries = 0;
    let mut recorded = 0..EVENTS_MAX;
    loop {
        match replay.next_delivery() {
            // It asks for nothing more then.
            Delivery::Cancel => {}
            Delivery::Deliver { replayed, .. } => {
                assert!(!replayed);
                deliveries += 1;
                turns(&mut replay, script, deliveries);
            }
            Delivery::Nothing => {
                // What was recorded is delivered: the code knows all that a replay will tell it.
                if recorded.next().is_none() {
                    break;
                }
                let open = (0..).map_while(|claim| replay.key(claim).map(|_| claim));
                let open: Vec<_> = open.filter(|claim| !replay.is_completed(*claim)).collect();
                let Some(claim) = open.get(choices.below(open.len().max(1))).copied() else { break };
                let Begin::Attempt { attempt, .. } = replay.begin(claim) else { panic!("an open operation may begin") };
                let operation = replay.operation(claim).expect("it was claimed").clone();
                match choices.below(10) {
                    0 => record(&mut replay, Event::Recovered { code: None, at: 0 }),
                    8 if replay.cancel_reason().is_none() => record(&mut replay, cancel_requested()),
                    1 => {
                        record(&mut replay, halted());
                        record(&mut replay, Event::Resumed { at: 0 });
                    }
                    _ if operation.kind == OperationKind::Timer => {
                        let is_set = replay.is_recorded(claim);
                        let event =
                            if is_set { timer_fired(operation) } else { timer_set(operation, choices.number()) };
                        record(&mut replay, event);
                    }
                    _ if operation.kind == OperationKind::Signal => {
                        let name = operation.key.split('#').next().unwrap_or_default().to_owned();
                        let event = match replay.next_signal(&name) {
                            Some((received, _)) => signal_taken(operation, received.0),
                            None => signal_received(&name, None, choices.number()),
                        };
                        record(&mut replay, event);
                    }
                    _ if operation.kind == OperationKind::Promise => {
                        let event = match (replay.next_settlement(&operation.key), replay.is_recorded(claim)) {
                            (Some(_), _) => promise_taken(operation),
                            (None, _) if choices.flag() => promise_settled(&operation.key, choices.number()),
                            (None, true) => timer_fired(operation),
                            (None, false) => timer_set(operation, choices.number()),
                        };
                        record(&mut replay, event);
                    }
                    _ if operation.kind == OperationKind::Publication => record(&mut replay, published(operation)),
                    _ if operation.kind == OperationKind::Emission => {
                        let is_emitted = replay.is_recorded(claim);
                        let event = if is_emitted { child_started(operation, false) } else { emitted(operation) };
                        record(&mut replay, event);
                    }
                    _ if operation.kind == OperationKind::Child && replay.is_recorded(claim) => {
                        record(&mut replay, child_ended(operation));
                    }
                    _ if operation.kind == OperationKind::Child => {
                        record(&mut replay, child_started(operation, choices.flag()));
                    }
                    9 if !replay.is_recorded(claim) => record(&mut replay, undo_planned(operation)),
                    4 if replay.begun(claim) == Begun::No => record(&mut replay, step_started(operation, attempt)),
                    2 | 3 => record(&mut replay, attempt_failed(operation, attempt, choices.number())),
                    _ => record(&mut replay, completed(operation, attempt)),
                }
            }
            Delivery::Diverged(divergence) => panic!("the first life diverges: {divergence:?}"),
        }
    }
    let keys = (0..).map_while(|claim| replay.key(claim)).map(|key| key.to_string()).collect();
    Life { events, keys }
}

/// The code with the script against a journal, up to where live execution goes on; or to where they disagree.
fn replays_script(
    journal: &[Event],
    script: &Script,
    by_key: bool,
    mut delivered: impl FnMut(u32, Answer),
) -> (Replay, Option<Difference>) {
    let mut replay = Replay::of_journal(journal.iter().cloned()).expect("a prefix of what is legal is legal");
    if by_key {
        replay.match_by_key();
    }
    let mut deliveries = 0;
    turns(&mut replay, script, 0);
    loop {
        match replay.next_delivery() {
            Delivery::Cancel => assert!(replay.is_cancel_told()),
            Delivery::Deliver { claim, answer, replayed } => {
                assert!(replayed);
                delivered(claim, answer);
                deliveries += 1;
                turns(&mut replay, script, deliveries);
            }
            Delivery::Nothing => return (replay, None),
            Delivery::Diverged(divergence) => return (replay, Some(divergence.difference)),
        }
    }
}

/// A replay tells the code what was recorded, in that order, and goes on with the same operations and attempts.
fn replays(journal: &[Event], live: &Life, script: &Script, by_key: bool) {
    let mut told = Vec::new();
    let (replay, difference) = replays_script(journal, script, by_key, |claim, answer| told.push((claim, answer)));
    assert_eq!(difference, None, "unchanged code and a prefix of its journal");
    let recorded = (0..journal.len())
        .filter_map(|position| Some((journal[position].operation()?.claim, answer_of(journal, position)?)));
    assert_eq!(told, recorded.collect::<Vec<_>>());
    let asked: usize = script.iter().take(told.len() + 1).map(Vec::len).sum();
    assert_eq!(replay.claims(), asked);
    for (claim, key) in (0..).zip(&live.keys[..asked]) {
        assert_eq!(replay.key(claim).as_deref(), Some(&**key));
        let failed = journal.iter().filter_map(|event| match event {
            Event::AttemptFailed(event) if *event.operation.key == **key => Some(event),
            _ => None,
        });
        let last = failed.max_by_key(|failed| failed.attempt);
        // Nobody is told of a publication, nor of the end of a child that is not attached.
        let is_over = |event: &Event| match event {
            Event::Published(published) => *published.operation.key == **key,
            Event::ChildStarted(started) => !started.attached && *started.operation.key == **key,
            _ => false,
        };
        let is_completed = journal.iter().any(is_over) || told.iter().any(|(completed, _)| *completed == claim);
        let attempt = last.map_or(1, |last| last.attempt + 1);
        let set = journal.iter().find_map(|event| match event {
            Event::TimerSet(event) if *event.operation.key == **key => Some(event.due),
            _ => None,
        });
        let has_begun = journal.iter().any(|event| match event {
            Event::StepStarted(event) => *event.operation.key == **key && event.attempt == attempt,
            Event::ChildStarted(event) => *event.operation.key == **key,
            _ => false,
        });
        let due = set.or(last.map(|last| last.retry_at)).filter(|_| !has_begun);
        let begin = Begin::Attempt { attempt, not_before: due };
        if !is_completed {
            assert_eq!(replay.begun(claim), if has_begun { Begun::Before } else { Begun::No });
        }
        assert_eq!(replay.begin(claim), if is_completed { Begin::Wait } else { begin });
    }
}
