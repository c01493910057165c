use std::io::{self, Write as _};

use durable_runtime::{durable, Context};

#[durable]
async fn process(ctx: Context, name: String) -> u32 {
    println!("processing {name}");
    let number = dbg!(ctx.run("number", async || 3).await) + 1;
    match number {
        4 => eprintln!("four"),
        _ => std::print!("{number}"),
    }
    io::stdout().flush().unwrap();
    number
}

fn main() {}
