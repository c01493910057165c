//! The places against a model that looks at every run each time.

use std::time::Duration;

use super::{Next, Places, Queue};
use crate::clock::Timestamp;
use crate::id::RunId;
use crate::journal::Queued;

const NOW: Timestamp = Timestamp(1_000_000_000);

fn run(name: &str) -> RunId {
    RunId::new(name).expect("a run's id")
}

fn queued(queue: &str, priority: u32, key: Option<&str>) -> Queued {
    Queued { name: queue.to_owned().into(), priority, key: key.map(|key| key.to_owned().into()) }
}

fn places(queue: Queue) -> Places {
    let mut places = Places::default();
    places.declare(vec![queue]);
    places.open(NOW);
    places
}

/// Those that begin at once, in order.
fn beginning(places: &mut Places) -> Vec<String> {
    std::iter::from_fn(|| match places.next(NOW) {
        Next::Begin(run) => Some(run.to_string()),
        Next::At(_) | Next::Nothing => None,
    })
    .collect()
}

#[test]
fn the_lowest_priority_is_next_and_then_the_one_that_was_started_first() {
    let mut places = places(Queue::new("q").concurrency(1));
    for (name, priority, since) in [("late", 0, 9), ("b", 0, 5), ("a", 0, 5), ("low", 7, 1), ("first", 0, 2)] {
        places.wait(&run(name), &queued("q", priority, None), since);
    }
    let mut order = Vec::new();
    while let [next] = &*beginning(&mut places) {
        order.push(next.clone());
        places.end(&run(next));
    }
    assert_eq!(order, ["first", "a", "b", "late", "low"]);
    assert_eq!(places.count("q"), Some((0, 0)));
}

#[test]
fn as_many_have_begun_as_may_and_one_that_is_resumed_is_one_too_many() {
    let mut places = places(Queue::new("q").concurrency(2));
    for name in ["a", "b", "c", "d"] {
        places.wait(&run(name), &queued("q", 0, None), 1);
    }
    assert_eq!(beginning(&mut places), ["a", "b"]);
    places.begin(&run("halted before"), &queued("q", 0, None));
    assert_eq!(places.count("q"), Some((2, 3)));
    places.end(&run("a"));
    assert_eq!(beginning(&mut places), Vec::<String>::new());
    places.end(&run("halted before"));
    assert_eq!(beginning(&mut places), ["c"]);
    // It did not wait for its turn.
    places.begin(&run("d"), &queued("q", 0, None));
    assert_eq!(places.count("q"), Some((0, 3)));
}

#[test]
fn of_a_key_one_has_begun_and_the_others_hold_nobody_up() {
    let mut places = places(Queue::new("q"));
    for (name, key, since) in [("a1", "a", 1), ("a2", "a", 2), ("b1", "b", 3)] {
        places.wait(&run(name), &queued("q", 0, Some(key)), since);
    }
    places.wait(&run("free"), &queued("q", 0, None), 4);
    assert_eq!(beginning(&mut places), ["a1", "b1", "free"]);
    places.end(&run("b1"));
    assert_eq!(beginning(&mut places), Vec::<String>::new());
    places.wait(&run("a0"), &queued("q", 0, Some("a")), 0);
    places.end(&run("a1"));
    assert_eq!(beginning(&mut places), ["a0"]);
    // Cancelled while it waited.
    places.end(&run("a2"));
    places.end(&run("a0"));
    assert_eq!((beginning(&mut places), places.count("q")), (Vec::new(), Some((0, 1))));
}

#[test]
fn runs_begin_evenly_spaced_and_the_first_one_so_long_after_opening() {
    let mut places = places(Queue::new("q").rate(4, Duration::from_secs(1)));
    for number in 0..3 {
        places.wait(&run(&format!("r{number}")), &queued("q", 0, None), 1);
    }
    assert_eq!(places.next(NOW), Next::At(NOW.after(Duration::from_millis(250))));
    let first = NOW.after(Duration::from_millis(250));
    assert_eq!(places.next(first), Next::Begin(run("r0")));
    assert_eq!(places.next(first), Next::At(first.after(Duration::from_millis(250))));
    // What was not used is not saved up.
    let later = first.after(Duration::from_mins(1));
    assert_eq!(places.next(later), Next::Begin(run("r1")));
    assert_eq!(places.next(later), Next::At(later.after(Duration::from_millis(250))));
    // The clock is set back by a day: it does not wait for a day.
    let back = Timestamp(later.0 - 86_400_000);
    assert_eq!(places.next(back), Next::At(back.after(Duration::from_millis(250))));
}

