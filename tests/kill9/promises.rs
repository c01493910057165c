//! Every rule of the [`Ledger`], with the shortest story that breaks it.

use crate::fact::{Execution, Fact, Known, Refusal};
use crate::ledger::{Ledger, Violation};

type Story = Vec<(u32, Fact)>;

/// The order of all stories: one that breaks and is not refused.
const ORDER: u64 = 4;

fn run() -> String {
    format!("order-{ORDER:06}")
}

fn execution(step: &str, life: u32, attempt: u32) -> Execution {
    Execution { key: format!("{}:{step}", run()), life, attempt }
}

fn effect(step: &str, life: u32, attempt: u32) -> (u32, Fact) {
    (life, Fact::Effect(execution(step, life, attempt)))
}

fn durable(told: u32, step: &str, life: u32, attempt: u32) -> (u32, Fact) {
    (told, Fact::Durable(execution(step, life, attempt)))
}

fn finished(told: u32, outcomes: Vec<Execution>) -> (u32, Fact) {
    (told, Fact::Finished { run: run(), result: Ok(outcomes) })
}

fn started(life: u32) -> (u32, Fact) {
    (life, Fact::Started { run: run() })
}

fn halted(life: u32) -> (u32, Fact) {
    (life, Fact::Halted { run: run() })
}

fn delivered(told: u32, key: &str, step: &str, life: u32) -> (u32, Fact) {
    (told, Fact::Delivered { id: format!("{}:{key}", run()), event: execution(step, life, 1) })
}

/// A store is opened that knows the run so, or does not know it.
fn opened(life: u32, known: Option<Known>) -> Story {
    let runs = known.map(|known| (ORDER, known)).into_iter().collect();
    let opened = Fact::Opened { resumed: usize::from(known == Some(Known::Running)), skipped: Vec::new() };
    vec![(life, Fact::Opening), (life, Fact::Found { runs }), (life, opened)]
}

fn tell(story: &[(u32, Fact)]) -> Result<Ledger, Violation> {
    let mut ledger = Ledger::default();
    story.iter().cloned().try_for_each(|(life, fact)| ledger.hear(life, fact)).map(|()| ledger)
}

/// The ledger's rules, each with the shortest story that breaks it (R5).
pub(crate) fn each_broken_promise_is_noticed() {
    let fine = [
        opened(1, None),
        vec![started(1), effect("a", 1, 1), effect("b", 1, 1)],
        opened(2, Some(Known::Running)),
        vec![effect("a", 2, 1), effect("b", 2, 2), durable(2, "a", 2, 1), effect("weigh", 2, 1), halted(2)],
        vec![effect("weigh", 2, 1), halted(2)],
        opened(3, Some(Known::Halted)),
        vec![effect("weigh", 3, 1), effect("courier", 3, 1), effect("post", 3, 1), durable(3, "b", 2, 2)],
        vec![delivered(2, "e", "a", 2), delivered(3, "e", "a", 2), delivered(3, "e#2", "a", 2)],
        vec![(3, Fact::Done { interrupted: 0 })],
        opened(4, Some(Known::Running)),
        vec![effect("courier", 4, 1), durable(4, "courier", 4, 1), durable(4, "weigh", 3, 1)],
        vec![finished(4, vec![execution("b", 2, 2), execution("a", 2, 1)])],
        opened(5, Some(Known::Ended)),
        vec![finished(5, vec![execution("b", 2, 2), execution("a", 2, 1)])],
    ]
    .concat();
    let mut ledger = tell(&fine).expect("nothing was broken");
    let counts = ledger.counts();
    assert_eq!((counts.executions, counts.attempts, counts.repeated, counts.mended), (10, 6, 2, 2), "{counts}");
    assert_eq!((counts.delivered, counts.delivered_again), (2, 1), "{counts}");
    assert_eq!((counts.checkpoints, counts.recovered, counts.visits, counts.doubled()), (4, 2, 1, 0), "{counts}");

    ledger.inspected(&run(), 6, 9);
    assert_eq!(ledger.counts().lost(), 0, "{}", ledger.counts());
    let mut wanting = tell(&fine).expect("nothing was broken");
    wanting.inspected(&run(), 5, 9);
    assert_eq!(wanting.counts().lost(), 1, "one outcome was not found");

    let deleting = |ledger: &mut Ledger| ledger.hear(6, Fact::Deleting { run: run() });
    let deleted = |existed| Fact::Deleted { run: run(), existed };
    deleting(&mut ledger).expect("it was inspected");
    let mut half_deleted = ledger.clone();
    expect("was not there", half_deleted.hear(6, deleted(false)));
    ledger.hear(6, deleted(true)).expect("it was there");
    let back = opened(7, Some(Known::Ended));
    for (expected, story) in [
        ("is back", &back),
        ("after it was deleted", &vec![effect("a", 7, 1)]),
        ("after it was deleted", &vec![started(7)]),
        ("after it was deleted", &vec![finished(7, Vec::new())]),
    ] {
        let mut ledger = ledger.clone();
        expect(expected, story.iter().cloned().try_for_each(|(life, fact)| ledger.hear(life, fact)));
    }
    // Whether a deletion that was killed has happened is told by the store, and then it stays so.
    opened(7, None).into_iter().chain(opened(8, None)).for_each(|(life, fact)| half_deleted.hear(life, fact).unwrap());
    expect("is back", back.iter().cloned().try_for_each(|(life, fact)| half_deleted.hear(life, fact)));

    for (expected, story) in broken_stories() {
        expect(expected, tell(&story).map(drop));
    }
}

