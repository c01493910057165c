//! The pure meaning of a program: nothing but the order in which its steps completed.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures::future::BoxFuture;
use parking_lot::Mutex;

use super::program::{Machine, Plan, Program, eval, mix, outcome};

/// What a program came to.
pub(super) struct Outcome {
    pub(super) result: Option<u64>,
    /// All keys it asked for.
    pub(super) claimed: BTreeSet<String>,
}

/// Runs `program`, telling it of one completion after the other.
pub(super) fn run(program: &Program, order: &[&str]) -> Outcome {
    let model = Model::default();
    let mut code = eval(&model, program, 1);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut poll = || {
        loop {
            woken.0.store(false, Ordering::SeqCst);
            match code.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(result) => return Some(result),
                Poll::Pending if woken.0.load(Ordering::SeqCst) => {}
                Poll::Pending => return None,
            }
        }
    };
    let mut result = poll();
    for key in order {
        if result.is_some() {
            break;
        }
        model.complete(key);
        result = poll();
    }
    drop(code);
    let claimed = model.state.into_inner().claimed;
    Outcome { result, claimed }
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[derive(Default)]
struct Model {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    names: BTreeMap<String, u32>,
    claimed: BTreeSet<String>,
    completed: BTreeSet<String>,
    waiting: BTreeMap<String, Waker>,
}

impl Model {
    fn claim(&self, plan: Plan) -> String {
        let mut state = self.state.lock();
        let count = state.names.entry(plan.name()).or_insert(0);
        *count += 1;
        let key = if *count == 1 { plan.name() } else { format!("{}#{count}", plan.name()) };
        state.claimed.insert(key.clone());
        key
    }

    fn complete(&self, key: &str) {
        let mut state = self.state.lock();
        state.completed.insert(key.to_owned());
        if let Some(waker) = state.waiting.remove(key) {
            waker.wake();
        }
    }

    async fn completed(&self, key: &str) {
        poll_fn(|task| {
            let mut state = self.state.lock();
            if state.completed.contains(key) {
                return Poll::Ready(());
            }
            state.waiting.insert(key.to_owned(), task.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Machine for Model {
    fn step(&self, plan: Plan, input: u64) -> BoxFuture<'_, Result<u64, u64>> {
        Box::pin(async move {
            let key = self.claim(plan);
            self.completed(&key).await;
            plan.result(&key, input)
        })
    }

    fn backwards<'a>(&'a self, plans: &'a [Plan], input: u64) -> BoxFuture<'a, u64> {
        Box::pin(async move {
            let mut keys: Vec<_> = plans.iter().map(|plan| (*plan, self.claim(*plan))).collect();
            let mut value = input;
            while let Some((plan, key)) = keys.pop() {
                self.completed(&key).await;
                value = mix(value, outcome(plan.result(&key, input)));
            }
            value
        })
    }
}
