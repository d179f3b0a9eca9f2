//! The workspace as cargo sees it: packages, what they name, and under which licence.

use crate::failure::Failure;
use cargo_metadata::{DependencyKind, MetadataCommand};
use std::path::Path;

/// Every package in the lock file, ours and others'.
pub(crate) struct Workspace {
    pub(crate) packages: Vec<Package>,
}

/// One package.
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// Of a member: its manifest, relative to the root. Of another's package: nothing.
    pub(crate) manifest: Option<String>,
    /// Names of the packages it depends on for its product, not for its tests.
    pub(crate) uses: Vec<String>,
    /// As its manifest says.
    pub(crate) licence: Option<String>,
}

impl Workspace {
    /// Asks cargo.
    ///
    /// # Errors
    /// [`Failure::Metadata`] if a manifest is wrong or a package cannot be fetched.
    pub(crate) fn read(root: &Path) -> Result<Self, Failure> {
        let metadata = MetadataCommand::new().current_dir(root).exec()?;
        let packages = metadata
            .packages
            .iter()
            .map(|package| Package {
                name: package.name.to_string(),
                version: package.version.to_string(),
                manifest: metadata
                    .workspace_members
                    .contains(&package.id)
                    .then(|| relative(&package.manifest_path, &metadata.workspace_root)),
                uses: package
                    .dependencies
                    .iter()
                    .filter(|dependency| dependency.kind != DependencyKind::Development)
                    .map(|dependency| dependency.name.clone())
                    .collect(),
                licence: package.license.clone(),
            })
            .collect();
        Ok(Self { packages })
    }

    /// Our own packages, each with its manifest.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&Package, &str)> {
        self.packages
            .iter()
            .filter_map(|package| package.manifest.as_deref().map(|manifest| (package, manifest)))
    }
}

fn relative(path: &cargo_metadata::camino::Utf8Path, root: &cargo_metadata::camino::Utf8Path) -> String {
    path.strip_prefix(root).unwrap_or(path).as_str().replace('\\', "/")
}

/// A member as the tests of the rules make one.
#[cfg(test)]
pub(crate) fn member(name: &str, uses: &[&str]) -> Package {
    Package {
        name: name.to_owned(),
        version: "0.1.0".to_owned(),
        manifest: Some(format!("crates/{name}/Cargo.toml")),
        uses: uses.iter().map(|&name| name.to_owned()).collect(),
        licence: Some("Apache-2.0".to_owned()),
    }
}
