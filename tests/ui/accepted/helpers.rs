//! Parts of a run that are functions of their own.
#![deny(warnings, clippy::pedantic, missing_docs)]

use std::fmt::Display;
use std::sync::atomic::{AtomicUsize, Ordering};

use durable_runtime::{Context, durable};
use serde::Serialize;

use crate::{run, run_and_inspect};

async fn show<T: Display + Sync + ?Sized>(value: &T) -> String {
    tokio::task::yield_now().await;
    value.to_string()
}

/// Borrows and is generic, as any function may be.
#[durable]
async fn all<'a, T, const N: usize>(ctx: &Context, values: &'a [T; N], separator: impl Display) -> (String, &'a T)
where
    T: Display + Serialize + Send + Sync,
{
    let mut text = String::new();
    for value in values {
        text += &ctx.run(show::<T>, value).await;
        text += &separator.to_string();
    }
    (text, &values[0])
}

#[durable]
async fn retried<F, R>(ctx: &Context, times: u32, work: F) -> Result<u32, String>
where
    F: Fn(u32) -> R + Send + Sync,
    R: Future<Output = Result<u32, String>> + Send,
{
    let mut result = Err("never tried".to_owned());
    for attempt in 1..=times {
        result = ctx.run(&work, attempt).named("work").await;
        if result.is_ok() {
            break;
        }
    }
    result
}

/// Whose result is not to be ignored.
#[durable]
#[must_use]
pub async fn important(ctx: &Context, value: u32) -> u32 {
    ctx.run("important", async || value).await
}

#[durable]
async fn recursive(context: &Context, depth: u32) -> u32 {
    let next = context.run("next", async || depth + 1).await;
    if next < 3 { Box::pin(recursive(context, next)).await } else { next }
}

/// Keeps what it does not use, as any function does.
#[durable]
async fn kept(ctx: &Context, _permit: Permit, _unused: &mut u32) -> usize {
    ctx.run(show, "kept").await;
    OPEN.load(Ordering::Relaxed)
}

static OPEN: AtomicUsize = AtomicUsize::new(0);

struct Permit;

impl Drop for Permit {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Holds a permit.
#[durable]
async fn holds(ctx: Context) -> (usize, usize) {
    OPEN.fetch_add(1, Ordering::Relaxed);
    (kept(&ctx, Permit, &mut 1).await, OPEN.load(Ordering::Relaxed))
}

/// Something with helpers of its own.
pub struct Shop;

impl Shop {
    /// A helper without `self`.
    #[durable]
    pub async fn open(ctx: &Context, name: &str) -> String {
        ctx.run(show::<str>, name).await
    }
}

/// Uses all of them.
#[durable]
pub async fn caller(ctx: Context) -> Result<Vec<String>, String> {
    let values = [3, 4];
    let (text, first) = all(&ctx, &values, '-').await;
    let second = retried(&ctx, 3, async |number| if number > 1 { Ok(number) } else { Err("too early".to_owned()) });
    let second = second.await?;
    let (third, fourth) = tokio::join!(recursive(&ctx, 0), Shop::open(&ctx, "shop"));
    let third = important(&ctx, third).await;
    Ok(vec![text, first.to_string(), second.to_string(), third.to_string(), fourth])
}

#[tokio::test]
async fn helpers_are_part_of_the_run() {
    let (output, steps) = run_and_inspect(caller, ()).await;
    assert_eq!(output.expect("it works"), ["3-4-", "3", "2", "3", "shop"]);
    assert_eq!(steps.len(), 9);
}

#[tokio::test]
async fn helpers_run_again() {
    assert_eq!(run(caller, ()).await.map(|list| list.len()), Ok(5));
}

#[tokio::test]
async fn parameters_are_kept() {
    assert_eq!(run(holds, ()).await, (1, 0));
}
