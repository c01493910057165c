//! Hotels, as a trip sees them. They know trips by their ids, so that being told something twice is being told once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use durable_runtime::TimedOut;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::booking::Booked;

/// Why a hotel does not do what it is asked, or why we don't know whether it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HotelError {
    /// No room is kept for this id, and none will be.
    No,
    /// Done or not: ask again with the same id.
    TimedOut,
}

impl HotelError {
    /// Whether the hotel has said no, and would say so again.
    pub fn is_no(&self) -> bool {
        match self {
            Self::No => true,
            Self::TimedOut => false,
        }
    }
}

impl From<TimedOut> for HotelError {
    fn from(_: TimedOut) -> Self {
        Self::TimedOut
    }
}

/// What a hotel has written down for an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    Kept,
    Booked,
    /// Stays in the books: an order to keep a room that arrives late is refused.
    Released,
}

/// A hotel with its books.
#[derive(Debug)]
pub struct Hotel {
    name: String,
    cents: u64,
    latency: Duration,
    gives_away: bool,
    rooms: Mutex<BTreeMap<String, Room>>,
}

impl Hotel {
    /// It acts at once, and its answer takes so long.
    pub fn new(name: &str, cents: u64, latency: Duration) -> Self {
        Self { name: name.to_owned(), cents, latency, gives_away: false, rooms: Mutex::default() }
    }

    /// A hotel that gives rooms away that it keeps for somebody.
    pub fn gives_away(self) -> Self {
        Self { gives_away: true, ..self }
    }

    /// Keeps a room free and returns its price in cents.
    pub async fn keep(&self, id: &str) -> Result<u64, HotelError> {
        let offer = self.keep_now(id);
        tokio::time::sleep(self.latency).await;
        offer
    }

    /// Without the time that the answer takes.
    pub fn keep_now(&self, id: &str) -> Result<u64, HotelError> {
        match self.rooms.lock().entry(id.to_owned()).or_insert(Room::Kept) {
            Room::Kept | Room::Booked => Ok(self.cents),
            Room::Released => Err(HotelError::No),
        }
    }

    /// Books the room that is kept for this id.
    pub async fn book(&self, id: &str) -> Result<(), HotelError> {
        let answer = match self.rooms.lock().get_mut(id) {
            Some(Room::Booked) => Ok(()),
            Some(room @ Room::Kept) if !self.gives_away => {
                *room = Room::Booked;
                Ok(())
            }
            Some(Room::Kept | Room::Released) | None => Err(HotelError::No),
        };
        tokio::time::sleep(self.latency).await;
        answer
    }

    /// Keeps no room for this id, now or later. What is booked stays booked.
    pub async fn release(&self, id: &str) {
        {
            let mut rooms = self.rooms.lock();
            let room = rooms.entry(id.to_owned()).or_insert(Room::Released);
            if *room == Room::Kept {
                *room = Room::Released;
            }
        }
        tokio::time::sleep(self.latency).await;
    }

    fn rooms(&self, wanted: Room) -> impl Iterator<Item = Booked> {
        let count = self.rooms.lock().values().filter(|room| **room == wanted).count();
        std::iter::repeat_n(Booked { hotel: self.name.clone(), cents: self.cents }, count)
    }
}

/// All hotels of a town. Clones share their books.
#[derive(Debug, Clone)]
pub struct Hotels(Arc<Vec<Hotel>>);

impl Hotels {
    pub fn new(hotels: impl IntoIterator<Item = Hotel>) -> Self {
        Self(Arc::new(hotels.into_iter().collect()))
    }

    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(|hotel| hotel.name.clone()).collect()
    }

    /// The hotel with this name.
    pub fn of(&self, name: &str) -> &Hotel {
        self.0.iter().find(|hotel| hotel.name == name).expect("trips name hotels of this town")
    }

    /// All rooms that are booked.
    pub fn booked(&self) -> Vec<Booked> {
        self.0.iter().flat_map(|hotel| hotel.rooms(Room::Booked)).collect()
    }

    /// All rooms that are kept free for somebody.
    pub fn kept(&self) -> Vec<Booked> {
        self.0.iter().flat_map(|hotel| hotel.rooms(Room::Kept)).collect()
    }

    /// What each hotel has in its books, for people.
    pub fn books(&self) -> Vec<String> {
        let line = |hotel: &Hotel| {
            let rooms = hotel.rooms.lock();
            let rooms: Vec<String> = rooms.iter().map(|(id, room)| format!("{id} {room:?}")).collect();
            format!("{:<9} {:>3}.{:02}  {}", hotel.name, hotel.cents / 100, hotel.cents % 100, rooms.join(", "))
        };
        self.0.iter().map(line).collect()
    }
}
