use std::collections::{HashMap, HashSet};

use durable_runtime::{durable, Context};

#[durable]
async fn process(ctx: Context, prices: HashMap<String, u32>, mut skus: HashSet<String>) -> Vec<u32> {
    let mut totals = Vec::new();
    for (sku, price) in &prices {
        totals.push(ctx.run(total, sku, *price).await);
    }
    for sku in skus.clone() {
        totals.push(ctx.run(total, &sku, 1).await);
    }
    let steps = prices.iter().map(|(sku, price)| ctx.run(total, sku, *price));
    totals.extend(futures::future::join_all(steps).await);
    let first = prices.keys().next().cloned().unwrap_or_default();
    let few: u32 = prices.values().take(3).sum();
    skus.retain(|sku| *sku > first);
    let list: Vec<String> = skus.drain().collect();
    totals.push(ctx.run(total, &list.concat(), few).await);
    for price in prices.into_values() {
        totals.push(price);
    }
    totals
}

async fn total(sku: &str, price: u32) -> u32 {
    u32::try_from(sku.len()).unwrap() * price
}

fn main() {}
