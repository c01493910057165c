use durable_runtime::{durable, Context};

trait Shop {
    #[durable]
    async fn process(ctx: Context);
}

fn main() {}
