//! Asking custodians by hand: an access that is recorded once, and as many requests under it as a
//! measurement needs. A reader's client asks each custodian once for each page.

use crate::files::load;
use crate::output::Failure;
use crate::person::PersonFile;
use crate::session::{Session, rng};
use rand_core::Rng as _;
use salus_client::GrantFile;
use salus_client::drive::now;
use salus_crypto::chain::{Link, seal_body};
use salus_crypto::kem::KemSecretKey;
use salus_crypto::secret::Secret;
use salus_crypto::sign::SigningKey;
use salus_link::Caller;
use salus_wire::consent::{Intent, IntentTerms, Vouching};
use salus_wire::limits::{ACCESS_VALID_MS_MAX, INTENT_PLAIN_BYTES};
use salus_wire::release::{ReleaseRequest, ReleaseTerms, ShareBytes, reader_digest, release_request_message};
use salus_wire::rpc::{Request, Response};
use salus_wire::tx::{access_commitment, intent_message};
use salus_wire::{AccessTag, Blob, Code, MemberIndex, Purpose, Tx, TxBody, encode, namespaces};
use std::path::Path;
use std::time::Duration;

/// For a custodian to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Somebody who asks for key shares.
pub(super) struct Asker<'a> {
    session: &'a Session,
    person: &'a PersonFile,
    caller: Caller,
}

/// A final access, and what requests under it show.
pub(super) struct Access {
    file: GrantFile,
    place: u16,
    link: Link,
    one_time: SigningKey,
    reader: KemSecretKey,
}

/// What a custodian made of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Released,
    Refused(Code),
    Silent,
}

impl<'a> Asker<'a> {
    pub(super) fn new(session: &'a Session, person: &'a PersonFile) -> Result<Self, Failure> {
        let caller = person.caller(&session.consortium)?;
        Ok(Self { session, person, caller })
    }

    /// Every member.
    pub(super) fn custodians(&self) -> impl Iterator<Item = MemberIndex> + use<> {
        (0..self.session.consortium.faults().members()).map(MemberIndex::new)
    }

    /// Records an access to everything under a grant, at the next place of its lane.
    pub(super) async fn access(&self, grant: &Path) -> Result<Access, Failure> {
        let file: GrantFile = load(grant)?;
        let place = self.session.client.next_tag(&file, self.session.home).await?;
        let mut rng = rng()?;
        let (one_time, reader) = (SigningKey::generate(&mut rng), KemSecretKey::generate(&mut rng));
        let mut salt = [0; 32];
        rng.fill_bytes(&mut salt);
        let terms = IntentTerms {
            salt,
            requester: self.person.party,
            vouching: Vouching::Requester,
            grant: file.tag(),
            scope: file.grant.scope.clone(),
            purpose: Purpose::Treatment,
            valid_ms: ACCESS_VALID_MS_MAX,
            reader: reader_digest(&reader.public_key()),
            one_time: one_time.public_key(),
        };
        let message = intent_message(self.session.chain(), &terms);
        let signature = self.person.signing_key().sign(namespaces::INTENT, &message);
        let intent = Intent { terms, signature, second: None };
        let link =
            file.lane_link(place).ok_or_else(|| Failure::broken("the grant's file has no such place"))?;
        let too_long = || Failure::new(Code::Internal, "an intent is longer than its maximum");
        let body = seal_body(&link.body_key(), INTENT_PLAIN_BYTES, &encode(&intent), &mut rng);
        let body = body.ok().and_then(|body| Blob::new(body).ok()).ok_or_else(too_long)?;
        let tag = AccessTag(link.tag());
        let body = TxBody::RecordAccess { tag, commitment: access_commitment(&intent), body };
        self.session.submit(&Tx::sign(self.session.chain(), body, &one_time)).await?;
        Ok(Access { file, place, link, one_time, reader })
    }

    /// Asks one custodian, with a request that nobody has sent before.
    pub(super) async fn ask(&self, access: &Access, custodian: MemberIndex) -> Result<Answer, Failure> {
        let request = Request::Release(self.request(access, custodian)?);
        let Ok(peer) = self.caller.peer(custodian) else { return Ok(Answer::Silent) };
        Ok(match peer.call(&request, ANSWER_WITHIN).await {
            Ok(Response::Released(_)) => Answer::Released,
            Ok(Response::Refused(refusal)) => Answer::Refused(refusal.code),
            _ => Answer::Silent,
        })
    }

    fn request(&self, access: &Access, custodian: MemberIndex) -> Result<ReleaseRequest, Failure> {
        let mut nonce = [0; 16];
        rng()?.fill_bytes(&mut nonce);
        let terms = ReleaseTerms {
            custodian,
            nonce,
            sent: now(),
            one_time: access.one_time.public_key(),
            access_index: access.place,
            access_link: ShareBytes(access.link.to_secret()),
            grant_index: access.file.index,
            grant_link: ShareBytes(access.file.link().to_secret()),
            grant_body_key: ShareBytes(Secret::from_bytes(*access.file.body_key.0.danger_expose())),
            reader: access.reader.public_key(),
            scope: access.file.grant.scope.clone(),
            skip: 0,
        };
        let message = release_request_message(self.session.chain(), &terms);
        let signature = access.one_time.sign(namespaces::RELEASE_REQUEST, &message);
        Ok(ReleaseRequest { terms, signature })
    }
}
