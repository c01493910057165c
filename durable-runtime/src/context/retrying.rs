//! Several operations tried again together: `ctx.retry`.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};

use pin_project_lite::pin_project;

use super::shared::RunShared;
use super::step::is_permanent;
use super::timer::Timer;
use crate::chance::jitter;
use crate::clock::Timestamp;
use crate::retry::{Retry, RetryOn, Tried};

/// The name of the timers between two attempts.
const NAME: &str = "retry";

pin_project! {
    /// Several operations that are tried again together, made by [`Context::retry`](crate::Context::retry); await it.
    #[must_use = "a durable future does nothing unless it is awaited"]
    pub struct Retrying<B, F, P> {
        shared: Arc<RunShared>,
        block: B,
        policy: Retry<P>,
        #[pin]
        running: Option<F>,
        // Between two attempts.
        waiting: Option<Timer>,
        // How many have begun.
        attempts: u32,
        first_failed_at: Option<Timestamp>,
        is_over: bool,
        // Where it is written.
        site: &'static std::panic::Location<'static>,
    }
}

impl<B, F, P> Retrying<B, F, P> {
    #[track_caller]
    pub(super) fn new(shared: &Arc<RunShared>, policy: Retry<P>, block: B) -> Self {
        Self {
            shared: Arc::clone(shared),
            block,
            policy,
            running: None,
            waiting: None,
            attempts: 0,
            first_failed_at: None,
            is_over: false,
            site: std::panic::Location::caller(),
        }
    }
}

impl<B, F, P, T, E> Future for Retrying<B, F, P>
where
    B: FnMut() -> F,
    F: Future<Output = Result<T, E>>,
    P: RetryOn<E>,
    E: 'static,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if *this.is_over {
            return Poll::Pending;
        }
        loop {
            if let Some(timer) = this.waiting {
                ready!(Pin::new(timer).poll(task));
                *this.waiting = None;
            }
            if this.running.is_none() {
                *this.attempts = this.attempts.saturating_add(1);
                this.running.set(Some((this.block)()));
            }
            let Some(running) = this.running.as_mut().as_pin_mut() else { return Poll::Pending };
            let output = ready!(running.poll(task));
            this.running.set(None);
            let Err(error) = &output else {
                *this.is_over = true;
                return Poll::Ready(output);
            };
            // What the code knows of the time, and of chance, is the same on a replay; and so is what is decided.
            let (now, attempt) = (this.shared.now(), *this.attempts);
            let elapsed = now.since(*this.first_failed_at.get_or_insert(now));
            let chance = jitter(this.shared.told().1, NAME, attempt);
            let delay = if is_permanent(error) {
                None
            } else {
                this.policy.next_delay(Some(error), Tried { attempt, elapsed, chance })
            };
            let Some(delay) = delay else {
                *this.is_over = true;
                return Poll::Ready(output);
            };
            // The delay is no argument to be compared: another one goes on where this one was.
            let timer = Timer::claim_at(this.shared, NAME, now.after(delay), &(), &delay, this.site);
            *this.waiting = Some(timer);
        }
    }
}

impl<B, F, P> fmt::Debug for Retrying<B, F, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retrying")
            .field("run", &self.shared.id)
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}
