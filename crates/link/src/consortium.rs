//! The consortium file: who the members are, which keys speak for them, and where they listen.
//! Public. Every process and every client starts from it; nothing in it is trusted until the keys
//! and authorities it names are held against the genesis it carries.

use crate::error::LinkError;
use crate::peer::Endpoint;
use crate::pki::fingerprint_of_pem;
use crate::tls::TrustedAuthority;
use salus_wire::{ChainId, Faults, Genesis, MemberIndex, decode, encode};
use serde::{Deserialize, Serialize};

/// Bytes of a consortium file.
pub const CONSORTIUM_BYTES_MAX: usize = 1024 * 1024;

/// Where one member listens, and its authority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberPlace {
    /// Display name.
    pub name: String,
    /// Address of the engine's links between members, `host:port`.
    pub peers: String,
    /// Address of the remote calls, `host:port`.
    pub rpc: String,
    /// Certificate of the member's authority in PEM; genesis binds its fingerprint.
    pub authority: String,
}

/// A consortium as its file describes it, checked.
#[derive(Clone, Debug)]
pub struct Consortium {
    genesis: Genesis,
    faults: Faults,
    members: Vec<MemberPlace>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// The digest of the genesis, for people to compare.
    chain: String,
    /// The genesis, canonical, in hexadecimal.
    genesis: String,
    member: Vec<MemberPlace>,
}

impl Consortium {
    /// Puts a genesis and the members' places together.
    ///
    /// # Errors
    /// [`LinkError::Consortium`] when they are not of one number or an authority is not the one
    /// that genesis binds.
    pub fn new(genesis: Genesis, members: Vec<MemberPlace>) -> Result<Self, LinkError> {
        let wrong = |what| LinkError::Consortium { what };
        let faults = genesis.faults().ok_or(wrong("the genesis has no members, or too many"))?;
        if genesis.members.len() != members.len() {
            return Err(wrong("the genesis and the list of members differ in number"));
        }
        for (member, place) in genesis.members.iter().zip(&members) {
            if fingerprint_of_pem(&place.authority)? != member.authority {
                return Err(wrong("a member's authority is not the one that the genesis binds"));
            }
        }
        Ok(Self { genesis, faults, members })
    }

    /// Reads a consortium file.
    ///
    /// # Errors
    /// [`LinkError::ConsortiumSyntax`] naming an unknown or wrong entry, and as [`Consortium::new`].
    pub fn parse(text: &str) -> Result<Self, LinkError> {
        let file: File = toml::from_str(text)
            .map_err(|error| LinkError::ConsortiumSyntax { what: error.message().to_owned() })?;
        let wrong = |what| LinkError::Consortium { what };
        let bytes = hex::decode(&file.genesis).map_err(|_| wrong("the genesis is not hexadecimal"))?;
        let genesis: Genesis =
            decode(&bytes, CONSORTIUM_BYTES_MAX).map_err(|_| wrong("the genesis is not canonical"))?;
        if genesis.chain().0.to_string() != file.chain {
            return Err(wrong("the chain is not the digest of the genesis"));
        }
        Self::new(genesis, file.member)
    }

    /// The text of the consortium file.
    ///
    /// # Errors
    /// [`LinkError::ConsortiumSyntax`] when a name cannot be written.
    pub fn to_toml(&self) -> Result<String, LinkError> {
        let file = File {
            chain: self.chain().0.to_string(),
            genesis: hex::encode(encode(&self.genesis)),
            member: self.members.clone(),
        };
        toml::to_string(&file).map_err(|error| LinkError::ConsortiumSyntax { what: error.to_string() })
    }

    /// The genesis.
    #[must_use]
    pub const fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// The consortium's identity.
    #[must_use]
    pub fn chain(&self) -> ChainId {
        self.genesis.chain()
    }

    /// How many members there are and how many may fail.
    #[must_use]
    pub const fn faults(&self) -> Faults {
        self.faults
    }

    /// The members' places, by index.
    #[must_use]
    pub fn members(&self) -> &[MemberPlace] {
        &self.members
    }

