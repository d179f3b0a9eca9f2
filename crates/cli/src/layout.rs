//! Where everything of a consortium folder is. One place, so that `init`, the other commands and
//! the demo agree.
//!
//! ```text
//! consortium.toml  trust-policy.toml          public
//! member-0/   node.toml  data/  tls/          one member's machine
//! gateway-0/  gateway.toml  data/  tls/  registration.tx
//! keys/member-0/ …  keys/gateway-0/ …         secrets, outside every data folder
//! ```

use std::path::{Path, PathBuf};

/// A consortium folder.
#[derive(Clone)]
pub(crate) struct Layout {
    root: PathBuf,
}

/// One process's folders within it.
#[derive(Clone)]
pub(crate) struct Home {
    pub(crate) folder: PathBuf,
    pub(crate) keys: PathBuf,
}

impl Layout {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn consortium(&self) -> PathBuf {
        self.root.join("consortium.toml")
    }

    pub(crate) fn policy(&self) -> PathBuf {
        self.root.join("trust-policy.toml")
    }

    pub(crate) fn member(&self, member: u16) -> Home {
        self.home(&format!("member-{member}"))
    }

    pub(crate) fn gateway(&self, name: &str) -> Home {
        self.home(name)
    }

    fn home(&self, name: &str) -> Home {
        Home { folder: self.root.join(name), keys: self.root.join("keys").join(name) }
    }
}

impl Home {
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub(crate) fn tls(&self, name: &str) -> PathBuf {
        self.folder.join("tls").join(name)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn key(&self, name: &str) -> PathBuf {
        self.keys.join(name)
    }
}
