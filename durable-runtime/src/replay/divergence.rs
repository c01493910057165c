//! A disagreement of code and journal, and how it is told: to somebody who was woken by it, and who sees this message
//! alone in a log.

use std::fmt;
use std::sync::Arc;

use super::diff::differences;
use crate::function::{CallSite, OnChange};
use crate::id::{Position, RunId};
use crate::journal::{Arguments, CodeId, Event, Operation};

/// How many places of a name are listed.
const PLACES_MAX: usize = 3;

/// What disagrees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Difference {
    /// The code asked for another name at this place.
    Key,
    /// The code asked for another kind of operation.
    Kind,
    /// The arguments are others.
    Arguments,
    /// The code asked for it earlier or later than it was recorded.
    Order,
    /// The code waits, but did not ask for what is recorded next.
    NotClaimed,
    /// The code returned without asking for what is recorded.
    LeftOver,
    /// The code waits for something that is not an operation of the run.
    ForeignWait,
    /// The run took the old path of the patch with this id, and the code has only the new one.
    RetiredPatch(&'static str),
    /// The code went on although no operation of the run had ended.
    ForeignWake,
}

/// A disagreement of code and journal (R9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Divergence {
    pub(crate) difference: Difference,
    /// What the journal has, and the position of its first record.
    pub(crate) recorded: Option<(Position, Operation)>,
    /// What the code asked for, or its latest request if it asked for nothing here.
    pub(crate) current: Option<Operation>,
    /// Where the key that the code asked for is recorded, if that is another place.
    pub(crate) elsewhere: Option<Position>,
    /// How many records the journal has.
    pub(crate) length: Position,
}

/// How the code that is running relates to the code that started the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CodeChange {
    /// The name of the function.
    pub(crate) function: &'static str,
    /// Version of the function then and now.
    pub(crate) versions: (u32, u32),
    /// Fingerprint of the function then and now.
    pub(crate) fingerprints: (u64, u64),
    /// Other code that has gone on with the run since, if any: the latest that recorded something of an operation.
    pub(crate) since: Option<CodeId>,
    /// What the function wants to become of runs of other code.
    pub(crate) on_change: OnChange,
    /// The operations that are written in the function's body now.
    pub(crate) call_sites: &'static [CallSite],
}

impl CodeChange {
    /// Whether the code finds what is recorded by its keys.
    pub(crate) fn is_by_key(&self) -> bool {
        self.on_change == OnChange::Resume && self.is_changed()
    }

    /// Whether other code than this has recorded something of the run.
    pub(crate) fn is_changed(&self) -> bool {
        self.versions.0 != self.versions.1 || self.fingerprints.0 != self.fingerprints.1 || self.since.is_some()
    }
}

/// The latest code that recorded something of an operation, and is neither `present` nor the code that started the run.
pub(crate) fn went_on_since(events: &[Event], present: CodeId) -> Option<CodeId> {
    let (mut writing, mut latest) = (None, None);
    let mut first = None;
    for event in events {
        match event {
            Event::Started(started) => {
                first = Some(CodeId { version: started.version, fingerprint: started.fingerprint });
            }
            Event::Recovered { code, .. } => writing = *code,
            Event::AttemptFailed(_)
            | Event::StepCompleted(_)
            | Event::TimerSet(_)
            | Event::TimerFired(_)
            | Event::SignalTaken(_)
            | Event::PromiseTaken(_)
            | Event::StepStarted(_)
            | Event::ChildStarted(_)
            | Event::Published(_)
            | Event::Emitted(_)
            | Event::UndoPlanned(_) => {
                latest = writing.filter(|code| *code != present && Some(*code) != first).or(latest);
            }
            Event::Halted(_)
            | Event::Resumed { .. }
            | Event::Finished(_)
            | Event::Patched(_)
            | Event::SignalReceived(_)
            | Event::PromiseSettled(_)
            | Event::ChildEnded(_)
            | Event::Cancelled(_)
            | Event::CancelRequested(_)
            | Event::Kept(_)
            | Event::Begun { .. } => {}
        }
    }
    latest
}

impl Divergence {
    /// The key of what the journal has.
    pub(crate) fn key(&self) -> Option<Arc<str>> {
        self.recorded.as_ref().map(|(_, operation)| operation.key.clone())
    }