    /// Whom to call for remote calls, by member.
    #[must_use]
    pub fn endpoints(&self) -> Vec<Endpoint> {
        let places = (0_u16..).zip(&self.members);
        places
            .map(|(index, place)| Endpoint { authority: trusted(index, place), address: place.rpc.clone() })
            .collect()
    }

    /// The members' authorities.
    #[must_use]
    pub fn authorities(&self) -> Vec<TrustedAuthority> {
        (0_u16..).zip(&self.members).map(|(index, place)| trusted(index, place)).collect()
    }
}

fn trusted(index: u16, place: &MemberPlace) -> TrustedAuthority {
    TrustedAuthority { member: MemberIndex::new(index), certificate_pem: place.authority.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::Authority;
    use salus_crypto::kem::KemSecretKey;
    use salus_crypto::secret::Secret;
    use salus_crypto::sign::SigningKey;
    use salus_wire::{Blob, Code, GenesisMember, List, TimeMs};

    fn member(n: u16, authority: &Authority) -> (GenesisMember, MemberPlace) {
        let seed = |k: u8| Secret::from_bytes([k + u8::try_from(n).unwrap() * 8; 32]);
        let key = |k| SigningKey::from_seed(seed(k)).public_key();
        let entry = GenesisMember {
            name: Blob::new(b"a clinic".to_vec()).unwrap(),
            consensus: key(1),
            registrar: key(2),
            service: key(3),
            custodian: KemSecretKey::from_seed(seed(4)).public_key(),
            authority: authority.fingerprint(),
        };
        let place = MemberPlace {
            name: "a clinic".to_owned(),
            peers: format!("127.0.0.1:{}", 7000 + n),
            rpc: format!("127.0.0.1:{}", 7100 + n),
            authority: authority.certificate_pem().to_owned(),
        };
        (entry, place)
    }

    fn two() -> (Genesis, Vec<MemberPlace>) {
        let now = TimeMs::new(1_700_000_000_000);
        let member = |n| member(n, &Authority::generate(MemberIndex::new(n), now).unwrap());
        let (entries, places): (Vec<_>, Vec<_>) = (0..2).map(member).unzip();
        let name = Blob::new(b"trial".to_vec()).unwrap();
        (Genesis { name, time: now, members: List::new(entries).unwrap() }, places)
    }

    #[test]
    fn what_is_written_is_read_back() {
        let (genesis, places) = two();
        let consortium = Consortium::new(genesis.clone(), places.clone()).unwrap();
        let again = Consortium::parse(&consortium.to_toml().unwrap()).unwrap();
        assert_eq!((again.genesis(), again.members()), (&genesis, &places[..]));
        assert_eq!((again.chain(), again.faults().members()), (genesis.chain(), 2));
        let endpoints = again.endpoints();
        assert_eq!(endpoints[1].address, "127.0.0.1:7101");
        assert_eq!(endpoints[1].authority.member, MemberIndex::new(1));
        assert_eq!(again.authorities().len(), 2);
    }

    #[test]
    fn a_file_that_contradicts_itself_or_has_an_unknown_entry_is_refused() {
        let (genesis, places) = two();
        let text = Consortium::new(genesis, places).unwrap().to_toml().unwrap();
        let chain = text.lines().next().unwrap();
        for (bad, says) in [
            (format!("unknown = 1\n{text}"), "unknown"),
            (text.replacen("peers =", "peer =", 1), "peer"),
            (text.replacen(chain, "", 1), "chain"),
            (text.replacen(chain, &chain.replace(['0', '1'], "2"), 1), "not the digest"),
            (text.replacen("genesis = \"", "genesis = \"zz", 1), "not hexadecimal"),
            (text.replacen("genesis = \"", "genesis = \"00", 1), "not canonical"),
            (text.split_once("[[member]]").unwrap().0.to_owned() + "member = []", "number"),
        ] {
            let error = Consortium::parse(&bad).unwrap_err();
            assert_eq!(error.code(), Code::ConfigInvalid);
            assert!(error.to_string().contains(says), "{error}");
        }
    }

    #[test]
    fn another_authority_than_the_one_that_genesis_binds_is_refused() {
        let (genesis, mut places) = two();
        places.swap(0, 1);
        assert!(matches!(Consortium::new(genesis, places), Err(LinkError::Consortium { .. })));
    }
}
