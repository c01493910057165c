//! The pure meaning of the small programs: which steps run, and what comes of it when one of them ends.

use super::program::{Plan, mix, told};
use super::small::{How, Small};

/// One way that a program can go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    /// The keys of the steps in the order in which they end.
    pub(super) order: Vec<String>,
    pub(super) result: u64,
}

/// All ways that a program can go.
pub(super) fn paths(program: &Small) -> Vec<Path> {
    let mut state = State { program, branches: Vec::new(), claims: 0, ended: Vec::new(), order: Vec::new() };
    let at_once = if let How::BufferUnordered(at_once) = program.how { at_once } else { usize::MAX };
    for _ in program.branches.iter().take(at_once) {
        state.begin();
    }
    let mut paths = Vec::new();
    explore(&state, &mut paths);
    paths
}

fn explore(state: &State<'_>, paths: &mut Vec<Path>) {
    if let Some(result) = state.result() {
        let key = "after".to_owned();
        let result = told(Plan::BETWEEN.result(&key, result));
        paths.push(Path { order: [state.order.as_slice(), &[key]].concat(), result });
        return;
    }
    for branch in 0..state.branches.len() {
        if state.branches[branch].is_some() {
            let mut next = state.clone();
            next.end(branch);
            explore(&next, paths);
        }
    }
}

#[derive(Clone)]
struct State<'a> {
    program: &'a Small,
    /// The step that each branch is at; nothing if it has ended.
    branches: Vec<Option<Step>>,
    /// How many steps were asked for.
    claims: usize,
    /// The branches that have ended, in order, with their results.
    ended: Vec<(usize, Result<u64, u64>)>,
    order: Vec<String>,
}

#[derive(Clone)]
struct Step {
    number: usize,
    key: String,
    input: u64,
}

impl State<'_> {
    /// The next branch begins.
    fn begin(&mut self) {
        let first = self.claim(0, self.branches.len() as u64);
        self.branches.push(Some(first));
    }

    fn claim(&mut self, number: usize, input: u64) -> Step {
        self.claims += 1;
        let key = if self.claims == 1 { "step".to_owned() } else { format!("step#{}", self.claims) };
        Step { number, key, input }
    }

    /// The step that this branch is at ends.
    fn end(&mut self, branch: usize) {
        let Some(step) = self.branches[branch].take() else { return };
        let plan = self.program.branches[branch];
        let result = plan.plan(step.number).result(&step.key, step.input);
        self.order.push(step.key);
        match result {
            Ok(value) if step.number + 1 < plan.steps => {
                self.branches[branch] = Some(self.claim(step.number + 1, value));
            }
            result => {
                self.ended.push((branch, result));
                if self.branches.len() < self.program.branches.len() {
                    self.begin();
                }
            }
        }
    }

    /// What the branches came to, once they have.
    fn result(&self) -> Option<u64> {
        let are_all = self.ended.len() == self.program.branches.len();
        let (winner, first) = *self.ended.first()?;
        let won = mix(told(first), winner as u64);
        let in_order = |start| self.ended.iter().fold(start, |sum, (_, result)| mix(sum, told(*result)));
        match self.program.how {
            How::Select | How::FutureSelect => Some(won),
            How::FutureSelectRest => are_all.then(|| mix(won, self.ended.last().map_or(0, |(_, rest)| told(*rest)))),
            How::Unordered | How::BufferUnordered(_) => are_all.then(|| in_order(0)),
            How::TryJoin if self.ended.iter().any(|(_, result)| result.is_err()) => {
                self.ended.last().map(|(_, error)| told(*error))
            }
            How::Join | How::TryJoin => {
                let mut written = self.ended.clone();
                written.sort_unstable_by_key(|(branch, _)| *branch);
                are_all.then(|| written.into_iter().map(|(_, result)| told(result)).reduce(mix)).flatten()
            }
        }
    }
}