fn expect(expected: &str, told: Result<(), Violation>) {
    match told {
        Err(Violation::BrokenPromise(message)) if message.contains(expected) => {}
        other => panic!("expected {expected:?}, got {other:?}"),
    }
}

fn broken_stories() -> Vec<(&'static str, Story)> {
    let refused = |told, by| (told, Fact::Finished { run: run(), result: Err(Refusal { by }) });
    let skipped = Fact::Opened { resumed: 0, skipped: vec![run()] };
    let other_halted = (1, Fact::Halted { run: "order-000000".to_owned() });
    let in_order = (1, Fact::Done { interrupted: 0 });
    let once = vec![effect("a", 1, 1), finished(1, vec![execution("a", 1, 1)])];
    let raced = vec![effect("courier", 1, 1), effect("post", 1, 1), durable(1, "post", 1, 1)];
    let emitted = vec![effect("a", 1, 1), delivered(1, "e", "a", 1)];
    vec![
        ("is the outcome", vec![delivered(1, "e", "a", 1)]),
        ("of another run", vec![(1, Fact::Delivered { id: "order-000000:e".to_owned(), event: execution("a", 1, 1) })]),
        ("and was", [emitted.clone(), vec![effect("b", 1, 1), delivered(2, "e", "b", 1)]].concat()),
        ("and before in [1]", [emitted.clone(), vec![delivered(1, "e", "a", 1)]].concat()),
        ("and before in [1]", [emitted.clone(), vec![in_order.clone(), delivered(2, "e", "a", 1)]].concat()),
        ("acknowledged checkpoint", [emitted, vec![effect("a", 2, 1)]].concat()),
        ("does not know it", [vec![started(1)], opened(2, None)].concat()),
        ("does not know it", [vec![effect("a", 1, 1)], opened(2, None)].concat()),
        ("is unfinished", [once.clone(), opened(2, Some(Known::Running))].concat()),
        ("is unfinished", [once.clone(), opened(2, Some(Known::Halted))].concat()),
        ("not continued", vec![(1, skipped)]),
        ("halted for no reason", vec![other_halted]),
        ("acknowledged checkpoint", vec![effect("a", 1, 1), durable(1, "a", 1, 1), effect("a", 2, 1)]),
        ("acknowledged checkpoint", vec![effect("a", 1, 1), durable(1, "a", 1, 1), effect("a", 1, 2)]),
        ("had won the race", [raced, vec![effect("courier", 2, 1)]].concat()),
        ("came after", vec![effect("a", 1, 1), effect("a", 1, 1)]),
        ("came after", vec![effect("a", 1, 1), effect("a", 1, 2), effect("a", 2, 1)]),
        ("came after", vec![effect("a", 1, 1), effect("a", 2, 3)]),
        ("came after", vec![effect("a", 1, 2)]),
        ("came after", vec![effect("a", 1, 1), in_order, effect("a", 2, 1)]),
        ("came after", vec![effect("a", 1, 1), halted(1), effect("a", 1, 1), effect("a", 1, 1)]),
        ("two outcomes", vec![effect("a", 1, 1), durable(1, "a", 1, 1), durable(2, "a", 2, 1)]),
        ("is the outcome", vec![effect("a", 1, 1), effect("a", 2, 1), durable(2, "a", 1, 1)]),
        ("is the outcome", vec![durable(1, "a", 1, 1)]),
        ("is the outcome", vec![finished(1, vec![execution("a", 1, 1)])]),
        ("has no outcome", vec![effect("a", 1, 1), finished(1, Vec::new())]),
        ("has no outcome", vec![effect("courier", 1, 1), effect("post", 1, 1), finished(1, Vec::new())]),
        ("returned", vec![effect("a", 1, 1), refused(1, execution("a", 1, 1))]),
        ("after its run had finished", vec![finished(1, Vec::new()), effect("a", 1, 1)]),
        ("now Ok([])", [once, vec![finished(2, Vec::new())]].concat()),
    ]
}
