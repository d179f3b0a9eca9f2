//! What a member says of its people and patients, as CSV (RFC 4180) with a header. An error names the file and
//! the line, and never what stands there.

use crate::files::read_text;
use crate::output::Failure;
use salus_clinical::fhir::first_ms;
use salus_crypto::digest::Digest;
use salus_review::{Duty, Facts, Patient, Person};
use salus_wire::PartyId;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::path::Path;

/// The files, each of which may be left out.
pub(super) struct Files<'a> {
    pub(super) people: Option<&'a Path>,
    pub(super) duty: Option<&'a Path>,
    pub(super) patients: Option<&'a Path>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PersonRow {
    party: String,
    surname: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DutyRow {
    party: String,
    from: String,
    until: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PatientRow {
    patient: String,
    surname: String,
    #[serde(default)]
    party: String,
    #[serde(default)]
    watched: String,
}

impl Files<'_> {
    pub(super) fn read(&self, utc_offset_minutes: i32) -> Result<Facts, Failure> {
        let mut facts = Facts { utc_offset_minutes, ..Facts::default() };
        each(self.people, |row: PersonRow| {
            let person = facts.people.entry(row.party.parse::<PartyId>().ok()?).or_default();
            person.surname = said(row.surname);
            Some(())
        })?;
        each(self.duty, |row: DutyRow| {
            let person: &mut Person = facts.people.entry(row.party.parse::<PartyId>().ok()?).or_default();
            let (from, until) = (first_ms(&row.from)?, first_ms(&row.until)?);
            person.duty.push(Duty { from, until });
            (from < until).then_some(())
        })?;
        each(self.patients, |row: PatientRow| {
            let party = match said(row.party) {
                Some(party) => Some(party.parse::<PartyId>().ok()?),
                None => None,
            };
            let watched = match row.watched.as_str() {
                "yes" => true,
                "" => false,
                _ => return None,
            };
            let patient = Patient { surname: said(row.surname), party, watched };
            facts.patients.insert(digest(&row.patient)?, patient);
            Some(())
        })?;
        Ok(facts)
    }
}

/// Hands each row on; `None` says that it is not good.
fn each<T: DeserializeOwned>(
    path: Option<&Path>,
    mut take: impl FnMut(T) -> Option<()>,
) -> Result<(), Failure> {
    let Some(path) = path else { return Ok(()) };
    let text = read_text(path)?;
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    for (nth, row) in (2_u64..).zip(reader.deserialize()) {
        let good = row.ok().and_then(&mut take);
        good.ok_or_else(|| Failure::file(path, format!("row {nth} is not what its header says")))?;
    }
    Ok(())
}

fn said(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn digest(text: &str) -> Option<Digest> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(Digest::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(people: &str, duty: &str, patients: &str) -> Result<Facts, String> {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let (people, duty, patients) =
            (file("people", people), file("duty", duty), file("patients", patients));
        let files = Files { people: Some(&people), duty: Some(&duty), patients: Some(&patients) };
        files.read(60).map_err(|failure| failure.to_string())
    }

    #[test]
    fn tables_are_read_and_a_bad_row_is_named_and_not_quoted() {
        let (party, patient) = ("0a".repeat(16), "0b".repeat(32));
        let people = format!("party,surname\n{party},\"O'Brien, \"\"Šima\"\"\"\n");
        let duty = format!("party,from,until\n{party},2026-11-27T07:00:00+01:00,2026-11-27T15:00:00+01:00\n");
        let patients = format!("patient,surname,party,watched\n{patient},Secret,{party},yes\n");
        let facts = read(&people, &duty, &patients).unwrap();
        let person = facts.people.values().next().unwrap();
        assert_eq!((person.surname.as_deref(), person.duty.len()), (Some("O'Brien, \"Šima\""), 1));
        let known = facts.patients.values().next().unwrap();
        assert_eq!(
            (known.surname.as_deref(), known.watched, known.party.is_some()),
            (Some("Secret"), true, true)
        );
        let bad = [
            (people.replace("0a0a", "0g0a"), duty.clone(), patients.clone()),
            (people.replace("party,", "person,"), duty.clone(), patients.clone()),
            (people.clone(), duty.replace("T15", "T05"), patients.clone()),
            (people.clone(), duty.replace("+01:00", ""), patients.clone()),
            (people.clone(), duty.clone(), patients.replace("yes", "perhaps")),
            (people.clone(), duty.clone(), patients.replace("Secret", "Secret,Secret")),
        ];
        for (people, duty, patients) in bad {
            let said = read(&people, &duty, &patients).unwrap_err();
            assert!(said.contains("row 2") && !said.contains("Secret"), "{said}");
        }
    }
}
