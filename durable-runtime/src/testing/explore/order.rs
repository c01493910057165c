//! The order in which steps act and end, and timers fire: taken from one world, and given to another in which the process does not die.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::mishap::Boundary;
use super::play::Played;
use super::stage::Seen;
use super::telling::label;
use crate::clock::Timestamp;
use crate::journal::{Event, Journal, Outcome, StepCompleted};
use crate::payload::Payload;

/// The most orders of acts that a result is looked for in.
const ACTS_MAX: usize = 24;

/// What a world is given of another one: the order in which its steps act and end, and which attempts fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    /// When the run was started.
    pub(super) began: Timestamp,
    /// In which order steps end, each with its last attempt, and timers fire.
    pub(super) ends: Arc<[End]>,
    /// In which order the bodies of steps are called, one after the other; if there is none, as it comes.
    pub(super) acts: Option<Arc<[Turn]>>,
    /// Which attempts are made to fail.
    pub(super) fails: Arc<BTreeMap<(String, u32), FailsAt>>,
    /// Which attempts were interrupted, of steps that may not run twice, and what the code is told then.
    pub(super) interrupted: Arc<BTreeMap<(String, u32), Payload>>,
    /// Whether the bodies of those are called: they may have had their effects, or not.
    pub(super) interrupted_act: bool,
    /// How many attempts each step had.
    pub(super) attempts: Arc<BTreeMap<String, u32>>,
    /// Whether attempts have the time that their limits say. One that waits until it is its turn may need more.
    pub(super) has_limits: bool,
}

/// A step that ends, or a timer that fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    pub(super) key: String,
    /// What the clock says then: it is what the code may ask for.
    pub(super) at: Timestamp,
    /// Whether it ends because it is time.
    pub(super) is_time: bool,
}

/// A step in the order of acts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    pub(super) key: String,
    /// Whether the next one waits until the body has returned; one that never does is only waited for to be called.
    pub(super) returns: bool,
}

/// Where an attempt is made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FailsAt {
    /// Before its body is called.
    Acting,
    /// When its body has returned.
    Returning,
}

impl FailsAt {
    /// The one of a boundary; `None` where attempts don't fail.
    pub(super) fn of(boundary: Boundary) -> Option<Self> {
        match boundary {
            Boundary::Acts { .. } => Some(Self::Acting),
            Boundary::Returned { .. } => Some(Self::Returning),
            Boundary::Commit | Boundary::Waits => None,
        }
    }
}

/// A point at which a step may have had its effect: its body is called, or has returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) key: String,
    pub(super) returned: bool,
}

impl Order {
    /// Whether it is the turn of this step, when so many have had theirs.
    pub(super) fn may_act(&self, key: &str, passed: usize) -> bool {
        let Some(acts) = &self.acts else { return true };
        // Steps that did not act in the other world are the last ones here.
        passed >= acts.len() || acts.iter().take(passed + 1).any(|turn| turn.key == key)
    }

    /// Whether the promise with this key is not settled in time.
    pub(super) fn is_too_late_for(&self, promise: &str) -> bool {
        self.ends.iter().any(|end| end.is_time && end.key == promise)
    }

    /// Whether this is what the turns wait for, when so many have passed.
    pub(super) fn passes(&self, point: &Point, passed: usize) -> bool {
        let turn = self.acts.as_ref().and_then(|acts| acts.get(passed));
        turn.is_some_and(|turn| turn.key == point.key && turn.returns == point.returned)
    }
}

