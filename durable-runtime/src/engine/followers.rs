//! Who follows what runs publish, and what there is to read for them.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use super::runs::{Engine, halt_of};
use crate::halt::Halt;
use crate::id::{Fence, Position, RunId};
use crate::journal::{self, Event};
use crate::payload::Payload;
use crate::store::{RunHead, Store, StoreError, StoredPart};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};

/// How much of a journal is read at once, in bytes, give or take one record.
const PART_BYTES_MAX: usize = 1_024 * 1_024;

/// The runs that somebody follows. Of all others nothing is kept.
#[derive(Debug, Default)]
pub(crate) struct Followers {
    /// What wakes those who follow a run: more of it may be durable, or it may have stopped.
    runs: Mutex<BTreeMap<RunId, watch::Sender<()>>>,
    /// Whether there are any: asked whenever a run's append is acknowledged.
    are_any: AtomicBool,
}

impl Followers {
    /// Begins to follow a run. What becomes durable of it from here on is told.
    fn follow(self: &Arc<Self>, run: &RunId) -> Following {
        let mut runs = self.runs.lock();
        let told = runs.entry(run.clone()).or_insert_with(|| watch::channel(()).0).subscribe();
        self.are_any.store(true, Ordering::Release);
        Following { followers: Arc::clone(self), run: run.clone(), told: Some(told) }
    }

    /// More of the run may be durable, or it may have stopped.
    pub(super) fn tell(&self, run: &RunId) {
        if self.are_any.load(Ordering::Acquire)
            && let Some(told) = self.runs.lock().get(run)
        {
            told.send_replace(());
        }
    }

    /// The runtime stops.
    pub(super) fn tell_all(&self) {
        for told in self.runs.lock().values() {
            told.send_replace(());
        }
    }

    /// The run was deleted: another one of its id is none that they follow.
    pub(super) fn part_with(&self, run: &RunId) {
        self.runs.lock().remove(run);
    }
}

/// One who follows a run, for as long as this is kept.
#[derive(Debug)]
pub(crate) struct Following {
    followers: Arc<Followers>,
    run: RunId,
    told: Option<watch::Receiver<()>>,
}

impl Following {
    /// What was told until now is seen.
    pub(crate) fn is_up_to_date(&mut self) {
        if let Some(told) = &mut self.told {
            told.mark_unchanged();
        }
    }

    /// Waits until there may be something new since then, or the run is deleted.
    pub(crate) async fn changed(&mut self) {
        if let Some(told) = &mut self.told {
            // An error says that it is deleted, which is asked for when it was read again.
            drop(told.changed().await);
        }
    }

    /// Whether the run was deleted; what is read under its id may be another one's.
    pub(crate) fn is_parted(&self) -> bool {
        self.told.as_ref().is_none_or(|told| told.has_changed().is_err())
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let mut runs = self.followers.runs.lock();
        drop(self.told.take());
        if runs.get(&self.run).is_some_and(watch::Sender::is_closed) {
            runs.remove(&self.run);
        }
        self.followers.are_any.store(!runs.is_empty(), Ordering::Release);
    }
}

/// How far the values of a name have been read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cursor {
    /// How much of the journal.
    position: u64,
    /// The number of the next value.
    next: u64,
    /// Of which part of the run that is, and under which fence that was seen: a run that continues as new goes on under the
    /// next one.
    part: u64,
    fence: Fence,
    /// Why the run was halted last before that, if it ever was.
    pub(crate) halt: Option<Halt>,
}

/// What was read between two cursors.
#[derive(Debug)]
pub(crate) struct Part {
    /// The values of the name, each with its number.
    pub(crate) values: Vec<(u64, Payload)>,
    /// Behind it.
    pub(crate) cursor: Cursor,
    pub(crate) head: RunHead,
}

impl Part {
    /// Whether it ends with the newest record.
    pub(crate) fn is_last(&self) -> bool {
        self.cursor.position >= self.head.length.0
    }
}

impl Engine {
    /// Begins to follow a run.
    pub(crate) fn follow(&self, run: &RunId) -> Following {
        self.followers.follow(run)
    }

    /// Whether the run goes on no further in this process, because that stops.
    pub(crate) fn is_left(&self, run: &RunId) -> bool {
        self.is_stopping() && !self.active.lock().contains_key(run)
    }

    /// Whether the runtime stops.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// The next values that the run has published under the name, as far as they are durable. `None` if there is no such
    /// run.
    pub(crate) async fn read_published(
        &self,
        run: &RunId,
        name: &Arc<str>,
        cursor: Cursor,
    ) -> Result<Option<Part>, StoreError> {
        let (run, name) = (run.clone(), Arc::clone(name));
        self.blocking(move |store| read(store, &run, &name, cursor)).await
    }
}

fn read(store: &dyn Store, run: &RunId, name: &str, mut cursor: Cursor) -> Result<Option<Part>, StoreError> {
    let decode = |frame: &[u8], position: u64| {
        journal::decode(frame).map_err(|error| StoreError::Corrupt {
            run: run.clone(),
            position: Some(Position(position)),
            detail: error.to_string(),
        })
    };
    let StoredPart { head, frames } = loop {
        let part = store.read_part(run, Position(cursor.position), PART_BYTES_MAX)?;
        let Some(stored) = part else { return Ok(None) };
        if cursor.position == 0 || stored.head.fence == cursor.fence {
            break stored;
        }
        let Some(beginning) = store.read_part(run, Position(0), 1)? else { return Ok(None) };
        if let Some(first) = beginning.frames.first()
            && let Event::Started(started) = decode(first, 0)?
            && started.part() == cursor.part
        {
            // It was only resumed, or recovered.
            cursor.fence = beginning.head.fence;
        } else {
            // What is left of what was before, it says itself.
            cursor.position = 0;
        }
    };
    cursor.fence = head.fence;
    let mut values = Vec::new();
    for frame in &frames {
        let event = decode(frame, cursor.position)?;
        cursor.position += 1;
        match event {
            Event::Published(published) if published.operation.name() == name => {
                values.push((cursor.next, published.value));
                cursor.next += 1;
            }
            Event::Started(started) => cursor.part = started.part(),
            Event::Kept(kept) if *kept.name == *name => {
                if kept.number >= cursor.next {
                    values.push((kept.number, kept.value));
                }
                cursor.next = kept.number.saturating_add(1);
            }
            Event::Halted(halted) => cursor.halt = Some(halt_of(&halted)),
            _ => {}
        }
    }
    Ok(Some(Part { values, cursor, head }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R14.
    #[test]
    fn of_a_run_that_nobody_follows_any_more_nothing_is_kept() {
        let (followers, run) = (Arc::<Followers>::default(), RunId::new("r").expect("an id"));
        let (first, second) = (followers.follow(&run), followers.follow(&run));
        drop(first);
        assert!(followers.are_any.load(Ordering::Acquire) && followers.runs.lock().len() == 1);
        followers.part_with(&run);
        assert!(second.is_parted());
        let of_the_next = followers.follow(&run);
        drop(second);
        assert!(!of_the_next.is_parted(), "another run of the same id");
        drop(of_the_next);
        assert!(!followers.are_any.load(Ordering::Acquire) && followers.runs.lock().is_empty());
    }
}