    /// The whole story: what was recorded, what the code does now, why that may be, and what to do.
    pub(crate) fn explain(&self, run: &RunId, change: &CodeChange) -> String {
        let mut story = Story(format!("run `{run}` of `{}` can't go on: {}", change.function, self.what()));
        self.tell_operations(&mut story);
        if self.difference == Difference::Arguments {
            let arguments = |operation: Option<&Operation>| operation.and_then(|one| one.arguments.clone());
            let recorded = arguments(self.recorded.as_ref().map(|(_, operation)| operation));
            story.tell("differs", differences(recorded.as_ref(), arguments(self.current.as_ref()).as_ref()));
        }
        for note in self.notes(change) {
            story.tell("note", [note]);
        }
        story.tell("cause", self.cause(change));
        match &*self.choices(change) {
            [only] => story.tell("do this", [format!("{only}, deploy that, then resume the run")]),
            choices => {
                let choices = (1..).zip(choices).map(|(number, choice)| format!("{number}. {choice}"));
                story.tell(
                    "do this",
                    std::iter::once("one of these, deploy that, then resume the run:".to_owned()).chain(choices),
                );
            }
        }
        story.0
    }

    fn what(&self) -> String {
        let recorded = Named(self.recorded.as_ref().map(|(_, operation)| operation));
        let current = Named(self.current.as_ref());
        match self.difference {
            Difference::Key => format!("its code asks for {current} where {recorded} is recorded"),
            Difference::Kind => format!("its code asks for {current}, which is recorded as {recorded}"),
            Difference::Arguments => format!("its code passes other arguments to {current} than those recorded"),
            Difference::Order => match (&self.recorded, &self.current) {
                (Some((_, recorded)), Some(now)) => format!(
                    "its code asks for {current} as operation {}, which is recorded as operation {}",
                    u64::from(now.claim) + 1,
                    u64::from(recorded.claim) + 1
                ),
                _ => format!("its code asks for {current} at another place than recorded"),
            },
            Difference::NotClaimed => format!("its code waits, and has not asked for {recorded}, which is recorded"),
            Difference::LeftOver => format!("its code returned, and never asked for {recorded}, which is recorded"),
            Difference::ForeignWait => {
                "its code waits for something that is not an operation of the run, so nothing recorded can wake it"
                    .to_owned()
            }
            Difference::ForeignWake => {
                "its code went on although none of its operations had ended: what woke it is not an operation of the run, so no replay can repeat that"
                    .to_owned()
            }
            Difference::RetiredPatch(id) => {
                format!("it took the old path of patch `{id}`, and its code has only the new one")
            }
        }
    }

    fn tell_operations(&self, story: &mut Story) {
        let length = self.length;
        match &self.recorded {
            Some((position, operation)) => {
                let place = format!("record {} of {length}", position.next());
                story.tell("recorded", told(operation, Some(&place)));
            }
            None => story.tell("recorded", [format!("{length} records, all of them replayed")]),
        }
        let label = match self.difference {
            Difference::Key
            | Difference::Kind
            | Difference::Arguments
            | Difference::Order
            | Difference::ForeignWake => "current",
            Difference::NotClaimed | Difference::LeftOver | Difference::ForeignWait | Difference::RetiredPatch(_) => {
                "latest"
            }
        };
        match &self.current {
            Some(operation) => {
                let mut lines = told(operation, None);
                if let (Difference::Key, Some((_, recorded))) = (self.difference, &self.recorded)
                    && (recorded.digest == operation.digest && recorded.arguments.is_some())
                {
                    lines.push("arguments: the same".to_owned());
                }
                story.tell(label, lines);
            }
            None => story.tell(label, ["the code has asked for nothing".to_owned()]),
        }
    }

    /// What helps to find the change.
    fn notes(&self, change: &CodeChange) -> Vec<String> {
        let mut notes = Vec::new();
        match self.difference {
            Difference::Arguments
            | Difference::Kind
            | Difference::ForeignWait
            | Difference::ForeignWake
            | Difference::RetiredPatch(_) => return notes,
            Difference::Key | Difference::Order | Difference::NotClaimed | Difference::LeftOver => {}
        }
        let Some((_, recorded)) = &self.recorded else { return notes };
        if let (Difference::Key, Some(current)) = (self.difference, &self.current) {
            let named = Named(Some(current));
            notes.push(match self.elsewhere {
                Some(position) => format!(
                    "{named} is recorded as well, as record {} of {}: something before it was removed, or the order has changed",
                    position.next(),
                    self.length
                ),
                None => format!(
                    "{named} is recorded nowhere in this run: it was inserted, or it is {} under another name",
                    Named(Some(recorded))
                ),
            });
        }
        notes.extend(places(recorded, change));
        notes
    }