/// The orders in which the result of a world is to be had when the process does not die in it.
///
/// In which order concurrent steps end is recorded. In which order they had their effects is not: a step that was executed
/// twice may have had its effect the first time or the last time, when its body was called or when it returned. Each is
/// tried, for one step at a time.
pub(super) fn orders<O>(played: &Played<O>) -> Vec<Order> {
    let seen = &played.seen;
    let recorded = &Recorded::of(played);
    let ends = ends(seen, recorded);
    let began = played.journals().next().and_then(|first| first.events.first());
    let began = Timestamp(began.map_or(0, Event::at));
    let failed: BTreeMap<_, _> = injected(seen, recorded);
    let mut fails = vec![Arc::default()];
    if !failed.is_empty() {
        fails.push(Arc::new(failed));
    }
    let acts: Vec<Option<Arc<[Turn]>>> =
        std::iter::once(None).chain(acts(&seen.points).into_iter().map(Some)).collect();
    let (interrupted, attempts) = (Arc::new(interrupted(recorded)), Arc::new(attempts(recorded)));
    let have_acted = |(key, _): &(String, u32)| seen.points.iter().any(|point| point.key == *key);
    let interrupted_act: &[bool] = if interrupted.keys().any(have_acted) { &[false, true] } else { &[false] };
    let limits: &[bool] = if seen.has_limits { &[true, false] } else { &[true] };
    let mut orders = Vec::new();
    for fails in fails {
        for acts in &acts {
            for has_limits in limits.iter().copied() {
                for interrupted_act in interrupted_act.iter().copied() {
                    let (ends, acts, fails) = (Arc::clone(&ends), acts.clone(), Arc::clone(&fails));
                    let (interrupted, attempts) = (Arc::clone(&interrupted), Arc::clone(&attempts));
                    orders.push(Order { began, ends, acts, fails, interrupted, interrupted_act, attempts, has_limits });
                }
            }
        }
    }
    orders
}

/// What is recorded of operations, by how they are called, in the order of time.
struct Recorded<'a>(Vec<(String, &'a Event)>);

impl<'a> Recorded<'a> {
    fn of<O>(played: &'a Played<O>) -> Self {
        let (journal, children) = (&played.journal, &played.children);
        let labelled = |last: &'a Journal| {
            let before = played.parts.get(&last.run).into_iter().flatten();
            before.chain([last]).zip(1..).flat_map(|(of, part)| {
                of.events
                    .iter()
                    .filter_map(move |event| Some((label(&journal.run, &of.run, &event.operation()?.key, part), event)))
            })
        };
        // A child's, before that it has ended.
        let mut recorded: Vec<_> = children.iter().rev().chain([journal]).flat_map(labelled).collect();
        if !children.is_empty() {
            recorded.sort_by_key(|(_, event)| event.at());
        }
        Self(recorded)
    }
}

/// The steps whose last attempt returned, and the timers that fired, in the order in which they did.
fn ends(seen: &Seen, recorded: &Recorded<'_>) -> Arc<[End]> {
    let ended = recorded.0.iter().filter_map(|(key, event)| {
        let key = key.clone();
        let is_end = match event {
            Event::StepCompleted(completed) => {
                matches!(completed.outcome, Outcome::Interrupted(_))
                    || seen.returned.contains(&(key.clone(), completed.attempts))
            }
            other => other.is_outcome(),
        };
        let is_time = matches!(event, Event::TimerFired(_));
        is_end.then(|| End { key, at: Timestamp(event.at()), is_time })
    });
    ended.collect()
}

/// The attempts that were made to fail, and whose failure is recorded.
fn injected(seen: &Seen, recorded: &Recorded<'_>) -> BTreeMap<(String, u32), FailsAt> {
    let failed = recorded.0.iter().filter_map(|(key, event)| match event {
        Event::AttemptFailed(failed) => Some((key.clone(), failed.attempt)),
        _ => None,
    });
    failed.filter_map(|attempt| seen.made_to_fail.get(&attempt).map(|at| (attempt, *at))).collect()
}

fn attempts(recorded: &Recorded<'_>) -> BTreeMap<String, u32> {
    let attempts = recorded.0.iter().filter_map(|(key, event)| match event {
        Event::StepCompleted(completed) => Some((key.clone(), completed.attempts)),
        _ => None,
    });
    attempts.collect()
}

