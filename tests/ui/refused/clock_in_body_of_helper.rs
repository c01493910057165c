use durable_runtime::{durable, Context};

/// The context has another name, and so has it in the message.
#[durable]
async fn helper(durable: &Context) -> bool {
    use std::time::{self, SystemTime as Clock};
    type Alias = Clock;
    let first = Clock::now();
    let second = Alias::now();
    let is_later = vec![time::SystemTime::now()].iter().all(|now| *now > first);
    is_later && assert(durable.run(later, first, Clock::now()).await) && first < second
}

fn assert(it: bool) -> bool {
    it
}

async fn later(one: &std::time::SystemTime, other: &std::time::SystemTime) -> bool {
    one < other
}

fn main() {}
