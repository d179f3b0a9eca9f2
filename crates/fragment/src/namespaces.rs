//! Every label under which this room derives a value from an epoch key or a segment key.
//!
//! Promises that no two share one. Refuses to know what the values are used for.

use salus_crypto::Namespace;

/// Derived: the key of an epoch's locators, from the epoch key.
pub(crate) const LOCATOR_KEY: Namespace = Namespace::new("salus/locator-key/v1");
/// PRF input: writer and grant chain, under the locator key, to make the key that names segments.
pub(crate) const LOCATORS: Namespace = Namespace::new("salus/locators/v1");
/// PRF input: the number of a segment, under that key, to say where stores keep it.
pub(crate) const LOCATOR: Namespace = Namespace::new("salus/locator/v1");
/// Derived: the key of one sealing attempt, from the epoch key.
pub(crate) const SEGMENT_KEY: Namespace = Namespace::new("salus/segment-key/v1");
/// Derived: the key of one attempt's descriptor, from the epoch key.
pub(crate) const DESCRIPTOR_KEY: Namespace = Namespace::new("salus/descriptor-key/v1");
/// Derived: the key of one attempt's ciphertext, from the segment key.
pub(crate) const CONTENT_KEY: Namespace = Namespace::new("salus/content-key/v1");
/// PRF input: the index of a leaf, under the segment key, to make its salt.
pub(crate) const LEAF_SALT: Namespace = Namespace::new("salus/leaf-salt/v1");
