//! Shows how far the work is: a bar on a terminal, now and then a line elsewhere.

use std::io::{IsTerminal, stderr};

use indicatif::{ProgressBar, ProgressStyle};

use crate::records::Counts;

const TEMPLATE: &str = "{elapsed} {bar:24} {pos}/{len} orders, {wide_msg}";

#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    on_terminal: bool,
    orders_count: u64,
    tenths_printed: u64,
}

impl Progress {
    pub fn new(orders_count: u64) -> Self {
        let on_terminal = stderr().is_terminal();
        // Without a terminal the bar draws nothing by itself.
        let style = ProgressStyle::with_template(TEMPLATE).expect("the template is right");
        let bar = ProgressBar::new(orders_count).with_style(style);
        Self { bar, on_terminal, orders_count, tenths_printed: 0 }
    }

    /// Shows the counts, if they have changed enough.
    pub fn show(&mut self, counts: Counts, kills: usize) {
        let Counts { charged, declined, stored, confirmed } = counts;
        let text = format!(
            "{charged} charged, {declined} declined, {stored} stored, {confirmed} confirmed; worker killed {kills} times"
        );
        let done = counts.orders_done();
        self.bar.set_position(done);
        self.bar.set_message(text.clone());
        let tenths = (done * 10).checked_div(self.orders_count).unwrap_or(10);
        if !self.on_terminal && tenths > self.tenths_printed {
            self.tenths_printed = tenths;
            println!("{done}/{} orders, {text}", self.orders_count);
        }
    }

    /// Leaves the bar as it is.
    pub fn finish(&self) {
        self.bar.abandon();
    }
}
