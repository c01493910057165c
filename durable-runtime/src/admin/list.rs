//! Finding runs: page by page, by what is in their first and their last record.

use std::collections::BTreeMap;

use super::info::tags_of;
use crate::clock::Timestamp;
use crate::engine::{Ends, Loaded, decode_ends, halt_of, load};
use crate::error::AdminError;
use crate::halt::{Halt, HaltReason};
use crate::id::{Fence, Position, RunId};
use crate::journal::{Event, last_of};
use crate::runtime::Runtime;
use crate::start::correlation_of;
use crate::store::{RunHead, RunStatus, Store, StoreError};

/// The most runs that one call of [`Runtime::list`] returns.
pub const LIST_MAX: usize = 1_000;

/// The most runs that one call of [`Runtime::list`] looks at, whether or not they are what is asked for.
pub const LIST_LOOKS_MAX: usize = 10_000;

/// How many heads are read from the store in one go.
const PAGE: usize = 500;

/// Which runs are asked for: those that are all that it says. Without anything, all runs.
///
/// ```
/// use durable_runtime::{RunFilter, RunStatus, Timestamp};
/// let morning = RunFilter::new()
///     .status(RunStatus::Failed)
///     .function("process_order")
///     .started_since(Timestamp(1_767_247_200_000))
///     .started_before(Timestamp(1_767_261_600_000))
///     .id_prefix("ord_");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use = "a filter finds nothing by itself: give it to `Runtime::list`"]
pub struct RunFilter {
    status: Option<RunStatus>,
    function: Option<String>,
    tags: BTreeMap<String, String>,
    correlation_id: Option<String>,
    started_since: Option<Timestamp>,
    started_before: Option<Timestamp>,
    id_prefix: String,
}

impl RunFilter {
    /// All runs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only those that are in this state.
    pub fn status(self, status: RunStatus) -> Self {
        Self { status: Some(status), ..self }
    }

    /// Only those of the function with this [name](crate::DurableFunction::NAME).
    pub fn function(self, name: impl Into<String>) -> Self {
        Self { function: Some(name.into()), ..self }
    }

    /// Only those that were started with this [tag](crate::Start::tag); called again, with all of them.
    pub fn tag(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.insert(name.into(), value.into());
        self
    }

    /// Only those that belong to [this](crate::Start::correlation_id).
    pub fn correlation_id(self, id: impl Into<String>) -> Self {
        Self { correlation_id: Some(id.into()), ..self }
    }

    /// Only those that were started, or forked, then or later.
    pub fn started_since(self, time: Timestamp) -> Self {
        Self { started_since: Some(time), ..self }
    }

    /// Only those that were started earlier than that.
    pub fn started_before(self, time: Timestamp) -> Self {
        Self { started_before: Some(time), ..self }
    }

    /// Only those whose ids begin so. Others are not even looked at.
    pub fn id_prefix(self, prefix: impl Into<String>) -> Self {
        Self { id_prefix: prefix.into(), ..self }
    }

    fn has_status(&self, status: RunStatus) -> bool {
        self.status.is_none_or(|asked| asked == status)
    }

    /// Whether a run of which nothing but the status can be read can be what is asked for.
    fn is_of_status_only(&self) -> bool {
        let Self { status: _, function, tags, correlation_id, started_since, started_before, id_prefix: _ } = self;
        let (function, correlation) = (function.is_none(), correlation_id.is_none());
        function && correlation && tags.is_empty() && started_since.is_none() && started_before.is_none()
    }

    fn takes(&self, ends: &Ends) -> bool {
        let Ends { head, started, last: _ } = ends;
        let (started_at, correlation) = (started.created_at(), correlation_of(started.correlation.as_ref(), &head.run));
        let is_tag = |(name, value): (&String, &String)| started.tags.get(&**name).is_some_and(|tag| **tag == **value);
        self.has_status(head.status)
            && self.function.as_ref().is_none_or(|asked| **asked == *started.function)
            && self.tags.iter().all(is_tag)
            && self.correlation_id.as_ref().is_none_or(|asked| *asked == correlation)
            && self.started_since.is_none_or(|since| since <= started_at)
            && self.started_before.is_none_or(|before| started_at < before)
    }

    fn has_prefix(&self, run: &RunId) -> bool {
        run.as_str().starts_with(&self.id_prefix)
    }
}

/// What one call of [`Runtime::list`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RunPage {
    /// Runs, in the byte order of their ids. There can be none although more follow.
    pub runs: Vec<RunSummary>,
    /// Behind which run to go on; `None` if there are no more.
    pub next: Option<RunId>,
}

