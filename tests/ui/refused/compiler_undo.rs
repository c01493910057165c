use durable_runtime::{Context, durable};

#[durable]
async fn starts_a_run(ctx: Context, sku: String) {
    ctx.undo(gives_back, sku);
}

#[durable]
async fn borrows(ctx: Context, sku: String) {
    let borrowed = sku.as_str();
    ctx.undo(release, borrowed);
}

#[durable]
async fn takes_another(ctx: Context, number: u32) {
    ctx.undo(release, &number);
}

#[durable]
async fn gives_back(_ctx: Context, sku: String) {
    drop(sku);
}

async fn release(_sku: &str) {}

fn main() {}
