use std::fs::{self, File};
use std::io::Read as _;

use durable_runtime::{durable, Context};

#[durable]
async fn process(ctx: Context, path: String) -> Result<String, String> {
    let text = fs::read_to_string(&path).map_err(|error| error.to_string())?;
    let mut file = File::open(&path).unwrap();
    tokio::fs::write(&path, ctx.run(shorten, &text).await).await.unwrap();
    let options = fs::OpenOptions::new().append(true).open(&path);
    let mut rest = String::new();
    file.read_to_string(&mut rest).unwrap();
    Ok(rest)
}

async fn shorten(text: &str) -> String {
    text.chars().take(3).collect()
}

fn main() {}
