//! Lists and blobs that refuse to grow past a maximum, checked before anything is allocated.

use borsh::{BorshDeserialize, BorshSerialize};
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::ops::Deref;

/// Elements reserved up front while decoding, whatever length a peer claims.
const RESERVE_MAX: usize = 256;

/// A list of at most `MAX` elements. Encoded as a `u32` little-endian count and the elements.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct List<T, const MAX: usize>(Vec<T>);

/// At most `MAX` bytes. Encoded as a `u32` little-endian length and the bytes.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Blob<const MAX: usize>(Vec<u8>);

/// The caller tried to build a list or blob past its maximum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{length} elements where at most {maximum} are allowed")]
pub struct TooLong {
    /// Elements offered.
    pub length: usize,
    /// Elements allowed.
    pub maximum: usize,
}

impl<T, const MAX: usize> List<T, MAX> {
    /// Wraps `items`, which must not exceed `MAX`.
    pub fn new(items: Vec<T>) -> std::result::Result<Self, TooLong> {
        within(items.len(), MAX).map(|()| Self(items))
    }

    /// The empty list.
    #[must_use]
    pub const fn empty() -> Self {
        Self(Vec::new())
    }

    /// Gives the elements back.
    #[must_use]
    pub fn into_vec(self) -> Vec<T> {
        self.0
    }
}

impl<const MAX: usize> Blob<MAX> {
    /// Wraps `bytes`, which must not exceed `MAX`.
    pub fn new(bytes: Vec<u8>) -> std::result::Result<Self, TooLong> {
        within(bytes.len(), MAX).map(|()| Self(bytes))
    }

    /// Gives the bytes back.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        self.0
    }
}

fn within(length: usize, maximum: usize) -> std::result::Result<(), TooLong> {
    if length > maximum {
        return Err(TooLong { length, maximum });
    }
    Ok(())
}

impl<T, const MAX: usize> Deref for List<T, MAX> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<const MAX: usize> Deref for Blob<MAX> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl<const MAX: usize> std::fmt::Debug for Blob<MAX> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Blob({} bytes)", self.0.len())
    }
}

impl<T: BorshSerialize, const MAX: usize> BorshSerialize for List<T, MAX> {
    fn serialize<W: Write>(&self, writer: &mut W) -> Result<()> {
        self.0.serialize(writer)
    }
}

impl<const MAX: usize> BorshSerialize for Blob<MAX> {
    fn serialize<W: Write>(&self, writer: &mut W) -> Result<()> {
        self.0.serialize(writer)
    }
}

impl<T: BorshDeserialize, const MAX: usize> BorshDeserialize for List<T, MAX> {
    fn deserialize_reader<R: Read>(reader: &mut R) -> Result<Self> {
        let count = read_count(reader, MAX)?;
        let mut items = Vec::with_capacity(count.min(RESERVE_MAX));
        for _ in 0..count {
            items.push(T::deserialize_reader(reader)?);
        }
        Ok(Self(items))
    }
}

impl<const MAX: usize> BorshDeserialize for Blob<MAX> {
    fn deserialize_reader<R: Read>(reader: &mut R) -> Result<Self> {
        let count = read_count(reader, MAX)?;
        let mut bytes = Vec::new();
        let limit = u64::try_from(count).map_err(|_| too_long())?;
        let read = reader.take(limit).read_to_end(&mut bytes)?;
        if read != count {
            return Err(Error::new(ErrorKind::UnexpectedEof, "blob cut short"));
        }
        Ok(Self(bytes))
    }
}

fn read_count<R: Read>(reader: &mut R, maximum: usize) -> Result<usize> {
    let count = u32::deserialize_reader(reader)?;
    let count = usize::try_from(count).map_err(|_| too_long())?;
    if count > maximum {
        return Err(too_long());
    }
    Ok(count)
}

fn too_long() -> Error {
    Error::new(ErrorKind::InvalidData, "longer than its maximum")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claimed_length_past_the_maximum_is_refused_before_allocation() {
        let claim = u32::MAX.to_le_bytes();
        assert!(borsh::from_slice::<Blob<16>>(&claim).is_err());
        assert!(borsh::from_slice::<List<u8, 16>>(&claim).is_err());
    }

    #[test]
    fn a_blob_cut_short_is_refused() {
        let mut bytes = 4_u32.to_le_bytes().to_vec();
        bytes.extend([1, 2, 3]);
        assert!(borsh::from_slice::<Blob<16>>(&bytes).is_err());
        bytes.push(4);
        assert_eq!(&*borsh::from_slice::<Blob<16>>(&bytes).unwrap(), &[1, 2, 3, 4]);
    }

    #[test]
    fn the_maximum_holds_when_building_too() {
        assert!(List::<u8, 2>::new(vec![1, 2, 3]).is_err());
        assert_eq!(List::<u8, 2>::new(vec![1, 2]).unwrap().len(), 2);
    }
}
