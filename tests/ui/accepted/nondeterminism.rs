//! What looks like named nondeterminism and is none.
#![deny(warnings, clippy::pedantic, missing_docs)]
#![expect(clippy::disallowed_methods, reason = "the users of durable functions have no clock to inject")]

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::{Duration, SystemTime};

use durable_runtime::{Context, durable};

use crate::run;

/// The user's own, named like what is refused.
mod clock {
    #[derive(Clone, Copy)]
    pub(super) struct Instant(pub(super) u32);

    impl Instant {
        pub(super) fn now() -> Self {
            Self(7)
        }
    }

    pub(super) fn sleep(seconds: u32) -> u32 {
        seconds
    }

    pub(super) mod env {
        pub(in super::super) fn var(name: &str) -> String {
            name.to_lowercase()
        }
    }
}

fn random() -> u32 {
    4
}

fn spawn(number: u32) -> u32 {
    number + 1
}

async fn seconds(time: &SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

async fn sum_of(prices: &HashMap<String, u32>) -> u32 {
    prices.values().sum()
}

async fn double(number: u32) -> u32 {
    number * 2
}

/// The clock and random numbers, each read in a step; the messages suggest this.
#[durable]
pub async fn suggested_clock(ctx: Context) -> bool {
    let now = ctx.run("now", async || SystemTime::now()).await;
    let later = ctx.run("now", async || std::time::SystemTime::now()).await;
    ctx.run(seconds, &now).await <= ctx.run(seconds, &later).await + 1
}

/// The environment, files and the process.
#[durable]
pub async fn suggested_outside(ctx: Context) -> bool {
    let value = ctx.run("environment", async || std::env::var("CARGO_MANIFEST_DIR").ok()).await;
    let Some(folder) = value else { return false };
    let file = ctx.run("file", async || std::fs::exists(folder.clone() + "/Cargo.toml").unwrap_or(false)).await;
    let id = ctx.run("process", async || std::process::id()).await;
    file && id > 0
}

/// Waiting and printing.
#[durable]
pub async fn suggested_waiting(ctx: Context) {
    ctx.run("wait", async || tokio::time::sleep(Duration::ZERO).await).await;
    ctx.run("print", async || println!("printed once")).await;
    ctx.run("pause", tokio::task::yield_now).await;
}

/// A task, a channel and a map's order inside of a step.
#[durable]
pub async fn inside_a_step(ctx: Context, prices: HashMap<String, u32>) -> u32 {
    let step = ctx.run("inside", async || {
        use std::thread::available_parallelism;

        let (sender, receiver) = tokio::sync::oneshot::channel();
        tokio::spawn(async move { sender.send(3) });
        let mut sum = receiver.await.unwrap_or(0);
        for price in prices.values() {
            sum += price;
        }
        let start = std::time::Instant::now();
        sum + u32::from(start.elapsed() > Duration::from_hours(1) && available_parallelism().is_err())
    });
    step.await
}

/// Sorted first, as the message suggests.
#[durable]
pub async fn suggested_order(ctx: Context, prices: HashMap<String, u32>, skus: HashSet<String>) -> Vec<u32> {
    let mut all = Vec::new();
    for (_, price) in prices.iter().collect::<BTreeMap<_, _>>() {
        all.push(ctx.run(double, *price).await);
    }
    for sku in skus.iter().collect::<BTreeSet<_>>() {
        all.push(ctx.run("length", async || u32::try_from(sku.len()).unwrap_or(0)).await);
    }
    for (_, price) in BTreeMap::from_iter(prices) {
        all.push(price);
    }
    all
}

/// Looking up, changing and passing on.
#[durable]
pub async fn looked_up(ctx: Context, mut prices: HashMap<String, u32>) -> u32 {
    prices.insert("c".to_owned(), 5);
    *prices.entry("a".to_owned()).or_default() += 1;
    let sum = ctx.run(sum_of, &prices).await;
    let one = prices.get("a").copied().unwrap_or_default() + prices["c"];
    let count = u32::try_from(prices.len()).unwrap_or(0) + u32::from(prices.contains_key("x"));
    prices.remove("a");
    sum + one + count
}

/// What is the same in every order.
#[durable]
pub async fn in_no_order(ctx: Context, prices: HashMap<String, u32>) -> u32 {
    let total: u32 = prices.values().sum();
    let most = prices.values().copied().max().unwrap_or_default();
    let few = prices.iter().filter(|(_, price)| **price < 2).count();
    let is_cheap = prices.values().all(|price| *price < 100) && !prices.keys().any(String::is_empty);
    let doubled: BTreeMap<&String, u32> = prices.iter().map(|(sku, price)| (sku, price * 2)).collect();
    let skus = prices.keys().cloned().collect::<HashSet<_>>();
    let known: HashSet<String> = HashSet::from(["a".to_owned()]);
    let new = skus.difference(&known).count() + few + doubled.len();
    let mut sum = ctx.run(double, total + most).await + u32::try_from(new).unwrap_or(0);
    for number in doubled.values() {
        sum += number;
    }
    sum + u32::from(is_cheap)
}

/// A variable of the same name is another variable.
#[durable]
pub async fn shadowed_map(ctx: Context, prices: HashMap<String, u32>, lists: Vec<Vec<u32>>) -> u32 {
    let longest: usize = lists.iter().map(|prices| prices.iter().filter(|price| **price > 0).count()).sum();
    let mut sum = u32::try_from(longest).unwrap_or(0);
    for prices in &lists {
        for price in prices {
            sum += ctx.run(double, *price).await;
        }
    }
    if let Some(prices) = lists.first() {
        sum += prices.iter().fold(0, |sum, price| sum * 2 + price);
    }
    sum += match lists.last() {
        Some(prices) => prices.iter().rev().take(1).sum(),
        None => 0,
    };
    let prices = prices.into_iter().collect::<BTreeMap<_, _>>();
    for price in prices.values() {
        sum += price;
    }
    sum
}

/// The user's functions by their paths.
#[durable]
pub async fn by_path(ctx: Context) -> u32 {
    let now = self::clock::Instant::now();
    let slept = clock::sleep(now.0) + super::nondeterminism::clock::sleep(1);
    let name = crate::accepted::nondeterminism::clock::env::var("HOME");
    ctx.run(double, slept).await + u32::try_from(name.len()).unwrap_or(0)
}

/// The user's functions by imports in the body.
#[durable]
pub async fn by_import(ctx: Context) -> u32 {
    use clock::{Instant, env, sleep as pause};

    let name = env::var("HOME");
    let total = ctx.run(double, pause(Instant::now().0)).await;
    {
        use super::nondeterminism::clock as time;

        total + time::sleep(2) + time::Instant::now().0 + u32::try_from(name.len()).unwrap_or(0)
    }
}

/// The user's functions by bare names.
#[durable]
pub async fn by_bare_name(ctx: Context) -> u32 {
    let sleep = |number: u32| number * 3;
    ctx.run(double, random()).await + spawn(1) + sleep(2)
}

/// A variable is not what is imported under its name.
#[durable]
pub async fn shadowed_import(ctx: Context) -> u32 {
    use tokio::time::sleep;

    ctx.run("wait", async || sleep(Duration::ZERO).await).await;
    let sleep = ctx.run(double, 2).await;
    sleep + 1
}

/// An import of a block ends with it.
#[durable]
pub async fn scoped_import(ctx: Context) -> u32 {
    let first = {
        use clock::Instant;

        Instant::now().0
    };
    fn_in_body(first) + ctx.run(double, 1).await
}

fn fn_in_body(number: u32) -> u32 {
    number
}

/// A function in the body is another function.
#[durable]
pub async fn nested_function(ctx: Context) -> bool {
    fn is_late() -> bool {
        SystemTime::now() < SystemTime::UNIX_EPOCH
    }
    ctx.run("is late", async || is_late()).await
}

/// Types are no calls.
#[durable]
pub async fn only_types(ctx: Context, start: SystemTime) -> u64 {
    let times: Vec<SystemTime> = Vec::<SystemTime>::with_capacity(2);
    let read: fn(&SystemTime) -> bool = |time| *time > SystemTime::UNIX_EPOCH;
    let none: Option<std::time::Instant> = None;
    let file: Option<std::fs::File> = None;
    let ended = start + Duration::from_secs(u64::from(read(&start) && times.is_empty()));
    ctx.run(seconds, &ended).await + u64::from(none.is_some() || file.is_some())
}

/// Tracing is silent on replay.
#[durable]
pub async fn traced(ctx: Context, name: String) -> u32 {
    tracing::info!("processing {name}");
    tracing::debug!(sleep = 3, spawn = %name, "fields");
    let number = ctx.run(double, 3).await;
    tracing::warn!(number);
    number
}

/// Fields, labels and methods have the names of functions.
#[durable]
pub async fn fields(ctx: Context) -> u32 {
    #[derive(Clone, Copy)]
    struct Settings {
        sleep: u32,
        spawn: u32,
    }
    impl Settings {
        fn random(self) -> u32 {
            self.sleep
        }
    }
    let settings = Settings { sleep: 1, spawn: 2 };
    let Settings { sleep, spawn } = settings;
    let found = 'random: loop {
        if sleep < spawn {
            break 'random settings.random() + settings.spawn;
        }
    };
    ctx.run(double, found + sleep + spawn).await
}