/// One line of [`Runtime::list`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunSummary {
    /// The run's id.
    pub id: RunId,
    /// Its status.
    pub status: RunStatus,
    /// The name of its function; `None` if that can't be read.
    pub function: Option<String>,
    /// What was said of it when it was started, by name; empty if that can't be read.
    pub tags: BTreeMap<String, String>,
    /// How many events its journal has.
    pub events: u64,
    /// When it was started, or forked; `None` if that can't be read.
    pub started_at: Option<Timestamp>,
    /// When its newest event was recorded; `None` if that can't be read.
    pub updated_at: Option<Timestamp>,
    /// Why it is halted, or why this process can't continue it.
    pub halt: Option<Halt>,
}

impl RunSummary {
    fn of(ends: Ends, halt: Option<Halt>) -> Self {
        let Ends { head, started, last } = ends;
        Self {
            id: head.run,
            status: head.status,
            function: Some(started.function.to_string()),
            tags: tags_of(&started),
            events: head.length.0,
            started_at: Some(started.created_at()),
            updated_at: Some(started.created_at().max(Timestamp(last.at()))),
            halt,
        }
    }

    fn unreadable(head: RunHead, error: &StoreError) -> Self {
        Self {
            id: head.run,
            status: head.status,
            function: None,
            tags: BTreeMap::new(),
            events: head.length.0,
            started_at: None,
            updated_at: None,
            halt: Some(Halt::new(HaltReason::Corrupt, None, error.to_string())),
        }
    }
}

impl Runtime {
    /// Runs that are as `filter` says, in the byte order of their ids, from the first one behind `after`: `limit` at most,
    /// and at most [`LIST_MAX`]; 0 is taken for 1.
    ///
    /// Go on with [`RunPage::next`] until there is none. Each run that is there all the time, and is what is asked for, is
    /// listed exactly once, whatever is started, deleted or ended in between.
    ///
    /// Of each run its first and its last record are read, of [`LIST_LOOKS_MAX`] runs at most: a filter that takes
    /// few of many gives pages with few runs, or none, and a [`next`](RunPage::next). Of a run in which those can't be read,
    /// the id, the status and the reason are listed, unless something else is asked for; one of which not even the status can be
    /// read is listed as halted. What lies between the two is [verified](Self::verify_store) by another call.
    ///
    /// # Errors
    /// [`AdminError::Store`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use durable_runtime::{Context, RunFilter, RunStatus, Runtime, durable};
    ///
    /// #[durable]
    /// async fn nothing(_ctx: Context) {}
    ///
    /// let runtime = Runtime::builder().in_memory().await?;
    /// for id in ["b", "a", "other"] {
    ///     runtime.start(id, nothing, ()).tag("region", "north").await?.await?;
    /// }
    /// let filter = RunFilter::new().status(RunStatus::Completed).tag("region", "north");
    /// let mut after = None;
    /// let mut found = Vec::new();
    /// loop {
    ///     let page = runtime.list(&filter, after.as_ref(), 2).await?;
    ///     found.extend(page.runs.into_iter().map(|run| run.id.to_string()));
    ///     after = page.next;
    ///     if after.is_none() {
    ///         break;
    ///     }
    /// }
    /// assert_eq!(found, ["a", "b", "other"]);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn list(&self, filter: &RunFilter, after: Option<&RunId>, limit: usize) -> Result<RunPage, AdminError> {
        let limit = limit.clamp(1, LIST_MAX); // a page for none could not tell where to go on
        let (asked, after) = (filter.clone(), after.cloned());
        let engine = &self.inner.engine;
        let mut page = engine.blocking(move |store| find(store, &asked, after.as_ref(), limit)).await?;
        for run in page.runs.iter_mut().filter(|run| run.status.is_unfinished() && run.halt.is_none()) {
            run.halt = engine.stuck(&run.id);
        }
        Ok(page)
    }
}

fn find(store: &dyn Store, filter: &RunFilter, after: Option<&RunId>, limit: usize) -> Result<RunPage, StoreError> {
    let mut page = RunPage::default();
    let mut looks = 0;
    let mut walk = Walk::new(filter, after);
    'pages: loop {
        let heads = walk.page(store)?;
        if heads.is_empty() {
            break;
        }
        let mut heads = heads.into_iter();
        while let Some(head) = heads.next() {
            let run = head.run.clone();
            looks += 1;
            page.runs.extend(look(store, filter, head)?);
            if page.runs.len() == limit || looks == LIST_LOOKS_MAX {
                page.next = (!walk.is_over || heads.len() > 0).then_some(run);
                break 'pages;
            }
        }
    }
    if filter.is_of_status_only() && filter.has_status(RunStatus::Halted) {
        add_unlisted(&mut page, store.corrupt(), filter, after, limit);
    }
    Ok(page)
}

