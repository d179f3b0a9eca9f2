//! The room of looks: what opens an emergency grant once, its key split among the custodians. ADR 15.
//!
//! Promises that fewer than t shares say nothing of the kit, that nothing in them tells the tag to who lacks the
//! card, that a share for which the card did not sign is none, that a bad share names its custodian and that shares
//! of two preparations are told apart. Refuses to know who asks and whether there is an emergency.

use crate::error::ShareFault;
use rand_core::CryptoRng;
use salus_crypto::chain::{ChainTag, Link, anchored, open_body, seal_body};
use salus_crypto::digest::Digest;
use salus_crypto::sharing::{self, Share, ShareIndex, Threshold};
use salus_crypto::{PublicKey, Secret};
use salus_wire::consent::Grant;
use salus_wire::emergency::{
    EmergencyKit, LookHeader, LookShare, card_key, card_name, look_context, look_message, look_name, tag_key,
};
use salus_wire::limits::{EMERGENCY_KIT_PLAIN_BYTES, EMERGENCY_PLACES_MAX, EMERGENCY_TAG_PLAIN_BYTES};
use salus_wire::release::ShareBytes;
use salus_wire::{AccessTag, Blob, ChainId, Faults, GrantTag, List, MemberIndex, decode, encode, namespaces};
use std::collections::BTreeMap;

/// Which look is prepared.
#[derive(Clone, Copy, Debug)]
pub struct LookPlace {
    /// The emergency grant.
    pub grant: GrantTag,
    /// Its place on the grant's lane, from 1.
    pub place: u16,
    /// The tag there.
    pub access: AccessTag,
}

/// A share that the card signed for and that matches its hash. Made by [`CheckedLook::check`] alone.
#[derive(Debug)]
pub struct CheckedLook {
    header: LookHeader,
    custodian: MemberIndex,
    share: Share,
}

/// Seals a kit under a fresh key and splits that t-of-n: one share for each member, in order of index. `card` is the
/// secret of the card that finds it, `terms` the grant. `None` when the kit is longer than any can be.
#[expect(clippy::expect_used, reason = "`Faults` holds 1 <= t <= n <= 64, which splitting permits")]
pub fn prepare(
    chain: ChainId,
    faults: Faults,
    at: LookPlace,
    terms: &Grant,
    kit: &EmergencyKit,
    card: &Secret<32>,
    rng: &mut impl CryptoRng,
) -> Option<Vec<LookShare>> {
    let LookPlace { grant, place, access } = at;
    let context = look_context(grant, place);
    let key = Secret::random(rng);
    let sealed = seal_body(&key, EMERGENCY_KIT_PLAIN_BYTES, &encode(kit), rng).ok()?;
    let tag = seal_body(&tag_key(card, grant, place), EMERGENCY_TAG_PLAIN_BYTES, access.0.as_bytes(), rng);
    let threshold = Threshold::new(faults.key_threshold()).expect("t is from 1 to 43");
    let shares = sharing::split(&key, threshold, faults.members(), rng).expect("t <= n <= 255");
    let hashes = shares.iter().map(|share| sharing::share_hash(context.as_bytes(), share)).collect();
    let header = LookHeader {
        grant,
        terms: terms.clone(),
        place,
        look: look_name(access),
        tag: Blob::new(tag.ok()?).ok()?,
        threshold: faults.key_threshold(),
        share_hashes: List::new(hashes).ok()?,
        key_commitment: sharing::key_commitment(context.as_bytes(), &key),
        kit: Blob::new(sealed).ok()?,
        mark: Link::from_secret(Secret::from_bytes(*kit.grant_link.0.danger_expose())).mark(),
    };
    let signature = card_key(card).sign(namespaces::EMERGENCY_HEADER, &look_message(chain, &header));
    let share = |share: Share| LookShare {
        header: header.clone(),
        signature,
        share: ShareBytes(share.into_parts().1),
    };
    Some(shares.into_iter().map(share).collect())
}

/// Opens the tag of a look with the secret of its card; `None` when that is not the card, or another place.
#[must_use]
pub fn open_tag(card: &Secret<32>, grant: GrantTag, place: u16, sealed: &[u8]) -> Option<AccessTag> {
    let plain = open_body(&tag_key(card, grant, place), sealed).ok()?;
    let bytes: [u8; EMERGENCY_TAG_PLAIN_BYTES] = plain.try_into().ok()?;
    Some(AccessTag(ChainTag::from_digest(Digest::from_bytes(bytes))))
}

