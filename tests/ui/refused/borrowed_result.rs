use durable_runtime::{durable, Context};

#[durable]
async fn process(ctx: Context) -> Result<u32, &'static str> {
    Err("late")
}

fn main() {}
