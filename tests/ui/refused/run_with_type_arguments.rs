use durable_runtime::{durable, Context};

#[durable]
async fn process(ctx: Context) -> u32 {
    ctx.run::<u32>(parse::<u32>, "3").await
}

async fn parse<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn main() {}
