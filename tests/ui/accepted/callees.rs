//! What `ctx.run` can call, and what it can pass.
#![deny(warnings, clippy::pedantic, missing_docs)]

use std::borrow::Cow;
use std::fmt::Display;
use std::future::{Ready, ready};

use durable_runtime::{Context, StepContext, durable};
use serde::{Deserialize, Serialize};

use crate::{run, run_and_inspect};

/// What is ordered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// Who ordered.
    pub user: String,
    /// What each line costs.
    pub lines: Vec<u64>,
}

fn order() -> Order {
    Order { user: "ada".to_owned(), lines: vec![30, 12] }
}

/// Something a step is a method of.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Gateway {
    fee: u64,
}

trait Pay {
    fn pay(&self, cents: u64) -> impl Future<Output = u64> + Send;
}

impl Pay for Gateway {
    async fn pay(&self, cents: u64) -> u64 {
        pause().await;
        cents + self.fee
    }
}

impl Gateway {
    async fn charge(&self, step: &str, cents: u64) -> String {
        pause().await;
        format!("{step}: {cents} + {}", self.fee)
    }

    async fn quote(cents: u64) -> u64 {
        pause().await;
        cents
    }
}

async fn pause() {
    tokio::task::yield_now().await;
}

async fn nothing() -> u64 {
    pause().await;
    0
}

async fn only_step(step: StepContext) -> String {
    pause().await;
    step.idempotency_key().to_owned()
}

async fn total(lines: &[u64]) -> u64 {
    pause().await;
    lines.iter().sum()
}

async fn greet(step: StepContext, name: &str, note: Option<&str>, times: usize) -> String {
    pause().await;
    format!("{}: {name} {note:?} {times}", step.attempt())
}

async fn show<T: Display + Sync>(value: &T, width: usize) -> String {
    pause().await;
    format!("{value:>width$}")
}

async fn owned(order: Order, (first, second): (u64, u64), _: Cow<'_, str>) -> u64 {
    pause().await;
    order.lines.iter().sum::<u64>() + first + second
}

fn not_async_but_a_future(number: u64) -> Ready<u64> {
    ready(number + 1)
}

#[expect(clippy::too_many_arguments, clippy::many_single_char_names, reason = "the most there may be")]
async fn sixteen(
    a: u8,
    b: u8,
    c: u8,
    d: u8,
    e: u8,
    f: u8,
    g: u8,
    h: u8,
    i: u8,
    j: u8,
    k: u8,
    l: u8,
    m: u8,
    n: u8,
    o: u8,
    p: u8,
) -> u8 {
    pause().await;
    a + b + c + d + e + f + g + h + i + j + k + l + m + n + o + p
}

mod inner {
    pub(super) async fn deep(text: &str) -> usize {
        super::pause().await;
        text.len()
    }
}

/// Calls by every kind of path.
#[durable]
pub async fn paths(ctx: Context, order: Order) -> Vec<String> {
    let gateway = Gateway { fee: 2 };
    let sum = ctx.run(total, &order.lines).await;
    let paid = ctx.run(Gateway::pay, &gateway, sum).await;
    let paid_again = ctx.run(<Gateway as Pay>::pay, &gateway, paid).await;
    let charged = ctx.run(Gateway::charge, &gateway, &order.user, paid_again).await;
    let quoted = ctx.run(Gateway::quote, sum).await;
    let deep = ctx.run(self::inner::deep, &order.user).await;
    let shown = ctx.run(show::<u64>, &sum, 4).await;
    let inferred = ctx.run(show, &sum, 4).await;
    let zero = ctx.run(nothing).await;
    let key = ctx.run(only_step).await;
    let next = ctx.run(not_async_but_a_future, 1).await;
    vec![charged, quoted.to_string(), deep.to_string(), shown, inferred, zero.to_string(), key, next.to_string()]
}

/// Passes every kind of argument.
#[durable]
pub async fn arguments(ctx: Context, order: Order) -> (u64, u64, Vec<String>, u8) {
    let by_value = ctx.run(owned, order.clone(), (1, 2), "note".into()).await;
    let array = ctx.run(total, &[1, 2, 3]).await;
    let mut texts = Vec::new();
    // A temporary lives as long as the step.
    texts.push(ctx.run(greet, &format!("{}!", order.user), Some("x"), order.lines.len()).await);
    // An argument may be a step itself, or anything else that is evaluated here.
    let times = if array > 3 { 1 } else { 2 };
    texts.push(ctx.run(greet, &ctx.run(only_step).await, None, { times + 1 }).await);
    let boxed: Box<str> = "boxed".into();
    texts.push(ctx.run(greet, &boxed, None, texts.len()).await);
    let sixteen = ctx.run(sixteen, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15).await;
    (by_value, array, texts, sixteen)
}

/// Calls what a variable holds.
#[durable]
pub async fn variables(ctx: Context) -> u64 {
    let pointer: fn(u64) -> Ready<u64> = not_async_but_a_future;
    let offset = 10;
    let closure = |number: u64| async move { number + offset };
    let text = String::from("ab");
    let not_copy = move |number: u64| ready(number + text.len() as u64);
    let first = ctx.run(pointer, 1).await;
    let second = ctx.run(closure, first).await;
    let third = ctx.run(&not_copy, second).await;
    ctx.run(not_copy, third).await
}

#[tokio::test]
async fn every_path_is_called_by_its_last_name() {
    let (output, steps) = run_and_inspect(paths, order()).await;
    assert_eq!(output, ["ada: 46 + 2", "42", "3", "  42", "  42", "0", "run:only_step", "2"]);
    let keys: Vec<&str> = steps.iter().map(|step| step.key.as_str()).collect();
    let expected = [
        "total",
        "pay",
        "pay#2",
        "charge",
        "quote",
        "deep",
        "show",
        "show#2",
        "nothing",
        "only_step",
        "not_async_but_a_future",
    ];
    assert_eq!(keys, expected);
}

#[tokio::test]
async fn every_argument_arrives() {
    let (by_value, array, texts, sixteen) = run(arguments, order()).await;
    assert_eq!((by_value, array, sixteen), (45, 6, 120));
    assert_eq!(texts, ["1: ada! Some(\"x\") 2", "1: run:only_step None 2", "1: boxed None 2"]);
}

#[tokio::test]
async fn variables_are_called_by_their_name() {
    let (output, steps) = run_and_inspect(variables, ()).await;
    assert_eq!(output, 16);
    assert_eq!(steps[2].key, "not_copy");
}

#[tokio::test]
async fn the_recorded_call_site_is_the_users() {
    let (_, steps) = run_and_inspect(variables, ()).await;
    let source = include_str!("callees.rs");
    let line = 1 + source.lines().position(|line| line.contains("ctx.run(pointer, 1)")).expect("the call is there");
    let column = 1 + source.lines().nth(line - 1).and_then(|line| line.find("run(")).expect("the call is there");
    assert!(steps[0].site.ends_with(&format!("callees.rs:{line}:{column}")), "{}", steps[0].site);
}
