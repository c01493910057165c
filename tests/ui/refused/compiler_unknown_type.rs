use durable_runtime::{durable, Context};

#[durable]
async fn process(_: Context, order: Ordre) -> Result<Recipe, u32> {
    order.charge()
}

fn main() {}
