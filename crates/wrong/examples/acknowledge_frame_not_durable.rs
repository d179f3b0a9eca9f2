//! Wrong: makes the evidence with which a device is answered before its frame is on disk.
//!
//! EXPECT: E0451 of struct `salus_store::queue::Durable` are private
#![forbid(unsafe_code)]

use salus_store::queue::{Arrival, Durable};

/// Calls a frame durable that was never written.
pub fn acknowledge_frame(arrival: &Arrival) -> Durable {
    Durable { device: arrival.device, sequence: arrival.sequence } // wrong
}
