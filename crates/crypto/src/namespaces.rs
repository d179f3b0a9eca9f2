//! Every domain-separation string of this crate, in one file.
//!
//! Promises that no two kinds of hashed, signed or derived bytes share a string; a test holds that.
//! Refuses to know the namespaces of higher rooms: `salus-wire` lists its own with [`Namespace::new`].

use crate::digest::Namespace;

/// Hashed: the whole ciphertext of a sealed segment.
pub const CIPHERTEXT: Namespace = Namespace::new("salus/ciphertext/v1");
/// Hashed: a link of a chain, to make the link before it.
pub const CHAIN: Namespace = Namespace::new("salus/chain/v1");
/// Hashed: a link of a chain, to make the tag that the ledger shows.
pub const TAG: Namespace = Namespace::new("salus/tag/v1");
/// Hashed: a link of a chain, to make what stands for it in commitments.
pub const CHAIN_MARK: Namespace = Namespace::new("salus/chain-mark/v1");
/// Derived: the last link of a chain, from its seed.
pub const CHAIN_TOP: Namespace = Namespace::new("salus/chain-top/v1");
/// Derived: the seed of a child chain (a grant's lane), from its parent's seed.
pub const CHAIN_CHILD: Namespace = Namespace::new("salus/chain-child/v1");
/// Derived: the key of a body that only holders of the seed open by themselves, from the seed.
pub const CHAIN_BODY: Namespace = Namespace::new("salus/chain-body/v1");
/// Derived: the key of a body that whoever is shown the link opens, from the link.
pub const LINK_BODY: Namespace = Namespace::new("salus/link-body/v1");
/// Derived: the AES key of one sealed body, from its body key and its random bytes.
pub const BODY: Namespace = Namespace::new("salus/body/v1");
/// Hashed: a key share with its index and context, to name the custodian of a bad one.
pub const SHARE: Namespace = Namespace::new("salus/share/v1");
/// Hashed: a key with its context, to name the writer of a bad share package.
pub const KEY_COMMITMENT: Namespace = Namespace::new("salus/key-commitment/v1");
/// Derived: the AES key of one record at rest, from the machine key and the record's random bytes.
pub const AT_REST_RECORD: Namespace = Namespace::new("salus/at-rest-record/v1");
/// Derived: the AES key of one file of rows at rest, from the machine key and the file's random bytes.
pub const AT_REST_ROWS: Namespace = Namespace::new("salus/at-rest-rows/v1");
/// PRF input: parts of a file name, under the machine key.
pub const AT_REST_LABEL: Namespace = Namespace::new("salus/at-rest-label/v1");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_are_alike() {
        let all = [
            CIPHERTEXT,
            CHAIN,
            TAG,
            CHAIN_MARK,
            CHAIN_TOP,
            CHAIN_CHILD,
            CHAIN_BODY,
            LINK_BODY,
            BODY,
            SHARE,
            KEY_COMMITMENT,
            AT_REST_RECORD,
            AT_REST_ROWS,
            AT_REST_LABEL,
        ];
        let listed = include_str!("namespaces.rs").matches("Namespace = Namespace::new(").count();
        let distinct: BTreeSet<_> = all.iter().map(Namespace::as_str).collect();
        // The search above also finds its own line in this test.
        assert_eq!(distinct.len() + 1, listed);
    }
}
