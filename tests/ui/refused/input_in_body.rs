use durable_runtime::{durable, Context};

#[durable]
async fn process(ctx: Context) -> String {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    ctx.run("keep", async || line.clone()).await
}

fn main() {}
