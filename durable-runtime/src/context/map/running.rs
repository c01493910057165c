//! The futures of `ctx.map` that are running: what was woken is polled in the order of the items.
//!
//! Not a `FuturesUnordered`, which polls in the order of the wake-ups. One future may be woken by the body of a step, and
//! when that is differs from life to life. While the code awaits something else the wake-up stays in the queue, and what is
//! delivered to that future later is found before what was delivered to others earlier: live, and not on a replay.
//!
//! In the order of the items it is the same on every replay: what was delivered since the last look is (R2), and polling a
//! future of which only a body was woken changes nothing that the code can see.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Wake, Waker};

use crate::sync::Mutex;

/// Futures, each under the index of its item.
pub(super) struct Running<F> {
    futures: BTreeMap<usize, (Pin<Box<F>>, Waker)>,
    woken: Arc<Woken>,
}

impl<F> Running<F> {
    pub(super) fn new() -> Self {
        Self { futures: BTreeMap::new(), woken: Arc::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.futures.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.futures.is_empty()
    }

    /// Adds a future, which is to be polled.
    pub(super) fn push(&mut self, index: usize, future: F) {
        let waker = Waker::from(Arc::new(ItemWaker { index, woken: Arc::clone(&self.woken) }));
        self.futures.insert(index, (Box::pin(future), waker));
        self.woken.state.lock().indices.insert(index);
    }

    /// From now on that is woken when one of the futures is.
    pub(super) fn attend(&self, task: &Waker) {
        match &mut self.woken.state.lock().task {
            Some(present) => present.clone_from(task),
            absent => *absent = Some(task.clone()),
        }
    }

    /// Drops all futures, in the order of their items.
    pub(super) fn clear(&mut self) {
        self.futures.clear();
    }
}

impl<F: Future> Running<F> {
    /// Polls the first at this index or behind it that was woken, and returns its index and what came of it. One that has ended
    /// is gone, and so is one that panics.
    pub(super) fn poll_from(&mut self, index: usize) -> Option<(usize, Poll<F::Output>)> {
        loop {
            let index = self.woken.take_from(index)?;
            // A waker may be kept for longer than its future lives.
            let Some((mut future, waker)) = self.futures.remove(&index) else { continue };
            let polled = future.as_mut().poll(&mut TaskContext::from_waker(&waker));
            if polled.is_pending() {
                self.futures.insert(index, (future, waker));
            }
            return Some((index, polled));
        }
    }
}

/// Which futures were woken. Any thread may wake one.
#[derive(Debug, Default)]
struct Woken {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    indices: BTreeSet<usize>,
    /// What polls the futures.
    task: Option<Waker>,
}

impl Woken {
    fn take_from(&self, index: usize) -> Option<usize> {
        let indices = &mut self.state.lock().indices;
        let first = *indices.range(index..).next()?;
        indices.remove(&first);
        Some(first)
    }
}

/// What one future is woken by.
#[derive(Debug)]
struct ItemWaker {
    index: usize,
    woken: Arc<Woken>,
}

impl Wake for ItemWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut state = self.woken.state.lock();
        state.indices.insert(self.index);
        let task = state.task.clone();
        drop(state);
        task.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::poll_fn;

    use super::*;

    /// Counts how often it is woken.
    #[derive(Debug, Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Polls all that were woken, each once, and returns which have ended.
    fn sweep<F: Future>(running: &mut Running<F>) -> Vec<usize> {
        let (mut ended, mut next) = (Vec::new(), 0);
        while let Some((index, polled)) = running.poll_from(next) {
            next = index + 1;
            ended.extend(polled.is_ready().then_some(index));
        }
        ended
    }

    #[test]
    fn what_was_woken_is_polled_in_the_order_of_the_items_whatever_was_woken_first() {
        let (polled, wakers) = (RefCell::new(Vec::new()), RefCell::new(BTreeMap::new()));
        let mut running = Running::new();
        for index in 0..4 {
            let (polled, wakers) = (&polled, &wakers);
            running.push(
                index,
                poll_fn(move |task| {
                    polled.borrow_mut().push(index);
                    wakers.borrow_mut().insert(index, task.waker().clone());
                    if index == 3 { Poll::Ready(()) } else { Poll::Pending }
                }),
            );
        }
        assert_eq!(sweep(&mut running), [3]);
        assert_eq!((polled.take(), running.len()), (vec![0, 1, 2, 3], 3));
        assert!(sweep(&mut running).is_empty());
        assert!(polled.take().is_empty(), "nobody was woken");
        let task = Arc::new(Counter::default());
        running.attend(&Waker::from(Arc::clone(&task)));
        for index in [3, 2, 0, 2] {
            wakers.borrow()[&index].wake_by_ref();
        }
        assert_eq!(task.0.load(Ordering::Relaxed), 4);
        assert!(sweep(&mut running).is_empty());
        assert_eq!(polled.take(), [0, 2], "3 has ended");
        running.clear();
        assert!(running.is_empty());
    }

    #[test]
    fn one_that_wakes_itself_is_polled_again_by_the_next_sweep() {
        let mut running = Running::new();
        let mut polls = 0;
        let itself = poll_fn(move |task| {
            polls += 1;
            task.waker().wake_by_ref();
            if polls == 3 { Poll::Ready(()) } else { Poll::Pending }
        });
        let task = Arc::new(Counter::default());
        running.attend(&Waker::from(Arc::clone(&task)));
        running.push(7, itself);
        assert!(sweep(&mut running).is_empty());
        assert_eq!(task.0.load(Ordering::Relaxed), 1, "it will be polled again");
        assert!(sweep(&mut running).is_empty());
        assert_eq!(sweep(&mut running), [7]);
    }
}
