use durable_runtime::{durable, Context};

#[durable]
async fn part(ctx: &mut Context) -> u32 {
    ctx.run(charge).await
}

async fn charge() -> u32 {
    3
}

#[durable]
async fn caller(mut ctx: Context) -> u32 {
    part(&mut ctx).await
}

fn main() {}
