//! Certificates: a member's authority, and what it issues to nodes, gateways, persons and devices.
//!
//! A subject's common name is its identifier and its organisational unit is its role, so that a
//! device's certificate can never pass for a person's. Keys are ECDSA P-256, which devices with a
//! secure element and every TLS library know. Nothing here decides what a role may do.

use crate::error::LinkError;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use salus_crypto::digest::Digest;
use salus_wire::genesis::authority_fingerprint;
use salus_wire::{DeviceId, MemberIndex, PartyId, TimeMs};
use std::fmt;
use std::time::Duration;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Milliseconds before the time of issue at which a certificate begins to hold, for clocks that
/// lag.
pub const ISSUE_BACKDATE_MS: u64 = 3_600_000;
/// Milliseconds for which an authority holds: ten years.
pub const AUTHORITY_VALID_MS: u64 = 10 * 365 * 86_400_000;
/// Milliseconds for which an issued certificate holds: 825 days.
pub const ISSUED_VALID_MS: u64 = 825 * 86_400_000;
/// The latest time of issue that is taken, 2100-01-01: a clock beyond it is broken.
const ISSUE_TIME_MAX: TimeMs = TimeMs::new(4_102_444_800_000);
/// Certificates in one credential's chain.
const CHAIN_MAX: usize = 4;

const UNIT_MEMBER: &str = "member";
const UNIT_GATEWAY: &str = "gateway";
const UNIT_PERSON: &str = "person";
const UNIT_DEVICE: &str = "device";

/// Whom a certificate speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A member's node.
    Member(MemberIndex),
    /// A gateway.
    Gateway(PartyId),
    /// A person's client.
    Person(PartyId),
    /// A device.
    Device(DeviceId),
}

/// A member's authority, which issues the certificates of that member's endpoints.
pub struct Authority {
    certificate: CertificateDer<'static>,
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its chain and its private key, as one endpoint presents them.
pub struct Credential {
    chain_pem: String,
    key_pem: String,
}

impl Subject {
    /// The common name: the identifier in hexadecimal, or the node's DNS name.
    #[must_use]
    pub fn common_name(&self) -> String {
        match self {
            Self::Member(index) => member_name(*index),
            Self::Gateway(party) | Self::Person(party) => party.to_string(),
            Self::Device(device) => device.to_string(),
        }
    }

    const fn unit(&self) -> &'static str {
        match self {
            Self::Member(_) => UNIT_MEMBER,
            Self::Gateway(_) => UNIT_GATEWAY,
            Self::Person(_) => UNIT_PERSON,
            Self::Device(_) => UNIT_DEVICE,
        }
    }

    /// Reads the subject of a certificate whose chain the TLS library has already verified.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Result<Self, LinkError> {
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| LinkError::BadSubject)?;
        let subject = parsed.subject();
        let name = only(subject.iter_common_name())?;
        let unit = only(subject.iter_organizational_unit())?;
        Self::parse(unit, name).ok_or(LinkError::BadSubject)
    }

    fn parse(unit: &str, name: &str) -> Option<Self> {
        match unit {
            UNIT_MEMBER => parse_member_name(name).map(Self::Member),
            UNIT_GATEWAY => name.parse().ok().map(Self::Gateway),
            UNIT_PERSON => name.parse().ok().map(Self::Person),
            UNIT_DEVICE => name.parse().ok().map(Self::Device),
            _ => None,
        }
    }
}

/// The DNS name in the certificate of a member's node.
#[must_use]
pub fn member_name(member: MemberIndex) -> String {
    format!("member-{member}.salus")
}

fn parse_member_name(name: &str) -> Option<MemberIndex> {
    let digits = name.strip_prefix("member-")?.strip_suffix(".salus")?;
    let index = MemberIndex::new(digits.parse().ok()?);
    (member_name(index) == name).then_some(index)
}

/// The text of the one attribute; two of a kind could be read two ways.
fn only<'a>(
    mut attributes: impl Iterator<Item = &'a x509_parser::x509::AttributeTypeAndValue<'a>>,
) -> Result<&'a str, LinkError> {
    let first = attributes.next().ok_or(LinkError::BadSubject)?;
    match attributes.next() {
        None => first.as_str().map_err(|_| LinkError::BadSubject),
        Some(_) => Err(LinkError::BadSubject),
    }
}

