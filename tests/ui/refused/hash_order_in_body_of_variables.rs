use std::collections::{HashMap, HashSet};

use durable_runtime::{durable, Context};

#[durable]
async fn helper(ctx: &Context, list: &[u32], other: &HashSet<u32>) -> u32 {
    use std::collections::HashMap as Map;

    let mut sum = 0;
    let typed: HashMap<u32, u32> = ctx.run("typed", async || HashMap::new()).await;
    for (key, _) in typed {
        sum += ctx.run(double, key).await;
    }
    let mut made = HashSet::new();
    made.insert(3);
    for number in made.difference(other) {
        sum += ctx.run(double, *number).await;
    }
    let collected = list.iter().map(|number| (*number, 1)).collect::<Map<_, _>>();
    tokio::join!(async {
        for (key, _) in &collected {
            ctx.run(double, *key).await;
        }
    });
    let renamed = Map::from([(1, 2)]);
    let copy = &renamed;
    sum + copy.keys().fold(0, |sum, key| sum * 2 + key)
}

async fn double(number: u32) -> u32 {
    number * 2
}

fn main() {}
