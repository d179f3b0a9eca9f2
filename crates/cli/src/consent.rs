//! A grant as a FHIR R4 Consent, the form in which other systems keep it.

use crate::args::Place;
use crate::grant::listing;
use crate::output::{Failure, Report};
use crate::patient::wallet;
use crate::session::Session;
use salus_client::grant::Consent;
use salus_client::listing::ListedGrant;
use salus_clinical::fhir::{Actor, ConsentParts, ConsentRefused, ConsentTerms, Patient, Uri, consent};
use salus_wire::Code;
use salus_wire::consent::{Grant, Grantee};
use salus_wire::state::Standing;
use std::path::Path;

/// A consent as a wallet keeps it.
pub(crate) fn kept(terms: &ConsentTerms) -> Result<Consent, Failure> {
    Consent::new(consent::write(terms).into_bytes())
        .map_err(|_| Failure::new(Code::TooLarge, "the consent is longer than a wallet keeps"))
}

/// Writes the grant at `index` of a wallet. What it permits is what the ledger holds; whose it is, and the
/// consent's id and date, are what the patient kept.
pub(crate) async fn write(
    place: &Place,
    path: &Path,
    index: u16,
    patient: Option<&str>,
) -> Result<Report, Failure> {
    let session = Session::operator(place)?;
    let list = listing(&session, path).await?;
    let absent = || Failure::new(Code::Usage, format!("the wallet has no grant {index} that opens"));
    let listed = list.grants.iter().find(|listed| listed.index == index).ok_or_else(absent)?;
    let grant = listed.grant.as_ref().ok_or_else(absent)?;
    if listed.standing != Standing::Active {
        return Err(Failure::new(Code::GrantRevoked, "a consent that is withdrawn is not written as active"));
    }
    let consents = wallet(path)?.consents;
    let kept = consents.iter().find(|(of, _)| *of == index).map(|(_, json)| &**json);
    let json = consent::write(&terms(grant, listed, kept, patient)?);
    let value = serde_json::from_str(&json)
        .map_err(|_| Failure::new(Code::Internal, "the consent is not what was written"))?;
    Ok(Report::new(value).line(json))
}

fn terms(
    grant: &Grant,
    listed: &ListedGrant,
    kept: Option<&[u8]>,
    patient: Option<&str>,
) -> Result<ConsentTerms, Failure> {
    let refused = |refused: ConsentRefused| Failure::new(Code::ConsentRefused, refused.to_string());
    let kept = kept.map(consent::read).transpose().map_err(refused)?.map(ConsentTerms::into_parts);
    let reference = |text| Uri::new(text).map(Patient::Reference);
    let wrong = || Failure::new(Code::Usage, "the patient is no reference such as Patient/123");
    let named = patient.map(|text| reference(text).ok_or_else(wrong)).transpose()?;
    let nobody = || Failure::new(Code::Usage, "say whose consent it is: --patient");
    let (id, was, given) = match kept {
        Some(parts) => (parts.id, Some(parts.patient), parts.given),
        None => (None, None, listed.since.time),
    };
    ConsentTerms::new(ConsentParts {
        id,
        patient: named.or(was).ok_or_else(nobody)?,
        given,
        writer: grant.writer,
        actor: match &grant.grantee {
            Grantee::Person { party, .. } => Actor::Person(*party),
            Grantee::Application { party, .. } => Actor::Application(*party),
            Grantee::Role { member, role } => Actor::Role { member: *member, role: *role },
            Grantee::Emergency { .. } => {
                return Err(Failure::new(
                    Code::ConsentRefused,
                    "a FHIR Consent of spec/consent.md cannot say that a grant opens in an emergency",
                ));
            }
        },
        scope: grant.scope.clone(),
        purposes: grant.purposes,
        validity: grant.validity,
        denies: grant.denies.clone(),
    })
    .map_err(refused)
}