/// Constants of the compiler are the same on each replay.
#[durable]
pub async fn compile_time(ctx: Context) -> usize {
    let package = env!("CARGO_PKG_NAME");
    let missing = option_env!("DURABLE_TESTS_NOT_SET");
    ctx.run("length", async || package.len() + missing.map_or(0, str::len)).await
}

/// A type of the body may have any name.
#[durable]
pub async fn own_types(ctx: Context) -> u32 {
    type Instant = clock::Instant;
    enum Utc {}
    impl Utc {
        fn now() -> u32 {
            5
        }
    }
    ctx.run(double, Instant::now().0 + Utc::now() + <Instant>::now().0).await
}

/// A collection with a fixed order under the name of another.
#[durable]
pub async fn own_map(ctx: Context) -> u32 {
    use std::collections::BTreeMap as HashMap;

    let prices = HashMap::from([(1, 2), (3, 4)]);
    let mut sum = 0;
    for (number, price) in &prices {
        sum += ctx.run(double, number + price).await;
    }
    sum
}

/// A helper with closures and macros that hide nothing.
#[durable]
async fn helper(ctx: &Context, numbers: &[u32]) -> String {
    let steps = numbers.iter().map(|number| ctx.run(double, *number));
    let doubled = futures::future::join_all(steps).await;
    assert!(doubled.len() == numbers.len(), "{doubled:?}");
    format!("{:?}", vec![doubled.iter().min(), doubled.iter().max()])
}

