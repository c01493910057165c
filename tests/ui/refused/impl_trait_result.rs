use durable_runtime::{durable, Context};

#[durable]
async fn process(ctx: Context) -> Result<impl ToString, u32> {
    Ok("done")
}

fn main() {}
