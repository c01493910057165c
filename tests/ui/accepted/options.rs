//! The options of the attribute.
#![deny(warnings, clippy::pedantic, missing_docs)]

use durable_runtime::{CallSite, DurableFunction, OnChange};

use crate::run;

/// Where an application may have the runtime, under another name.
mod library {
    pub(super) use durable_runtime as durable;
}

use library::durable::{Context, durable};

async fn next(number: u32) -> u32 {
    tokio::task::yield_now().await;
    number + 1
}

/// Is recorded under another name, in its second version.
#[durable(name = "options.named", version = 2)]
pub async fn named(ctx: Context) -> u32 {
    ctx.run(next, 1).await
}

/// Lets runs go on that changed code does not fit.
#[durable(on_change = "resume")]
pub async fn resumed(ctx: Context) -> u32 {
    let first = ctx.run(next, 1).await;
    ctx.run(next, first).named("second").await + ctx.run(next, first).named(format!("third {first}")).await
}

/// Says what is so without it.
#[durable(on_change = "halt")]
pub async fn halted(_: Context) {}

/// Asks for patches in every position.
#[durable]
pub async fn patched(ctx: Context, number: u32) -> bool {
    ctx.deprecate_patch("options: old");
    if ctx.patched("options: first") && number > 0 {
        ctx.run(next, u32::from(ctx.patched("options: first"))).await;
    }
    ctx.patched("options: second") || number > 1
}

/// Finds the runtime elsewhere.
#[durable(crate = library::durable)]
pub async fn elsewhere(ctx: Context) -> u32 {
    let first = ctx.run(next, 1).await;
    let second = ctx.run("inline", async |step| step.attempt()).await;
    part(&ctx, first + second).await
}

/// A helper finds it there, too.
#[durable(crate = crate::accepted::options::library::durable,)]
async fn part(ctx: &Context, number: u32) -> u32 {
    ctx.run(next, number).await
}

/// Has no options, and says so.
#[durable()]
pub async fn without(ctx: Context) -> u32 {
    ctx.run(next, 1).await
}

#[test]
fn call_sites_are_listed() {
    let lines: Vec<_> = include_str!("options.rs").lines().zip(1_u32..).collect();
    let line_of = |text: &str| lines.iter().find(|(line, _)| line.contains(text)).expect("it is written here").1;
    let site = |name, text: &str| CallSite { name, file: file!(), line: line_of(text) };
    let second = "ctx.run(next, first).named(\"second";
    assert_eq!(
        resumed::CALL_SITES,
        [site("next", "let first = ctx.run(next, 1).await;"), site("second", second), site("", second)]
    );
    assert_eq!(halted::CALL_SITES, []);
}

#[tokio::test]
async fn options_are_kept() {
    assert_eq!((named::NAME, named::VERSION), ("options.named", 2));
    assert_eq!((without::NAME, without::VERSION), ("without", 1));
    assert_eq!(
        (resumed::ON_CHANGE, halted::ON_CHANGE, without::ON_CHANGE),
        (OnChange::Resume, OnChange::Halt, OnChange::Halt)
    );
    assert_eq!(run(named, ()).await, 2);
    assert_eq!(run(resumed, ()).await, 6);
    run(halted, ()).await;
    assert!(run(patched, 1).await);
    assert_eq!(run(elsewhere, ()).await, 4);
    assert_eq!(run(without, ()).await, 2);
}