impl Authority {
    /// Makes a new authority for a member.
    ///
    /// # Errors
    /// [`LinkError::Issue`] when the certificate library fails.
    pub fn generate(member: MemberIndex, now: TimeMs) -> Result<Self, LinkError> {
        let mut params = blank(now, AUTHORITY_VALID_MS)?;
        params.distinguished_name.push(DnType::CommonName, format!("Salus authority of member {member}"));
        params.distinguished_name.push(DnType::OrganizationalUnitName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = new_key()?;
        let certificate = params.self_signed(&key).map_err(LinkError::Issue)?;
        Ok(Self {
            certificate_pem: certificate.pem(),
            certificate: certificate.into(),
            issuer: Issuer::new(params, key),
        })
    }

    /// Takes an authority back from its two files.
    ///
    /// # Errors
    /// [`LinkError::BadPem`] when either is not what it should be.
    pub fn from_pem(certificate_pem: &str, key_pem: &str) -> Result<Self, LinkError> {
        let certificate = certificate_from_pem(certificate_pem)?;
        let key = KeyPair::from_pem(key_pem).map_err(|_| LinkError::BadPem)?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(|_| LinkError::BadPem)?;
        Ok(Self { certificate, certificate_pem: certificate_pem.to_owned(), issuer })
    }

    /// The public certificate in PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The private key in PEM (PKCS #8), for the key file and nothing else.
    #[must_use]
    pub fn danger_key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// What genesis binds of this authority.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        authority_fingerprint(&self.certificate)
    }

    /// Issues a certificate and a fresh key to `subject`. `names` are further DNS names or
    /// addresses at which it serves; a member's own name is always among them.
    ///
    /// # Errors
    /// [`LinkError::Issue`] when a name is not one, or the certificate library fails.
    pub fn issue(&self, subject: &Subject, names: &[String], now: TimeMs) -> Result<Credential, LinkError> {
        let params = issued_params(subject, names, now)?;
        let key = new_key()?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(LinkError::Issue)?;
        Ok(Credential { chain_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("key", &"[REDACTED]").finish_non_exhaustive()
    }
}

impl Credential {
    /// Takes a credential back from its two files.
    ///
    /// # Errors
    /// [`LinkError::BadPem`] when either is not what it should be.
    pub fn from_pem(chain_pem: String, key_pem: String) -> Result<Self, LinkError> {
        let credential = Self { chain_pem, key_pem };
        credential.chain()?;
        credential.key()?;
        Ok(credential)
    }

    /// The public chain in PEM, the endpoint's own certificate first.
    #[must_use]
    pub fn chain_pem(&self) -> &str {
        &self.chain_pem
    }

    /// The private key in PEM (PKCS #8), for the key file and nothing else.
    #[must_use]
    pub fn danger_key_pem(&self) -> &str {
        &self.key_pem
    }

    /// Whom the certificate speaks for.
    ///
    /// # Errors
    /// [`LinkError::BadPem`] or [`LinkError::BadSubject`] when it speaks for nobody.
    pub fn subject(&self) -> Result<Subject, LinkError> {
        Subject::of(self.chain()?.first().ok_or(LinkError::BadPem)?)
    }

    pub(crate) fn chain(&self) -> Result<Vec<CertificateDer<'static>>, LinkError> {
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(self.chain_pem.as_bytes()).take(CHAIN_MAX).collect();
        match chain {
            Ok(chain) if !chain.is_empty() => Ok(chain),
            _ => Err(LinkError::BadPem),
        }
    }

    pub(crate) fn key(&self) -> Result<PrivateKeyDer<'static>, LinkError> {
        PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes()).map_err(|_| LinkError::BadPem)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("key", &"[REDACTED]").finish_non_exhaustive()
    }
}

impl Drop for Credential {
    fn drop(&mut self) {
        let mut key = std::mem::take(&mut self.key_pem).into_bytes();
        key.fill(0);
        // Without a reader of the zeros the compiler might leave them out.
        std::hint::black_box(&key);
    }
}

/// What genesis binds of the authority in `certificate_pem`.
///
/// # Errors
/// [`LinkError::BadPem`] when it is not a certificate.
pub fn fingerprint_of_pem(certificate_pem: &str) -> Result<Digest, LinkError> {
    certificate_from_pem(certificate_pem).map(|certificate| authority_fingerprint(&certificate))
}

pub(crate) fn certificate_from_pem(pem: &str) -> Result<CertificateDer<'static>, LinkError> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| LinkError::BadPem)
}

