//! Every label under which this room derives a value from an epoch key or a segment key.
//!
//! Promises that no two share one. Refuses to know what the values are used for.

use salus_crypto::Namespace;

/// Derived: where stores keep a segment, from the epoch key.
pub(crate) const LOCATOR: Namespace = Namespace::new("salus/locator/v1");
/// Derived: the key of one sealing attempt, from the epoch key.
pub(crate) const SEGMENT_KEY: Namespace = Namespace::new("salus/segment-key/v1");
/// Derived: the key of one attempt's descriptor, from the epoch key.
pub(crate) const DESCRIPTOR_KEY: Namespace = Namespace::new("salus/descriptor-key/v1");
/// Derived: the key of one attempt's ciphertext, from the segment key.
pub(crate) const CONTENT_KEY: Namespace = Namespace::new("salus/content-key/v1");
/// PRF input: the index of a leaf, under the segment key, to make its salt.
pub(crate) const LEAF_SALT: Namespace = Namespace::new("salus/leaf-salt/v1");
