use durable_runtime::{durable, Context};

#[durable]
async fn process(ctx: Context) -> u32 {
    ctx.run(charge).await
}

async fn charge() -> u32 {
    let order = std::rc::Rc::new(3);
    std::future::ready(()).await;
    *order
}

fn main() {}
