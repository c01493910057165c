//! The world outside: a warehouse.

use std::collections::BTreeMap;

use tokio::sync::watch;

/// What is in a warehouse. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Warehouse(watch::Sender<Books>);

#[derive(Debug, Default)]
struct Books {
    in_stock: usize,
    /// What is reserved, by the key under which that was asked.
    reserved: BTreeMap<String, String>,
    shipped: Vec<String>,
}

impl Warehouse {
    pub fn with(in_stock: usize) -> Self {
        Self(watch::Sender::new(Books { in_stock, ..Books::default() }))
    }

    /// Reserves a piece of furniture, once for each key; the reservation is known by that.
    pub fn reserve(&self, key: &str, furniture: &str) -> String {
        self.0.send_modify(|books| {
            if books.reserved.insert(key.to_owned(), furniture.to_owned()).is_none() {
                books.in_stock -= 1;
            }
        });
        key.to_owned()
    }

    /// Gives a reservation back, if it is still there.
    pub fn release(&self, reservation: &str) {
        self.0.send_modify(|books| books.in_stock += usize::from(books.reserved.remove(reservation).is_some()));
    }

    /// Ships what was reserved, if it was not already.
    pub fn ship(&self, reservation: &str) {
        self.0.send_modify(|books| books.shipped.extend(books.reserved.remove(reservation)));
    }

    /// Waits until so much is reserved.
    pub async fn has_reserved(&self, reservations: usize) {
        drop(self.0.subscribe().wait_for(|books| books.reserved.len() == reservations).await);
    }

    pub fn in_stock(&self) -> usize {
        self.0.borrow().in_stock
    }

    pub fn shipped(&self) -> Vec<String> {
        self.0.borrow().shipped.clone()
    }
}
