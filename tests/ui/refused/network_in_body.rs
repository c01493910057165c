use std::net::TcpStream;

use durable_runtime::{durable, Context};

#[durable]
async fn process(ctx: Context, url: String) -> String {
    let stream = TcpStream::connect("localhost:80").unwrap();
    let listener = tokio::net::TcpListener::bind("localhost:0").await.unwrap();
    let page = reqwest::get(&url).await.unwrap().text().await.unwrap();
    let client = reqwest::Client::new();
    ctx.run(keep, page).await
}

async fn keep(page: String) -> String {
    page
}

fn main() {}