    fn cause(&self, change: &CodeChange) -> Vec<String> {
        let CodeChange { function, versions: (version_then, version), fingerprints: (then, now), .. } = change;
        match self.difference {
            Difference::ForeignWait | Difference::ForeignWake => return Vec::new(),
            Difference::RetiredPatch(id) => {
                return vec![format!(
                    "the run was beyond `ctx.deprecate_patch({id:?})` before there was a patch `{id}`, and goes on as it began"
                )];
            }
            Difference::Key
            | Difference::Kind
            | Difference::Arguments
            | Difference::Order
            | Difference::NotClaimed
            | Difference::LeftOver => {}
        }
        let line = match (then != now, version_then != version) {
            (true, true) => format!(
                "the code of {function} has changed since the run was started (version {version_then} then, {version} now; fingerprint {then:016x} then, {now:016x} now)"
            ),
            (true, false) => format!(
                "the code of {function} has changed since the run was started (fingerprint {then:016x} then, {now:016x} now; version {version} both times)"
            ),
            (false, true) => format!(
                "a new version of {function} was deployed since the run was started (version {version_then} then, {version} now), though the text of its body is the same: what has changed is a helper or a type that it uses, or nothing, and then it is not deterministic"
            ),
            (false, false) if let Some(CodeId { version: since, fingerprint: latest }) = change.since => format!(
                "other code of {function} has gone on with the run since it was started (version {since}, fingerprint {latest:016x}), and the present code, which started it (version {version}, fingerprint {now:016x}), does not fit what that one recorded"
            ),
            (false, false) => format!(
                "the code of {function} is the one that started the run (version {version}, fingerprint {now:016x}), so it is not deterministic: it depends on a clock, on randomness, on the order of a hash map, or on state outside of its run. Or a helper or a type that it uses has changed, which the fingerprint does not see"
            ),
        };
        vec![line]
    }

    /// What can be done.
    fn choices(&self, change: &CodeChange) -> Vec<String> {
        let into_a_step = |what: &str| format!("move what {what} into a step, `ctx.run(\"name\", async || {{ … }})`");
        let is_found_by_key = match self.difference {
            Difference::ForeignWait => return vec![into_a_step("the code waits for")],
            Difference::ForeignWake => return vec![into_a_step("woke the code")],
            Difference::RetiredPatch(id) => {
                return vec![format!(
                    "bring the old path back, `if ctx.patched({id:?}) {{ … }} else {{ … }}`, for as long as there are runs like this one"
                )];
            }
            Difference::Kind | Difference::Arguments => false,
            Difference::Key | Difference::Order | Difference::NotClaimed | Difference::LeftOver => true,
        };
        if !change.is_changed() {
            return vec![
                into_a_step("is not deterministic"),
                "if a helper or a type has changed: go back to the old one, or keep both with `ctx.patched(\"some-id\")`"
                    .to_owned(),
            ];
        }
        let mut choices = vec![
            match change.since {
                Some(code) => format!("go back to the code that went on with the run last (version {})", code.version),
                None => format!("go back to the code that started the run (version {})", change.versions.0),
            },
            "keep the old way for this run: `if ctx.patched(\"some-id\") { /* new */ } else { /* old */ }`".to_owned(),
        ];
        if is_found_by_key && change.on_change == OnChange::Halt {
            choices.push(
                "let this run go on with the outcomes recorded under the same keys, in any order: `#[durable(on_change = \"resume\")]`. Recorded steps that are gone are passed over; inserted and renamed ones run"
                    .to_owned(),
            );
        }
        choices
    }
}

/// Where the recorded name is in the code now. Only what is written in the function's own body is known: a helper's
/// steps are not, nor names that are made up at run time.
fn places(recorded: &Operation, change: &CodeChange) -> Option<String> {
    let name = recorded.key.split('#').next().unwrap_or_default();
    let function = change.function;
    let places: Vec<String> = change
        .call_sites
        .iter()
        .filter(|site| site.name == name)
        .take(PLACES_MAX)
        .map(|site| format!("{}:{}", site.file, site.line))
        .collect();
    let is_all_known = !change.call_sites.is_empty() && change.call_sites.iter().all(|site| !site.name.is_empty());
    match (places.is_empty(), is_all_known) {
        (false, _) => Some(format!("in {function}'s own body, `ctx.run` of `{name}` is now at {}", places.join(", "))),
        (true, true) => Some(format!("no `ctx.run` in {function}'s own body is named `{name}`")),
        (true, false) => None,
    }
}

fn told(operation: &Operation, record: Option<&str>) -> Vec<String> {
    let Operation { key, kind, site, arguments, .. } = operation;
    let record = record.map(|record| format!(", {record}")).unwrap_or_default();
    let shown = |arguments: &Arguments| format!("arguments: {arguments}");
    std::iter::once(format!("{kind} `{key}` at {site}{record}")).chain(arguments.as_ref().map(shown)).collect()
}

/// An operation by kind and key.
struct Named<'a>(Option<&'a Operation>);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(operation) => write!(f, "{} `{}`", operation.kind, operation.key),
            None => f.write_str("an operation"),
        }
    }
}

/// A message of several parts, each with a label.
struct Story(String);

impl Story {
    /// Adds a part: its label stands before its first line. Nothing if there are no lines.
    fn tell(&mut self, label: &str, lines: impl IntoIterator<Item = String>) {
        let mut label = format!("{label}:");
        for line in lines {
            self.0.extend(["\n  ", &format!("{label:<10}"), &line]);
            label.clear();
        }
    }
}