/// Adds the runs of which not even the status can be read, where they belong.
fn add_unlisted(page: &mut RunPage, corrupt: Vec<StoreError>, filter: &RunFilter, after: Option<&RunId>, limit: usize) {
    let RunPage { runs, next } = page;
    let belongs = |run: &RunId| {
        let is_within = after.is_none_or(|after| run > after) && next.as_ref().is_none_or(|next| run <= next);
        is_within && filter.has_prefix(run)
    };
    for error in corrupt {
        if let StoreError::Corrupt { run, .. } = &error
            && belongs(run)
            && !runs.iter().any(|listed| listed.id == *run)
        {
            let (run, status) = (run.clone(), RunStatus::Halted);
            runs.push(RunSummary::unreadable(RunHead { run, status, length: Position(0), fence: Fence(0) }, &error));
        }
    }
    runs.sort_by(|one, other| one.id.cmp(&other.id));
    if runs.len() > limit {
        runs.truncate(limit);
        *next = runs.last().map(|last| last.id.clone());
    }
}

/// The run, if it is what is asked for.
fn look(store: &dyn Store, filter: &RunFilter, head: RunHead) -> Result<Option<RunSummary>, StoreError> {
    if !filter.has_status(head.status) {
        return Ok(None);
    }
    let ends = match store.ends(&head.run) {
        // It was deleted since.
        Ok(None) => return Ok(None),
        Ok(Some(ends)) => decode_ends(ends).map_err(|unsound| unsound.of(&head.run)),
        Err(error @ StoreError::Corrupt { .. }) => Err(error),
        Err(error) => return Err(error),
    };
    match ends {
        Ok(ends) if !filter.takes(&ends) => Ok(None),
        Ok(ends) => match halt(store, &ends) {
            Ok(halt) => Ok(Some(RunSummary::of(ends, halt))),
            Err(error @ StoreError::Corrupt { .. }) => Ok(Some(RunSummary::unreadable(ends.head, &error))),
            Err(error) => Err(error),
        },
        Err(error) if filter.is_of_status_only() => Ok(Some(RunSummary::unreadable(head, &error))),
        Err(_) => Ok(None),
    }
}

/// Why the run is halted, if it is.
fn halt(store: &dyn Store, ends: &Ends) -> Result<Option<Halt>, StoreError> {
    match &ends.last {
        Event::Halted(halted) => Ok(Some(halt_of(halted))),
        // Something was sent to it since.
        _ if ends.head.status == RunStatus::Halted => {
            Ok(load(store, &ends.head.run)?.and_then(|Loaded { events, .. }| match last_of(&events) {
                Some(Event::Halted(halted)) => Some(halt_of(halted)),
                _ => None,
            }))
        }
        _ => Ok(None),
    }
}

/// Goes through the heads of all runs that may be asked for, page by page.
struct Walk<'a> {
    filter: &'a RunFilter,
    after: Option<RunId>,
    /// The run whose id is the prefix itself, if that was not looked at.
    first: Option<RunId>,
    is_over: bool,
}

impl<'a> Walk<'a> {
    fn new(filter: &'a RunFilter, after: Option<&RunId>) -> Self {
        // A prefix that can't be an id is that of no id either, unless it is empty.
        let prefix = RunId::new(&filter.id_prefix).ok();
        let is_over = prefix.is_none() && !filter.id_prefix.is_empty();
        let first = prefix.filter(|prefix| after.is_none_or(|after| after < prefix));
        Self { filter, after: first.as_ref().or(after).cloned(), first, is_over }
    }

    /// The next heads; none if there are no more.
    fn page(&mut self, store: &dyn Store) -> Result<Vec<RunHead>, StoreError> {
        if self.is_over {
            return Ok(Vec::new());
        }
        // Those that run a store finds at once. For any other status it might have to look at all runs.
        let status = self.filter.status.filter(|status| *status == RunStatus::Running);
        let first = match self.first.take().map(|first| store.head(&first)) {
            Some(Ok(first)) => first,
            None | Some(Err(StoreError::Corrupt { .. })) => None,
            Some(Err(error)) => return Err(error),
        };
        let mut listed = store.list(status, self.after.as_ref(), PAGE)?;
        let is_asked_for = |head: &RunHead| self.filter.has_prefix(&head.run);
        self.is_over = listed.len() < PAGE || !listed.last().is_some_and(is_asked_for);
        listed.retain(is_asked_for);
        if let Some(last) = listed.last() {
            self.after = Some(last.run.clone());
        }
        Ok(first.into_iter().chain(listed).collect())
    }
}
