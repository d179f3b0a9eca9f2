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
