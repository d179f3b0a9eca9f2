//! Places that differ from machine to machine: folders of whoever wrote a line, hosts of whichever
//! registry served a package. No tracked text names one.

use super::finding::Finding;
use super::tree::Text;

/// Folders of one machine. Spelt in halves, so that this file does not trip over itself.
const FOLDERS: &[&str] = &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/Us", "ers/")];
/// Hosts of package registries, in lower case.
const HOSTS: &[&str] = &[
    concat!("crates", ".io"),
    concat!("npm", "js"),
    concat!("pypi", ".org"),
    concat!("python", "hosted"),
    concat!("debian", ".org"),
    concat!("ubuntu", ".com"),
    concat!("ruby", "gems"),
    concat!("proxy.golang", ".org"),
    concat!("registry.yarn", "pkg"),
    concat!("maven", ".org"),
];
/// Files that tools write, and data that is kept as it came.
const SKIPPED: &[&str] = &["Cargo.lock", "vectors/", "data/", "fuzz/corpus/", "LICENSE"];

/// Checks one text file.
pub(crate) fn check(text: &Text) -> Vec<Finding> {
    if SKIPPED.iter().any(|skipped| text.path.starts_with(skipped)) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (index, line) in text.text.lines().enumerate() {
        if let Some(folder) = FOLDERS.iter().find(|folder| names_folder(line, folder)) {
            let advice = format!("`{folder}` is a folder of one machine: use a relative path");
            findings.push(Finding::new(&text.path, index + 1, "place", advice));
        }
        let lower = line.to_lowercase();
        if let Some(host) = HOSTS.iter().find(|host| lower.contains(**host)) {
            let advice = format!("`{host}` is a registry's host: name the package alone");
            findings.push(Finding::new(&text.path, index + 1, "place", advice));
        }
    }
    findings
}

/// Whether `folder` stands there as an absolute path, not inside a longer one.
fn names_folder(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line.get(..at).and_then(|before| before.chars().next_back());
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '}'))
    })
}

#[cfg(test)]
mod tests {
    use super::super::finding::brief;
    use super::*;

    fn found(path: &str, text: String) -> Vec<String> {
        brief(&check(&Text { path: path.to_owned(), text }))
    }

    #[test]
    fn machine_folders_and_registry_hosts_are_refused() {
        for folder in FOLDERS {
            assert_eq!(found("a.md", format!("see\n`{folder}main`")), ["2 place"]);
            assert_eq!(found("a.md", format!("./src{folder}main")), [""; 0]);
        }
        for host in HOSTS {
            assert_eq!(found("a.toml", format!("url = \"https://{}\"", host.to_uppercase())), ["1 place"]);
        }
    }

    #[test]
    fn what_tools_write_and_plain_words_pass() {
        let host = HOSTS[0].to_owned();
        assert_eq!(found("Cargo.lock", host.clone()), [""; 0]);
        assert_eq!(found("data/README.md", host), [""; 0]);
        assert_eq!(found("a.md", "the work of the root, a home/work balance".to_owned()), [""; 0]);
    }
}
