//! What the tests of bad input share: a consortium of real processes, and devices to be bad with.

pub(crate) mod consortium;
pub(crate) mod device;
pub(crate) mod disk;
pub(crate) mod frames;
pub(crate) mod garbage;
pub(crate) mod mosquitto;
pub(crate) mod ports;
pub(crate) mod stream;
pub(crate) mod until;
