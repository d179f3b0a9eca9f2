//! A custodian that lies: it gives whoever asks everything it holds, without deciding anything, or
//! shares that are none, sealed and signed as true ones are.

use crate::disk::lock;
use crate::keys::signing;
use crate::member::Life;
use crate::world::World;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use salus_crypto::chain::{Link, anchored};
use salus_crypto::secret::Secret;
use salus_wire::limits::EPOCHS_PER_ENVELOPE_MAX;
use salus_wire::release::{
    EpochShares, ReleaseRequest, Released, ShareBytes, release_info, released_message,
};
use salus_wire::rpc::Response;
use salus_wire::{AccessTag, List, MemberIndex, encode, namespaces};

/// What it gives; `None` when it holds nothing of that patient.
pub async fn release(
    world: &World,
    member: MemberIndex,
    life: &Life,
    request: &ReleaseRequest,
) -> Option<Response> {
    let terms = &request.terms;
    let link = |share: &ShareBytes| Link::from_secret(Secret::from_bytes(*share.0.danger_expose()));
    let (grant, access) = (link(&terms.grant_link), AccessTag(link(&terms.access_link).tag()));
    let anchors = world.patients.iter().map(|patient| lock(patient).grants);
    let of = anchors.into_iter().find(|anchor| anchored(&grant, terms.grant_index, anchor))?;
    let page = life.shares.page(&of, |_| true, terms.skip, EPOCHS_PER_ENVELOPE_MAX).await.ok()?;
    let (mut rng, truly): (StdRng, bool) = {
        let mut dice = lock(&world.dice);
        (StdRng::from_seed(dice.random()), dice.random())
    };
    world.fault(if truly { "shares given away" } else { "false shares" });
    let mut shares = page.shares;
    if !truly {
        shares.iter_mut().for_each(|share| share.share = ShareBytes(Secret::random(&mut rng)));
    }
    let (chain, info) = (world.cast.chain, release_info(world.cast.chain, member, access));
    let plain = encode(&EpochShares(List::new(shares).ok()?));
    let sealed = terms.reader.seal(&info, &[], &plain, &mut rng).ok()?;
    let message = released_message(chain, member, access, &sealed, page.remaining);
    let key = signing(world.keys(member).service);
    let signature = key.sign(namespaces::RELEASED, &message);
    let released = Released { custodian: member, access, sealed, remaining: page.remaining, signature };
    Some(Response::Released(Box::new(released)))
}
