//! The part to copy: three steps and the durable function that runs them, for all hotels at once.

use std::time::Duration;

use durable_runtime::{Context, Retry, StepContext, durable};
use futures::future::join_all;
use serde::{Deserialize, Serialize};

use crate::hotels::{HotelError, Hotels};

/// How long a hotel may take to make an offer.
const DEADLINE: Duration = Duration::from_millis(200);

/// A room that is paid for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Booked {
    pub hotel: String,
    pub cents: u64,
}

/// Books the cheapest room, or none if there is none. Killed anywhere, it goes on behind what was recorded.
///
/// A hotel that makes an offer keeps a room free until it is told otherwise. So also those are told that have not
/// answered in time: they may keep one all the same. And no other hotel is asked to book until one has said no: to give
/// up waiting for an answer would be to pay twice.
#[durable]
pub async fn book_cheapest(ctx: Context, hotels: Vec<String>) -> Option<Booked> {
    let until_answered = Retry::exponential(Duration::from_millis(20)).max_attempts(u32::MAX).unless(HotelError::is_no);
    let twice = Retry::fixed(Duration::from_millis(20)).max_attempts(2).unless(HotelError::is_no);

    let asked = hotels.iter().map(|hotel| ctx.run(keep_room, hotel).timeout(DEADLINE).retry(twice));
    let offered = join_all(asked).await;
    let mut offers: Vec<(u64, &String)> =
        offered.into_iter().zip(&hotels).filter_map(|(offer, hotel)| Some((offer.ok()?, hotel))).collect();
    offers.sort_unstable();

    let mut booked = None;
    for (cents, hotel) in offers {
        if ctx.run(book_room, hotel).retry(until_answered).await.is_ok() {
            booked = Some(Booked { hotel: hotel.clone(), cents });
            break;
        }
    }

    let others = hotels.iter().filter(|hotel| booked.as_ref().is_none_or(|booked| booked.hotel != **hotel));
    join_all(others.map(|hotel| ctx.run(release_room, hotel))).await;
    booked
}

/// Returns the price in cents. The room is kept under the trip's id: asked again, the hotel keeps no second one.
async fn keep_room(step: StepContext, hotel: &str) -> Result<u64, HotelError> {
    step.dependency::<Hotels>().of(hotel).keep(step.run_id().as_str()).await
}

/// Asked again, the hotel has booked already, and says so.
async fn book_room(step: StepContext, hotel: &str) -> Result<(), HotelError> {
    step.dependency::<Hotels>().of(hotel).book(step.run_id().as_str()).await
}

/// Whether or not a room is kept.
async fn release_room(step: StepContext, hotel: &str) {
    step.dependency::<Hotels>().of(hotel).release(step.run_id().as_str()).await;
}