#[test]
fn a_rate_of_many_per_millisecond_is_kept() {
    let mut places = places(Queue::new("q").rate(10_000, Duration::from_secs(1)));
    for number in 0..100 {
        places.wait(&run(&format!("r{number:03}")), &queued("q", 0, None), 1);
    }
    let begun = (1..=5).map(|millis| {
        let now = NOW.after(Duration::from_millis(millis));
        std::iter::from_fn(|| matches!(places.next(now), Next::Begin(_)).then_some(())).count()
    });
    assert_eq!(begun.collect::<Vec<_>>(), [10; 5]);
}

#[test]
fn who_is_one_too_many_is_refused_and_who_was_not_recorded_leaves_its_room() {
    let mut places = places(Queue::new("q").concurrency(1).capacity(2));
    for name in ["a", "b"] {
        assert_eq!(places.promise(&run(name), &queued("q", 0, None)), Ok(()));
    }
    assert_eq!(places.promise(&run("c"), &queued("q", 0, None)), Err(2));
    assert_eq!(places.promise(&run("a"), &queued("q", 0, None)), Ok(()), "it is counted already");
    places.retract(&run("b"));
    assert_eq!(places.promise(&run("c"), &queued("q", 0, None)), Ok(()));
    assert_eq!(beginning(&mut places), Vec::<String>::new(), "nothing of them is recorded");
    places.wait(&run("a"), &queued("q", 0, None), 1);
    places.retract(&run("a"));
    places.wait(&run("a"), &queued("q", 0, None), 1);
    assert_eq!((beginning(&mut places), places.count("q")), (vec!["a".to_owned()], Some((1, 1))));
    assert_eq!(places.promise(&run("x"), &queued("unknown", 0, None)), Ok(()));
    places.wait(&run("x"), &queued("unknown", 0, None), 1);
    assert!(!places.knows(&run("x")));
}

/// A run of the model.
#[derive(Debug, Clone)]
struct Model {
    id: RunId,
    queued: Queued,
    since: u64,
    has_begun: bool,
}

fn model_next(runs: &[Model], concurrency: usize) -> Option<RunId> {
    let begun = |run: &&Model| run.has_begun;
    if runs.iter().filter(begun).count() >= concurrency {
        return None;
    }
    let is_busy = |key: &Option<_>| key.is_some() && runs.iter().any(|run| run.has_begun && run.queued.key == *key);
    let waiting = runs.iter().filter(|run| !run.has_begun && !is_busy(&run.queued.key));
    waiting.min_by_key(|run| (run.queued.priority, run.since, run.id.clone())).map(|run| run.id.clone())
}

#[test]
fn any_history_gives_the_places_that_the_model_gives() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = move |end: u32| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from(seed >> 33).unwrap_or_default() % end
    };
    for history in 0..200 {
        let concurrency = 1 + below(4) as usize;
        let mut places = places(Queue::new("q").concurrency(concurrency));
        let mut runs: Vec<Model> = Vec::new();
        for step in 0..200 {
            let id = run(&format!("r{}", below(12)));
            let key = ["a", "b", "c"].get(below(5) as usize).copied();
            let known = runs.iter().position(|run| run.id == id);
            match (below(6), known) {
                (0..=2, None) => {
                    let (queued, since) = (queued("q", below(3), key), u64::from(below(5)));
                    places.wait(&id, &queued, since);
                    runs.push(Model { id, queued, since, has_begun: false });
                }
                (0..=2, Some(known)) => places.wait(&id, &runs[known].queued.clone(), 0),
                (3, None) => {
                    let queued = queued("q", 0, key);
                    places.begin(&id, &queued);
                    runs.push(Model { id, queued, since: 0, has_begun: true });
                }
                (3, Some(known)) => {
                    places.begin(&id, &runs[known].queued.clone());
                    runs[known].has_begun = true;
                }
                (4, known) => {
                    places.end(&id);
                    known.map(|known| runs.remove(known));
                }
                _ => {
                    let expected = model_next(&runs, concurrency);
                    let given = match places.next(NOW) {
                        Next::Begin(run) => Some(run),
                        Next::At(_) | Next::Nothing => None,
                    };
                    assert_eq!(given, expected, "history {history}, step {step}: {runs:?}");
                    if let Some(begun) = runs.iter_mut().find(|run| Some(&run.id) == given.as_ref()) {
                        begun.has_begun = true;
                    }
                }
            }
            let begun = runs.iter().filter(|run| run.has_begun).count();
            assert_eq!(places.count("q"), Some((runs.len() - begun, begun)), "history {history}, step {step}");
        }
    }
}