fn new_key() -> Result<KeyPair, LinkError> {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(LinkError::Issue)
}

fn blank(now: TimeMs, valid_ms: u64) -> Result<CertificateParams, LinkError> {
    let now = now.min(ISSUE_TIME_MAX);
    let epoch = date_time_ymd(1970, 1, 1);
    let mut params = CertificateParams::new(Vec::<String>::new()).map_err(LinkError::Issue)?;
    params.not_before = epoch + Duration::from_millis(now.get().saturating_sub(ISSUE_BACKDATE_MS));
    params.not_after = epoch + Duration::from_millis(now.get().saturating_add(valid_ms));
    params.distinguished_name = DistinguishedName::new();
    Ok(params)
}

fn issued_params(subject: &Subject, names: &[String], now: TimeMs) -> Result<CertificateParams, LinkError> {
    let mut all: Vec<String> = names.to_vec();
    if let Subject::Member(member) = subject {
        all.push(member_name(*member));
    }
    let mut params = blank(now, ISSUED_VALID_MS)?;
    params.subject_alt_names = CertificateParams::new(all).map_err(LinkError::Issue)?.subject_alt_names;
    params.distinguished_name.push(DnType::OrganizationalUnitName, subject.unit());
    params.distinguished_name.push(DnType::CommonName, subject.common_name());
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = match subject {
        Subject::Member(_) | Subject::Gateway(_) => {
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]
        }
        Subject::Person(_) | Subject::Device(_) => vec![ExtendedKeyUsagePurpose::ClientAuth],
    };
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: TimeMs = TimeMs::new(1_790_000_000_000);

    fn subjects() -> [Subject; 4] {
        let party = PartyId::new([7; 16]);
        [
            Subject::Member(MemberIndex::new(3)),
            Subject::Gateway(party),
            Subject::Person(party),
            Subject::Device(DeviceId::new([9; 16])),
        ]
    }

    #[test]
    fn a_certificate_names_its_subject_and_role() {
        let authority = Authority::generate(MemberIndex::new(0), NOW).unwrap();
        for subject in subjects() {
            let credential = authority.issue(&subject, &["127.0.0.1".to_owned()], NOW).unwrap();
            assert_eq!(credential.subject().unwrap(), subject);
        }
    }

    #[test]
    fn an_authority_comes_back_from_its_files_and_issues_under_the_same_fingerprint() {
        let authority = Authority::generate(MemberIndex::new(0), NOW).unwrap();
        let again = Authority::from_pem(authority.certificate_pem(), &authority.danger_key_pem()).unwrap();
        assert_eq!(again.fingerprint(), authority.fingerprint());
        assert_eq!(fingerprint_of_pem(authority.certificate_pem()).unwrap(), authority.fingerprint());
        let subject = Subject::Device(DeviceId::new([1; 16]));
        assert_eq!(again.issue(&subject, &[], NOW).unwrap().subject().unwrap(), subject);
    }

    #[test]
    fn a_member_name_has_one_form() {
        for (name, index) in [("member-0.salus", Some(0)), ("member-12.salus", Some(12))] {
            assert_eq!(parse_member_name(name), index.map(MemberIndex::new));
        }
        for name in
            ["member-00.salus", "member-+1.salus", "member-.salus", "member-1", "x", "member-70000.salus"]
        {
            assert_eq!(parse_member_name(name), None, "{name}");
        }
    }

    #[test]
    fn a_role_is_not_guessed() {
        let id = "07".repeat(16);
        assert_eq!(Subject::parse("person", &id), Some(Subject::Person(PartyId::new([7; 16]))));
        for (unit, name) in [("authority", id.as_str()), ("Person", &id), ("device", "07"), ("", &id)] {
            assert_eq!(Subject::parse(unit, name), None);
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let authority = Authority::generate(MemberIndex::new(0), NOW).unwrap();
        let credential = authority.issue(&subjects()[0], &[], NOW).unwrap();
        for text in [format!("{authority:?}"), format!("{credential:?}")] {
            assert!(text.contains("[REDACTED]") && !text.contains("PRIVATE"), "{text}");
        }
    }

    #[test]
    fn files_that_are_not_pem_are_refused() {
        assert!(matches!(Credential::from_pem("x".into(), "y".into()), Err(LinkError::BadPem)));
        assert!(matches!(Authority::from_pem("x", "y"), Err(LinkError::BadPem)));
    }
}