/// Calls the helper.
#[durable]
pub async fn of_helper(ctx: Context) -> String {
    helper(&ctx, &[3, 4]).await
}

fn prices() -> HashMap<String, u32> {
    HashMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)])
}

#[tokio::test]
async fn suggestions_work() {
    assert!(run(suggested_clock, ()).await);
    assert!(run(suggested_outside, ()).await);
    run(suggested_waiting, ()).await;
    assert_eq!(run(inside_a_step, prices()).await, 6);
    let skus = HashSet::from(["abc".to_owned()]);
    assert_eq!(run(suggested_order, (prices(), skus)).await, [2, 4, 3, 1, 2]);
}

#[tokio::test]
async fn hash_maps_are_used_without_their_order() {
    assert_eq!(run(looked_up, prices()).await, 9 + 7 + 3);
    assert_eq!(run(in_no_order, prices()).await, 10 + 4 + 6 + 1);
    assert_eq!(run(shadowed_map, (prices(), vec![vec![1, 2], vec![3]])).await, 3 + 12 + 4 + 3 + 3);
}

#[tokio::test]
async fn the_users_own_functions_are_called() {
    assert_eq!(run(by_path, ()).await, 16 + 4);
    assert_eq!(run(by_import, ()).await, 14 + 2 + 7 + 4);
    assert_eq!(run(by_bare_name, ()).await, 8 + 2 + 6);
    assert_eq!(run(shadowed_import, ()).await, 5);
    assert_eq!(run(scoped_import, ()).await, 9);
    assert!(!run(nested_function, ()).await);
    assert_eq!(run(own_types, ()).await, 38);
    assert_eq!(run(own_map, ()).await, 20);
}

#[tokio::test]
async fn words_are_no_calls() {
    assert_eq!(run(only_types, SystemTime::UNIX_EPOCH).await, 0);
    assert_eq!(run(traced, "ada".to_owned()).await, 6);
    assert_eq!(run(fields, ()).await, 12);
    assert_eq!(run(compile_time, ()).await, 13);
    assert_eq!(run(of_helper, ()).await, "[Some(6), Some(8)]");
}
