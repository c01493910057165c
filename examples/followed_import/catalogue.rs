//! The durable function, and the world outside.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use durable_runtime::{Context, Failure, Retry, StepContext, durable};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// What a reader is shown after each page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub page: u32,
    pub pages: u32,
    pub songs: u32,
}

/// Somebody else's catalogue: it takes its time, and is now and then out of order. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    /// How long it takes for a page.
    takes: Duration,
    asked: Arc<Mutex<BTreeSet<u32>>>,
}

impl Catalogue {
    /// One that takes so long for a page.
    pub fn slow(takes: Duration) -> Self {
        Self { takes, ..Self::default() }
    }

    /// How many songs are on a page. Each third page fails when it is asked for first.
    async fn songs_on(&self, page: u32) -> Result<u32, Failure> {
        tokio::time::sleep(self.takes).await;
        if self.asked.lock().insert(page) && page.is_multiple_of(3) {
            return Err(Failure::new("the catalogue is out of order"));
        }
        Ok(10 + page)
    }
}

async fn fetch(step: StepContext, page: u32) -> Result<u32, Failure> {
    step.dependency::<Catalogue>().songs_on(page).await
}

async fn build_index(songs: u32) -> u32 {
    songs
}

/// Imports a catalogue page by page, and shows how far it is.
#[durable]
pub async fn import(ctx: Context, pages: u32) -> Result<u32, Failure> {
    let patient = Retry::fixed(Duration::from_millis(20)).max_attempts(3);
    ctx.publish("stage", "fetching");
    let mut songs = 0;
    for page in 1..=pages {
        songs += ctx.run(fetch, page).retry(patient).await?;
        ctx.publish("progress", &Progress { page, pages, songs });
    }
    ctx.publish("stage", "indexing");
    let indexed = ctx.run(build_index, songs).await;
    ctx.publish("stage", "done");
    Ok(indexed)
}
