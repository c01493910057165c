use std::thread;

use durable_runtime::{durable, Context};
use tokio::task::{self, JoinSet};

#[durable]
async fn process(ctx: Context, numbers: Vec<u32>) -> u32 {
    let first = tokio::spawn(double(1)).await.unwrap();
    let second = task::spawn_blocking(|| 2).await.unwrap();
    let third = thread::spawn(|| 3).join().unwrap();
    let mut set = JoinSet::new();
    for number in numbers {
        set.spawn(double(number));
    }
    let sum = thread::scope(|scope| scope.spawn(|| first + second).join().unwrap());
    let (left, right) = rayon::join(|| sum, || third);
    ctx.run(double, left + right).await
}

async fn double(number: u32) -> u32 {
    number * 2
}

fn main() {}
