//! What `ctx.continue_as_new` takes.
#![deny(warnings, clippy::pedantic, missing_docs)]

use durable_runtime::{Context, durable};

use crate::run;

async fn add(a: u32, b: u32) -> u32 {
    a + b
}

/// With one parameter, as the last expression.
#[durable]
pub async fn counts_down(ctx: Context, left: u32) -> u32 {
    if left == 0 {
        return 7;
    }
    ctx.continue_as_new(left - 1).await
}

/// With several, of which one is a tuple; in a branch, a block and a match.
#[durable]
pub async fn sums(ctx: Context, (from, to): (u32, u32), sum: u32, names: Vec<String>) -> Result<u32, String> {
    match to.checked_sub(from) {
        None => Err("the wrong way round".to_owned()),
        Some(0) => Ok(sum + u32::try_from(names.len()).unwrap_or(u32::MAX)),
        Some(_) => {
            let sum = ctx.run(add, from, sum).await;
            let goes_on = async { ctx.continue_as_new((from + 1, to), sum, vec![names.join("-")]).await };
            let (never, ()) = tokio::join!(goes_on, async {
                ctx.run(add, 1, 1).await;
            });
            never
        }
    }
}

/// Without a parameter, in a helper that names it.
#[durable]
pub async fn tosses(ctx: Context) -> bool {
    if ctx.uuid().as_bytes()[0].is_multiple_of(2) {
        return true;
    }
    again(&ctx).await
}

#[durable]
async fn again(ctx: &Context) -> bool {
    ctx.continue_as_new::<tosses>(()).await
}

/// In its `else`, where nothing is to come of it.
#[durable]
pub async fn halves(ctx: Context, number: u32) -> u32 {
    let Some(half) = number.checked_div(2).filter(|half| *half > 0) else { return number };
    if number.is_multiple_of(2) {
        ctx.continue_as_new(half).await;
    }
    half
}

#[tokio::test]
async fn they_go_on_until_they_return() {
    assert_eq!(run(counts_down, 5).await, 7);
    assert_eq!(run(sums, ((1, 4), 0, vec!["a".to_owned(), "b".to_owned()])).await, Ok(7));
    assert_eq!(run(sums, ((4, 1), 0, Vec::new())).await, Err("the wrong way round".to_owned()));
    assert!(run(tosses, ()).await);
    assert_eq!(run(halves, 12).await, 1);
}