/// The attempts that were interrupted, and what the code was told.
fn interrupted(recorded: &Recorded<'_>) -> BTreeMap<(String, u32), Payload> {
    let interrupted = recorded.0.iter().filter_map(|(key, event)| match event {
        Event::StepCompleted(StepCompleted { attempts, outcome: Outcome::Interrupted(told), .. }) => {
            Some(((key.clone(), *attempts), told.clone()))
        }
        _ => None,
    });
    interrupted.collect()
}

/// The orders in which the steps may have had their effects.
fn acts(points: &[Point]) -> Vec<Arc<[Turn]>> {
    let mut places: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (place, point) in points.iter().enumerate() {
        places.entry(&point.key).or_default().push(place);
    }
    let in_order = |chosen: &BTreeMap<&str, usize>| -> Vec<Turn> {
        let by_place: BTreeMap<usize, &str> = chosen.iter().map(|(key, place)| (*place, *key)).collect();
        let returns = |key: &str| points.iter().any(|point| point.returned && point.key == key);
        by_place.into_values().map(|key| Turn { key: key.to_owned(), returns: returns(key) }).collect()
    };
    let all = |choose: fn(&Vec<usize>) -> Option<&usize>| -> BTreeMap<&str, usize> {
        places.iter().filter_map(|(key, places)| Some((*key, *choose(places)?))).collect()
    };
    let (first, last) = (all(|places| places.first()), all(|places| places.last()));
    let mut orders = vec![in_order(&first), in_order(&last)];
    for (key, places) in &places {
        for place in places {
            for others in [&last, &first] {
                let mut chosen = others.clone();
                chosen.insert(key, *place);
                orders.push(in_order(&chosen));
            }
        }
    }
    let mut known = BTreeSet::new();
    orders.retain(|order| known.insert(order.clone()));
    orders.truncate(ACTS_MAX);
    orders.into_iter().map(Arc::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(text: &str) -> Vec<Point> {
        let point = |word: &str| Point { key: word.trim_end_matches('.').to_owned(), returned: word.ends_with('.') };
        text.split(' ').map(point).collect()
    }

    fn told(points: &[Point]) -> Vec<String> {
        let one = |order: Arc<[Turn]>| order.iter().map(|turn| turn.key.as_str()).collect::<String>();
        acts(points).into_iter().map(one).collect()
    }

    #[test]
    fn bodies_that_do_not_overlap_have_one_order() {
        assert_eq!(told(&points("a a. b b. c")), ["abc"]);
    }

    #[test]
    fn bodies_that_overlap_have_any_order() {
        assert_eq!(told(&points("a b b. a.")), ["ab", "ba"]);
    }

    /// The first time, or again, behind the other.
    #[test]
    fn bodies_that_are_called_again_had_their_effect_then_or_before() {
        assert_eq!(told(&points("a a. b b. a a.")), ["ab", "ba"]);
    }

    #[test]
    fn many_orders_are_some() {
        let overlapping: Vec<String> = (0..40).map(|step| format!("s{step}")).collect();
        let twice = format!("{0} {0}", overlapping.join(" "));
        assert_eq!(acts(&points(&twice)).len(), ACTS_MAX);
    }

    #[test]
    fn turns_wait_for_each_other() {
        let acts = acts(&points("a b b.")).into_iter().next();
        let order = Order {
            began: Timestamp(0),
            ends: Arc::from([]),
            acts,
            fails: Arc::default(),
            interrupted: Arc::default(),
            interrupted_act: false,
            attempts: Arc::default(),
            has_limits: true,
        };
        assert!(order.may_act("a", 0) && !order.may_act("b", 0) && !order.may_act("c", 0));
        let [called, returned] = [false, true].map(|returned| move |key: &str| Point { key: key.to_owned(), returned });
        // `a` never returned: it is only waited for to be called.
        assert!(order.passes(&called("a"), 0) && !order.passes(&returned("a"), 0));
        assert!(order.may_act("a", 1) && order.may_act("b", 1) && !order.may_act("c", 1));
        assert!(!order.passes(&called("b"), 1) && order.passes(&returned("b"), 1));
        assert!(order.may_act("c", 2) && !order.passes(&called("c"), 2));
    }
}