/// Checks a share against its signed header, for a custodian that takes it in deposit under `card`.
///
/// # Errors
/// [`ShareFault::Unsigned`] and [`ShareFault::Hash`] blame whoever gave it, [`ShareFault::Shape`] the patient
/// who signed.
pub fn verify_look(
    chain: ChainId,
    faults: Faults,
    card: &PublicKey,
    custodian: MemberIndex,
    look: &LookShare,
) -> Result<(), ShareFault> {
    let LookShare { header, signature, share } = look;
    card.verify(namespaces::EMERGENCY_HEADER, &look_message(chain, header), signature)
        .map_err(|_| ShareFault::Unsigned(custodian))?;
    let place = (1..=EMERGENCY_PLACES_MAX).contains(&usize::from(header.place));
    let shaped = header.threshold == faults.key_threshold()
        && header.share_hashes.len() == usize::from(faults.members());
    let of_the_card = header.card() == Some(&card_name(card));
    if !shaped || !place || !of_the_card {
        return Err(ShareFault::Shape);
    }
    let fault = ShareFault::Hash(custodian);
    let given = indexed(custodian, &share.0).ok_or(fault)?;
    let expected = header.share_hashes.get(usize::from(custodian.get())).ok_or(fault)?;
    let context = look_context(header.grant, header.place);
    if sharing::share_hash(context.as_bytes(), &given) == *expected { Ok(()) } else { Err(fault) }
}

impl CheckedLook {
    /// Checks a share that `custodian` gave under `card`.
    ///
    /// # Errors
    /// As [`verify_look`].
    pub fn check(
        chain: ChainId,
        faults: Faults,
        card: &PublicKey,
        custodian: MemberIndex,
        look: &LookShare,
    ) -> Result<Self, ShareFault> {
        verify_look(chain, faults, card, custodian, look)?;
        let share = indexed(custodian, &look.share.0).ok_or(ShareFault::Hash(custodian))?;
        Ok(Self { header: look.header.clone(), custodian, share })
    }

    /// What all shares of the look agree on.
    #[must_use]
    pub const fn header(&self) -> &LookHeader {
        &self.header
    }
}

/// Opens the kit of the look that enough of the shares belong to; shares of several looks, and of several
/// preparations of one, are told apart. The earliest look for which there are enough is taken.
///
/// # Errors
/// [`ShareFault::TooFew`] when no look has enough; [`ShareFault::Key`] when shares that match their hashes do
/// not make the committed key, or the kit does not fit what the card signed for: whoever prepared it is to blame.
pub fn open_kit(shares: Vec<CheckedLook>) -> Result<(LookHeader, EmergencyKit), ShareFault> {
    let mut groups: BTreeMap<(u16, Vec<u8>), Vec<CheckedLook>> = BTreeMap::new();
    for share in shares {
        let group = groups.entry((share.header.place, encode(&share.header))).or_default();
        if !group.iter().any(|other| other.custodian == share.custodian) {
            group.push(share);
        }
    }
    let have = groups.values().map(Vec::len).max().unwrap_or(0);
    let enough = |group: &Vec<CheckedLook>| {
        group.first().is_some_and(|first| group.len() >= usize::from(first.header.threshold))
    };
    let need = groups.values().flatten().map(|share| usize::from(share.header.threshold)).max().unwrap_or(1);
    let group = groups.into_values().find(enough).ok_or(ShareFault::TooFew { have, need })?;
    let header = group.first().map(|share| share.header.clone());
    let header = header.ok_or(ShareFault::TooFew { have, need })?;
    let threshold = Threshold::new(header.threshold).ok_or(ShareFault::Shape)?;
    let shares: Vec<Share> = group.into_iter().map(|look| look.share).collect();
    let key = sharing::combine(threshold, &shares).map_err(|_| ShareFault::Key)?;
    let context = look_context(header.grant, header.place);
    if sharing::key_commitment(context.as_bytes(), &key) != header.key_commitment {
        return Err(ShareFault::Key);
    }
    let plain = open_body(&key, &header.kit).map_err(|_| ShareFault::Key)?;
    let kit: EmergencyKit = decode(&plain, EMERGENCY_KIT_PLAIN_BYTES).map_err(|_| ShareFault::Key)?;
    if fits(&header, &kit) { Ok((header, kit)) } else { Err(ShareFault::Key) }
}

/// The kit takes the very tag of the header's grant and lane.
fn fits(header: &LookHeader, kit: &EmergencyKit) -> bool {
    let link = |link: &ShareBytes| Link::from_secret(Secret::from_bytes(*link.0.danger_expose()));
    let access = link(&kit.access_link);
    link(&kit.grant_link).tag() == header.grant.0
        && link(&kit.grant_link).mark() == header.mark
        && look_name(AccessTag(access.tag())) == header.look
        && anchored(&access, header.place, &header.terms.lane)
}

/// A custodian's share under the index that its place among the members gives it.
fn indexed(custodian: MemberIndex, value: &Secret<32>) -> Option<Share> {
    let index = ShareIndex::new(custodian.get().checked_add(1)?)?;
    Some(Share::from_parts(index, Secret::from_bytes(*value.danger_expose())))
}

#[cfg(test)]
mod tests;
