//! Certificates by hand, as `spec/certificate.md` says.

use salus_crypto::sign::SigningKey;
use salus_wire::{Faults, Header, encode, namespaces};

/// The finalisation of a header, by the quorum whose keys come first.
pub(crate) fn certificate(head: &Header, faults: Faults, consensus: &[SigningKey]) -> Vec<u8> {
    let mut proposal = varint(0);
    proposal.extend(varint(head.view.get()));
    proposal.extend(varint(head.parent_view.get()));
    proposal.extend(head.digest().as_bytes());
    let namespace =
        [namespaces::FINALITY.as_str().as_bytes(), head.chain.0.as_bytes(), b"_FINALIZE"].concat();
    let message = [varint(namespace.len().try_into().expect("short")), namespace, proposal.clone()].concat();
    let mut keys: Vec<&SigningKey> = consensus.iter().collect();
    keys.sort_by_key(|key| key.public_key());
    let quorum = faults.quorum();
    let bitmap = (1_u64 << quorum) - 1;
    let bytes = usize::from(faults.members()).div_ceil(8);
    let mut certificate = proposal;
    certificate.extend(u64::from(faults.members()).to_be_bytes());
    certificate.extend(&bitmap.to_le_bytes()[..bytes]);
    certificate.extend(varint(u64::from(quorum)));
    for key in keys.into_iter().take(usize::from(quorum)) {
        certificate.extend(key.sign_raw(&message).as_bytes());
    }
    certificate
}

fn varint(value: u64) -> Vec<u8> {
    if value < 0x80 {
        return encode(&u8::try_from(value).expect("small"));
    }
    let low = u8::try_from(value % 0x80).expect("small") | 0x80;
    [vec![low], varint(value / 0x80)].concat()
}
