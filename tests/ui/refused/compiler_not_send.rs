use durable_runtime::{durable, Context};

use std::rc::Rc;

#[durable]
async fn process(ctx: Context) -> u32 {
    let order = Rc::new(3);
    let first = ctx.run(charge).await;
    first + *order
}

async fn charge() -> u32 {
    3
}

fn main() {}
